"""Ridge regression of labels on features, an example at a time: recursive least squares."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from jmeta import calls
from jmeta.checks import check_above_zero, check_sizes
from jmeta.distances import product, supported, wide
from jmeta.losses import LossFn, cross_entropy, judge, possible
from jmeta.types import Batch, Learner, Model, Params, episodic


class RunningRidgeParams(NamedTuple):
    """The encoder, and the numbers `[]` of the head."""

    encoder: Params
    log_l2: Array
    log_scale: Array


class Regression(NamedTuple):
    """The inverse `[D + 1, D + 1]` of `Z'Z + l2 I`, and the weights `[D + 1, way]`, the last row of which is a bias."""

    inverse: Array
    weights: Array


class RunningRidgeAdapted(NamedTuple):
    """The parameters, the regression, and which classes `[way]` the stream had."""

    params: RunningRidgeParams
    regression: Regression
    supported: Array


def start(size: int, way: int, l2: Array) -> Regression:
    """Of no examples of `size` features."""
    return Regression(jnp.eye(size + 1, dtype=l2.dtype) / l2, jnp.zeros((size + 1, way), l2.dtype))


def updated(known: Regression, z: Array, y: Array, weight: Array | float = 1.0) -> Regression:
    """With one example more, `z [D], y [way]`, by a change of rank one.

        u  = P [z, 1],   g = w u / (1 + w [z, 1]'u)
        P' = P - g u',   W' = W + g (y - [z, 1]'W)'

    Source: Sherman and Morrison 1950, https://doi.org/10.1214/aoms/1177729893; as recursive least squares, Plackett
    1950, https://doi.org/10.1093/biomet/37.1-2.149
    """
    return with_rows(known, z[None], y[None], jnp.asarray(weight, z.dtype)[None])


def with_rows(known: Regression, z: Array, y: Array, weight: Array) -> Regression:
    """With a few examples more, `z [n, D], y [n, way], weight [n]`: the same as one after another."""
    root = jnp.sqrt(weight)[:, None]
    a, b = root * jnp.concatenate([z, jnp.ones_like(z[:, :1])], axis=1), root * y
    u = product(known.inverse, a.T)
    gain = jnp.linalg.solve(jnp.eye(len(a), dtype=a.dtype) + product(a, u), u.T).T
    error = b - product(a, known.weights)
    return Regression(known.inverse - product(gain, u.T), known.weights + product(gain, error))


def running_ridge(
    encoder: Model, *, l2: float = 1.0, scale: float = 10.0, rows: int = 1, loss_fn: LossFn = cross_entropy
) -> Learner:
    """A linear head that is at each moment the ridge regression of all that the stream has brought.

        W         = argmin_W  sum_n |[z_n, 1] W - y_n|^2 + l2 |W|^2,   by `updated`, one `lax.scan` over the stream
        logits(x) = scale [encoder(x), 1] W

    It keeps no example, takes `(D + 1)^2` numbers, and no order of the stream changes it, but for rounding.

    Args:
        encoder: model mapping `x [N, ...]` to features `[N, D]`; on batch normalization see `oml`.
        l2, scale: where the penalty and the factor of the logits start, above 0. Their logarithms are learned.
        loss_fn: `(prediction, y) -> [N]`, for the query.

        rows: examples of each step of the scan, which leads to the same; more are faster, and take more memory.

    Raises:
        ValueError: if `l2` or `scale` is not above 0 or not finite, or `rows` is below 1.

    Beside `jmeta.ridge`: errors are summed and not averaged, since a stream does not know how long it is.
    """
    check_above_zero("l2", l2)
    check_above_zero("scale", scale)
    check_sizes(rows=rows)

    def init(key: Array, x: Any) -> RunningRidgeParams:
        params = encoder.init(key, x)
        dtype = jax.eval_shape(encoder.apply, params, x).dtype
        return RunningRidgeParams(params, *(jnp.asarray(math.log(number), dtype) for number in (l2, scale)))

    def adapt(params: RunningRidgeParams, support: Batch) -> RunningRidgeAdapted:
        features, kept = calls.read(encoder, params.encoder, support)
        z, y = wide(features), wide(support.y)
        weight = jnp.ones_like(z[:, 0]) if support.weight is None else support.weight.astype(z.dtype)
        first = start(z.shape[1], y.shape[1], jnp.exp(wide(params.log_l2)).astype(z.dtype))
        steps = -(-len(z) // rows)
        full = lambda a: jnp.pad(a, [(0, steps * rows - len(a))] + [(0, 0)] * (a.ndim - 1))  # by rows of weight 0
        parts = jax.tree.map(lambda a: full(a).reshape(steps, rows, *a.shape[1:]), (z, y, weight))
        known, _ = lax.scan(lambda known, part: (with_rows(known, *part), None), first, parts)
        return RunningRidgeAdapted(params._replace(encoder=kept), known, supported(support))

    def predict(adapted: RunningRidgeAdapted, x: Any, weight: Array | None = None) -> Array:
        params, known, there = adapted
        z = calls.apply(encoder, params.encoder, x, weight)
        scores = product(z, known.weights[:-1]) + known.weights[-1:]
        return possible(jnp.exp(params.log_scale) * scores, there)

    return episodic(init, adapt, predict, judge(loss_fn))
