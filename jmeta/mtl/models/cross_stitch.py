"""Cross-stitch: a network for each task, whose layers take from each other what helps (Misra et al. 2016)."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jmeta import calls
from jmeta.mtl.models.hard_sharing import check_tasks
from jmeta.mtl.types import MultiTaskModel
from jmeta.types import Model, Params


class CrossStitchParams(NamedTuple):
    """Parameters of each layer and of the heads, with a leading axis of tasks, and stitches `[T, T]` of each layer."""

    layers: tuple[Params, ...]
    stitches: tuple[Array, ...]
    heads: Params


def cross_stitch(layers: Sequence[Model], head: Model, *, tasks: int, own: float = 0.9) -> MultiTaskModel:
    """A network for each task; after each layer, a learned mixture of all tasks' activations.

        a_i     = layer(params_i, h_i)
        h_i    <- sum_j stitch_ij a_j,   stitch_ii = own, stitch_ij = (1 - own) / (T - 1) at the start
        output  = head(heads_i, h_i)

    Args:
        layers: models, each mapping the activations of the one before, the first the inputs.
        head: model mapping the last activations to predictions `[N, k]`.
        tasks: T, 1 or more.
        own: how much of itself a task starts with, 0 to 1.

    Returns:
        A `MultiTaskModel` with `CrossStitchParams`. Any task's prediction needs all tasks' networks, on its own inputs;
        with inputs that tasks have in common these are computed once. All but the heads is shared.

    Raises:
        ValueError: if `tasks` is below 1, there are no layers, or `own` is not in 0 to 1.

    Differs from the paper: one stitch for each pair of tasks and layer, where the paper has one for each channel too.

    Source: Misra et al. 2016, Cross-stitch Networks for Multi-task Learning. https://arxiv.org/abs/1604.03539
    """
    check_tasks(tasks)
    if not layers:
        raise ValueError("cross-stitch networks need a layer or more to stitch, got none")
    if not 0 <= own <= 1:
        raise ValueError(f"own must be in 0 to 1, got {own}")

    def init(key: Array, x: Array) -> CrossStitchParams:
        found, stitches = [], []
        h = jnp.broadcast_to(x[None], (tasks, *x.shape))
        for i, layer in enumerate(layers):
            keys = jax.random.split(jax.random.fold_in(key, i), tasks)
            params = jax.vmap(layer.init)(keys, h)
            h = jax.vmap(layer.apply)(params, h)
            found.append(params)
            other = (1 - own) / max(tasks - 1, 1)
            eye = jnp.eye(tasks, dtype=h.dtype)
            stitches.append((own if tasks > 1 else 1.0) * eye + other * (1 - eye))
        heads = jax.vmap(head.init)(jax.random.split(jax.random.fold_in(key, len(layers)), tasks), h)
        return CrossStitchParams(tuple(found), tuple(stitches), heads)

    def apply(params: CrossStitchParams, x: Array, task: Array, weight: Array | None = None) -> Array:
        h, axis = x, None
        for layer, p, stitch in zip(layers, params.layers, params.stitches, strict=True):
            own_layer = jax.vmap(functools.partial(calls.apply, layer), in_axes=(0, axis, None))
            h, axis = jnp.tensordot(stitch, own_layer(p, h, weight), 1), 0
        return calls.apply(head, jax.tree.map(lambda p: p[task], params.heads), h[task], weight)

    def shared(params: CrossStitchParams) -> Params:
        return params.layers, params.stitches

    return MultiTaskModel(init, apply, shared, tasks)
