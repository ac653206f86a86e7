"""Mixture of experts with a gate for each task (Ma et al. 2018)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jmeta import calls
from jmeta.mtl.models.hard_sharing import check_tasks
from jmeta.mtl.types import MultiTaskModel
from jmeta.types import Model, Params


class ExpertParams(NamedTuple):
    """Parameters of the experts, with a leading axis of experts, and of gates and heads, with one of tasks."""

    experts: Params
    gates: Params
    heads: Params


def mixture_of_experts(expert: Model, gate: Model, head: Model, *, experts: int, tasks: int) -> MultiTaskModel:
    """Experts that all tasks share, mixed for each example by a gate of its task.

        features = sum_e softmax(gate(gates_i, x))_e expert(experts_e, x)
        output   = head(heads_i, features)

    Args:
        expert: model mapping `x [N, ...]` to features `[N, D]`.
        gate: model mapping x to `[N, experts]`, such as a linear one.
        head: model mapping features to predictions `[N, k]`.
        experts: E, 1 or more; with one it is `hard_sharing`.
        tasks: T, 1 or more.

    Returns:
        A `MultiTaskModel` with `ExpertParams`, whose experts are shared.

    Raises:
        ValueError: if `tasks` or `experts` is below 1.

    Source: Ma et al. 2018, Modeling Task Relationships in Multi-task Learning with Multi-gate Mixture-of-Experts.
    https://doi.org/10.1145/3219819.3220007
    """
    check_tasks(tasks)
    if experts < 1:
        raise ValueError(f"the number of experts must be 1 or more, got {experts}")

    def init(key: Array, x: Array) -> ExpertParams:
        expert_key, gate_key, head_key = jax.random.split(key, 3)
        params = jax.vmap(lambda key: expert.init(key, x))(jax.random.split(expert_key, experts))
        gates = jax.vmap(lambda key: gate.init(key, x))(jax.random.split(gate_key, tasks))
        features = jnp.mean(jax.vmap(lambda p: expert.apply(p, x))(params), axis=0)
        heads = jax.vmap(lambda key: head.init(key, features))(jax.random.split(head_key, tasks))
        return ExpertParams(params, gates, heads)

    def apply(params: ExpertParams, x: Array, task: Array, weight: Array | None = None) -> Array:
        features = jax.vmap(lambda p: calls.apply(expert, p, x, weight))(params.experts)
        own_gate, own_head = (jax.tree.map(lambda p: p[task], p) for p in (params.gates, params.heads))
        shares = jax.nn.softmax(calls.apply(gate, own_gate, x, weight), axis=-1)
        return calls.apply(head, own_head, jnp.einsum("end,ne->nd", features, shares), weight)

    return MultiTaskModel(init, apply, lambda params: params.experts, tasks)
