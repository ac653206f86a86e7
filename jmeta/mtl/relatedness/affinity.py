"""Affinities of tasks: what a step on one of them does to the losses of the others (TAG, Fifty et al. 2021)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jmeta.checks import check_above_zero
from jmeta.mtl.tasks import shared_leaves
from jmeta.mtl.types import Losses
from jmeta.types import Params


def task_affinity(
    losses: Losses, params: Params, batch: Any, *, lr: Any, shared: Callable[[Params], Params] | None = None
) -> Array:
    """How much of each task's loss a step on each other task takes away.

        params_i = params - lr * gradient of L_i, in the shared part alone
        Z_ij     = 1 - L_j(params_i) / L_j(params)

    Above 0 where a step on task i helps task j, and below 0 where it hurts; for small steps it is `lr g_i.g_j / L_j`,
    which is not symmetric. One `vmap` over the tasks that are stepped on, so that it holds T copies of the parameters.

    Tasks with opposite weights hurt each other where they share all of a linear model, however closely related they
    are. Where they share a representation below heads of their own, heads take up the sign, and they help each other.

    Args:
        losses: `(params, batch) -> [T]`, above 0.
        params: of the model.
        batch: of all tasks.
        lr: of the look-ahead step, above 0.
        shared: `params -> params`, the part that tasks share, such as `model.shared`: any selection of the parameters'
            leaves. None for all.

    Returns:
        `[T, T]`, a row for the task that is stepped on and a column for the one that feels it. Where a loss is 0 to
        begin with, its column is 0.

    Raises:
        ValueError: if `lr` is not above 0.

    Example:
        Two tasks that want the same number, and one that wants the opposite.

        >>> losses = lambda w, batch: jnp.square(w - batch)
        >>> task_affinity(losses, jnp.array(0.0), jnp.array([1.0, 1.0, -1.0]), lr=0.25).tolist()
        [[0.75, 0.75, -1.25], [0.75, 0.75, -1.25], [-1.25, -1.25, 0.75]]

    Differs from the paper: the look-ahead is a plain step along the gradient, whatever rule the model is trained with.

    Source: Fifty et al. 2021, Efficiently Identifying Task Groupings for Multi-Task Learning, eq. 1.
    https://arxiv.org/abs/2109.04617
    """
    check_above_zero("lr", lr)
    before, pullback = jax.vjp(lambda params: losses(params, batch), params)
    (leaves, structure), kept = jax.tree.flatten(params), set(shared_leaves(params, shared))
    moves = jax.tree.unflatten(structure, [i in kept for i in range(len(leaves))])

    def after(row: Array) -> Array:
        (gradient,) = pullback(row)
        steps = jax.tree.map(lambda p, g, move: p - lr * g if move else p, params, gradient, moves)
        return losses(steps, batch)

    ahead = jax.vmap(after)(jnp.eye(len(before), dtype=before.dtype))
    before = before[None, :]
    return jnp.where(before == 0, 0, 1 - ahead / jnp.where(before == 0, 1, before))


class MeanAffinity(NamedTuple):
    """The mean `[T, T]` of so many affinities `[T, T]`, which a training loop carries beside its own state."""

    affinity: Array
    count: Array


def no_affinity(tasks: int) -> MeanAffinity:
    """The mean of none yet."""
    return MeanAffinity(jnp.zeros((tasks, tasks)), jnp.zeros((tasks, tasks)))


def add_affinity(mean: MeanAffinity, affinity: Array, present: Array | None = None) -> MeanAffinity:
    """The mean, which starts as `no_affinity`, with one more affinity `[T, T]`, of `task_affinity` at this step.

        mean_ij <- mean_ij + (affinity_ij - mean_ij) / count_ij    of pairs of tasks that have rows in the step

    Args:
        mean: of the steps before; 0 for a pair that has not met.
        affinity: of this step.
        present: `[T]`, which tasks have rows in it, as `jmeta.mtl.present_tasks(batch)` says; None for all.

    Example:
        >>> mean = add_affinity(no_affinity(1), jnp.array([[0.5]]))
        >>> add_affinity(mean, jnp.array([[0.25]])).affinity.tolist()
        [[0.375]]
    """
    met = jnp.ones(affinity.shape, bool) if present is None else present[:, None] & present[None, :]
    count = mean.count + met.astype(mean.count.dtype)
    more = (affinity.astype(mean.affinity.dtype) - mean.affinity) / jnp.maximum(count, 1)
    return MeanAffinity(mean.affinity + jnp.where(met, more, 0), count)
