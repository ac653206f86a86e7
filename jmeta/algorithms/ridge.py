"""R2-D2: a ridge-regression head, solved in closed form and differentiated through (Bertinetto et al. 2019)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.scipy.linalg import cho_factor, cho_solve

from jmeta import calls
from jmeta.checks import check_above_zero
from jmeta.distances import product, wide
from jmeta.losses import LossFn, cross_entropy, judge
from jmeta.types import Batch, Learner, Model, Params, episodic


class RidgeParams(NamedTuple):
    """What is learned over tasks: the encoder, and the numbers `[]` of the head."""

    encoder: Params
    log_l2: Array
    scale: Array
    offset: Array


class RidgeAdapted(NamedTuple):
    """The parameters, and the regression `[D + 1, way]` of one task; its last row is the bias."""

    params: RidgeParams
    weights: Array


def ridge(encoder: Model, *, l2: float = 1.0, scale: float = 10.0, loss_fn: LossFn = cross_entropy) -> Learner:
    """R2-D2: regress one-hot labels on features, and learn features on which that works.

        z         = [encoder(x), 1]
        W         = argmin_W  mean_n |z_n W - y_n|^2 + l2 |W|^2
                  = (Z'Z + l2 I)^-1 Z'Y  =  Z' (ZZ' + l2 I)^-1 Y,     rows of Z and Y over sqrt(N)
        logits(x) = scale * z W + offset

    The smaller of the two systems is solved: the second (Woodbury) for up to D + 1 support examples. Rows are weighted
    in the mean, so that padding has no part. With `squared_error` it regresses targets just as well. Training and
    evaluation may use different ways.

    Args:
        encoder: model mapping `x [N, ...]` to features `[N, D]`.
        l2: where the penalty starts, above 0. Its logarithm is learned.
        scale: where the factor of the logits starts, not 0. Learned; 10 is the authors' for Omniglot, and 1 suits
            regression.
        loss_fn: `(prediction, y) -> [N]`, for the query.

    Raises:
        ValueError: if `l2` is not above 0, `scale` is 0, or one of them is not finite.

    Differs from the paper: errors are averaged, as in the authors' code, where its formula sums them; the penalty's
    logarithm is learned, where theirs is the penalty or fixed. The penalty is on the bias too, as there.
    Source: Bertinetto et al. 2019, Meta-learning with differentiable closed-form solvers.
    https://arxiv.org/abs/1805.08136
    """
    check_above_zero("l2", l2)
    check_above_zero("the size of scale", abs(scale), "for features to be learned")

    def init(key: Array, x: Array) -> RidgeParams:
        params = encoder.init(key, x)
        dtype = jax.eval_shape(encoder.apply, params, x).dtype
        return RidgeParams(params, *(jnp.asarray(number, dtype) for number in (jnp.log(l2), scale, 0.0)))

    def adapt(params: RidgeParams, support: Batch) -> RidgeAdapted:
        z, kept = calls.read(encoder, params.encoder, support)
        return RidgeAdapted(params._replace(encoder=kept), _solve(z, support, params.log_l2))

    def predict(adapted: RidgeAdapted, x: Array, weight: Array | None = None) -> Array:
        params, weights = adapted
        z = calls.apply(encoder, params.encoder, x, weight)
        return params.scale * (product(z, weights[:-1]) + weights[-1:]) + params.offset

    return episodic(init, adapt, predict, judge(loss_fn))


def _solve(features: Array, support: Batch, log_l2: Array) -> Array:
    """The regression `[D + 1, way]` of labels on features `[N, D]` and a constant, in float32 or better."""
    z, y, log_l2 = (wide(a) for a in (features, support.y, log_l2))
    weight = jnp.ones_like(z[:, 0]) if support.weight is None else support.weight.astype(z.dtype)
    total = jnp.sum(weight)
    root = jnp.sqrt(weight / jnp.where(total > 0, total, 1))[:, None]
    a, y = root * jnp.concatenate([z, jnp.ones_like(z[:, :1])], axis=1), root * y
    n, size = a.shape
    gram, right = (product(a, a.T), y) if n <= size else (product(a.T, a), product(a.T, y))
    # No less than rounding errors, so that there is a solution wherever learning takes the penalty.
    l2 = jnp.exp(log_l2) + lax.stop_gradient(jnp.finfo(gram.dtype).eps * jnp.trace(gram))
    solved = cho_solve(cho_factor(gram + l2 * jnp.eye(len(gram), dtype=gram.dtype)), right)
    return (product(a.T, solved) if n <= size else solved).astype(features.dtype)
