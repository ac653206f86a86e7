"""The per-parameter MLP with Adafactor's features, 39 of them, and decays that it learns."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax

from jmeta.checks import check_above_zero
from jmeta.nets import MLP
from jmeta.optimizers.rules.features import (
    TIMES,
    averaged,
    check_told,
    like,
    normalized,
    step_of,
    wide,
    with_times,
    without_head,
)
from jmeta.optimizers.types import Rule
from jmeta.types import Params

DECAYS = (0.9, 0.99, 0.999)
SQUARE_DECAYS = (0.999,)
FEATURES = 2 + 8 * len(DECAYS) + 2 * len(SQUARE_DECAYS) + len(TIMES)


class Averages(NamedTuple):
    """Of a tensor: averages of its gradient `[..., 3]`, of its square `[..., 1]`, and of the square over all rows and
    over all columns, `[..., 3]` with an axis of 1; of what has fewer than two axes, the square itself twice."""

    mean: Array
    square: Array
    row: Array
    column: Array


class AdafactorTheta(NamedTuple):
    """Of the network, and how far each decay is from where it starts: its distance to 1 is exp(10 x) as large."""

    network: Params
    mean: Array
    square: Array
    factored: Array


class AdafactorState(NamedTuple):
    """`Averages` of each tensor, in the order of the leaves, and the steps taken."""

    tensors: tuple[Averages, ...]
    count: Array


def adafactor_mlp(*, units: Sequence[int] = (4, 4), step_scale: float = 0.001) -> Rule:
    """A tiny network that sees 39 numbers of each parameter, among them what Adafactor keeps of rows and columns.

        features = g, p, 3 averages m of g, an average v of g^2, 3 m / sqrt(v), 1 / sqrt(v), 3 g / sqrt(v_row v_col),
                   3 v_row, 3 v_col, their 6 inverse roots, 3 m / sqrt(v_row v_col), each divided by its root mean
                   square over the tensor, and the 11 times of `mlp`
        p <- p - step_scale d exp(m / 1000),   (d, m) = network(features)

    with rows and columns the two largest axes. All parameters share theta, so that the rule is for any tree.

    Args:
        units: of each hidden layer.
        step_scale: of a direction of 1.

    Raises:
        ValueError: as `mlp`.

    Differs from the paper: the last layer starts at 0.

    Source: Metz et al. 2022, Practical tradeoffs between memory, compute, and performance in learned optimizers,
    section 3, https://arxiv.org/abs/2203.11860; Shazeer and Stern 2018, Adafactor, https://arxiv.org/abs/1804.04235.
    """
    check_above_zero("step_scale", step_scale)
    network = MLP(tuple(units), 2)

    def init(key: Array, params: Params) -> AdafactorTheta:
        started = without_head(network.init(key, jnp.zeros((1, FEATURES))))
        return AdafactorTheta(started, *(jnp.zeros(len(d)) for d in (DECAYS, SQUARE_DECAYS, DECAYS)))

    def make(theta: AdafactorTheta) -> optax.GradientTransformation:
        decays = decay(DECAYS, theta.mean), decay(SQUARE_DECAYS, theta.square), decay(DECAYS, theta.factored)

        def start(params: Params) -> AdafactorState:
            return AdafactorState(tuple(map(nothing_yet, jax.tree.leaves(params))), jnp.int32(0))

        def update(updates: Params, state: Any, params: Any = None) -> tuple[Params, AdafactorState]:
            check_told(params)
            g, structure = jax.tree.flatten(wide(updates))
            tensors = tuple(one_more(*decays, old, new) for old, new in zip(state.tensors, g, strict=True))
            moves = []
            for g_of, p_of, kept in zip(g, jax.tree.leaves(wide(params)), tensors, strict=True):
                rows = with_times(normalized(features(g_of, p_of, kept)), state.count).reshape(-1, FEATURES)
                said: Any = network.apply(theta.network, rows)
                moves.append(step_of(said, step_scale).reshape(p_of.shape))
            return like(jax.tree.unflatten(structure, moves), params), AdafactorState(tensors, state.count + 1)

        return optax.GradientTransformation(start, update)

    return Rule(init, make)


def decay(start: Sequence[float], moved: Array) -> Array:
    """`1 - (1 - start) exp(10 moved)`, between 0 and 1."""
    return jnp.clip(1.0 - (1.0 - jnp.array(start)) * jnp.exp(10.0 * moved), 0.0, 1.0)


def axes_of(shape: Sequence[int]) -> tuple[int, int] | None:
    """The second largest and the largest axis of a tensor, None where there are fewer than two."""
    order = np.argsort(shape, kind="stable")
    return None if len(shape) < 2 else (int(order[-2]), int(order[-1]))


def nothing_yet(p: Array) -> Averages:
    """Zeros for a tensor."""
    axes = axes_of(p.shape)
    short = [p.shape if axes is None else _without(p.shape, axis) for axis in (axes or (0, 0))[::-1]]
    zeros = lambda shape, decays: jnp.zeros((*shape, len(decays)))
    return Averages(zeros(p.shape, DECAYS), zeros(p.shape, SQUARE_DECAYS), *(zeros(s, DECAYS) for s in short))


def _without(shape: Sequence[int], axis: int) -> tuple[int, ...]:
    return (*shape[:axis], 1, *shape[axis + 1 :])


def one_more(mean: Array, square: Array, factored: Array, kept: Averages, g: Array) -> Averages:
    """Averages after one more gradient, by the decays of each kind."""
    squared, axes = jnp.square(g), axes_of(g.shape)
    over = [
        squared + 1e-30 if axes is None else jnp.mean(squared + 1e-30, axis=a, keepdims=True)
        for a in (axes or (0, 0))[::-1]
    ]
    return Averages(
        averaged(mean, kept.mean, g), averaged(square, kept.square, squared),
        averaged(factored, kept.row, over[0]), averaged(factored, kept.column, over[1]),
    )  # fmt: skip


def features(g: Array, p: Array, kept: Averages) -> Array:
    """The 28 features of a tensor that are not times, `[..., 28]`."""
    axes, m = axes_of(g.shape), kept.mean
    shape = m.shape
    if axes is None:
        row = column = kept.row
        scale, for_mean = _inverse_root(row + 1e-9), lax.rsqrt(row + 1e-6)
    else:
        row, column = jnp.broadcast_to(kept.row, shape), jnp.broadcast_to(kept.column, shape)
        of_all = jnp.mean(kept.row, axis=axes[0], keepdims=True)
        scale = for_mean = _inverse_root(kept.row / (of_all + 1e-9)) * _inverse_root(kept.column)
    root = lax.rsqrt(kept.square + 1e-6)
    seen = [g[..., None], p[..., None], m, kept.square, m * root, root, g[..., None] * scale]
    seen += [row, column, lax.rsqrt(row + 1e-8), lax.rsqrt(column + 1e-8), m * for_mean]
    return jnp.concatenate([jnp.broadcast_to(a, (*g.shape, a.shape[-1])) for a in seen], axis=-1)


def _inverse_root(x: Array) -> Array:
    return lax.rsqrt(jnp.maximum(x, 1e-9))
