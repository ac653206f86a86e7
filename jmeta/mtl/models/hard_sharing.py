"""Hard sharing: one trunk for all tasks, a head for each (Caruana 1997)."""

from typing import NamedTuple

import jax
from jax import Array

from jmeta import calls
from jmeta.mtl.types import MultiTaskModel
from jmeta.types import Model, Params


class SharedParams(NamedTuple):
    """The trunk's parameters, and the heads', with a leading axis of tasks."""

    trunk: Params
    heads: Params


def hard_sharing(trunk: Model, head: Model, *, tasks: int) -> MultiTaskModel:
    """One trunk, a head for each task.

        prediction of task i = head(heads_i, trunk(x))

    Args:
        trunk: model mapping `x [N, ...]` to features `[N, D]`.
        head: model mapping features to predictions `[N, k]`, with k for the task that has most; the loss leaves out
            what a task lacks of it, see `jmeta.Batch`.
        tasks: T, 1 or more.

    Returns:
        A `MultiTaskModel` with `SharedParams`. Heads start at random, each its own.

    Raises:
        ValueError: if `tasks` is below 1.

    Source: Caruana 1997, Multitask Learning. https://doi.org/10.1023/A:1007379606734
    """
    check_tasks(tasks)

    def init(key: Array, x: Array) -> SharedParams:
        trunk_key, head_key = jax.random.split(key)
        params = trunk.init(trunk_key, x)
        features = trunk.apply(params, x)
        return SharedParams(params, jax.vmap(lambda key: head.init(key, features))(jax.random.split(head_key, tasks)))

    def apply(params: SharedParams, x: Array, task: Array, weight: Array | None = None) -> Array:
        features = calls.apply(trunk, params.trunk, x, weight)
        return calls.apply(head, jax.tree.map(lambda p: p[task], params.heads), features, weight)

    return MultiTaskModel(init, apply, lambda params: params.trunk, tasks)


def check_tasks(tasks: int) -> None:
    """Refuse a number of tasks below 1."""
    if tasks < 1:
        raise ValueError(f"the number of tasks must be 1 or more, got {tasks}")
