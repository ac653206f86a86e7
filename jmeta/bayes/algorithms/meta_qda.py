"""MetaQDA: quadratic discriminant analysis with a learned prior (Zhang et al. 2021)."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.scipy.special import gammaln

from jmeta import calls
from jmeta.bayes.gaussian_process import cholesky, forward
from jmeta.checks import check_above_zero
from jmeta.distances import members, product, prototypes, supported
from jmeta.losses import LossFn, cross_entropy, judge, possible
from jmeta.types import Batch, Learner, Model, Params, episodic


class MetaQDAParams(NamedTuple):
    """The encoder, and the prior: a mean `[D]`, a lower factor `[D, D]` of the scatter, and logarithms `[]` of how many
    examples the mean is worth, and of the degrees of freedom beyond D."""

    encoder: Params
    mean: Array
    factor: Array
    log_strength: Array
    log_degrees: Array


class MetaQDAAdapted(NamedTuple):
    """Of each class: means `[way, D]`, factors `[way, D, D]` of the scale of a Student t, and its degrees `[way]`; the
    encoder, and which classes `[way]` there are."""

    encoder: Params
    mean: Array
    factor: Array
    degrees: Array
    supported: Array


def meta_qda(
    encoder: Model,
    *,
    scatter: float = 1.0,
    strength: float = 1.0,
    degrees: float = 1.0,
    loss_fn: LossFn = cross_entropy,
) -> Learner:
    """MetaQDA: each class is a Gaussian with a covariance of its own, of which mean and covariance are unknown.

        covariance ~ inverse Wishart(v0, S0),   mean ~ N(m0, covariance / k0),   z ~ N(mean, covariance)
        k = k0 + n,   v = v0 + n,   m = (k0 m0 + sum z) / k
        S = S0 + sum (z - c)(z - c)' + k0 n / k (c - m0)(c - m0)',   c the mean of the class
        logit(x)   = log Student t of v - D + 1 degrees about m, of scale S (k + 1) / (k (v - D + 1))

    The prior is learned with the encoder, S0 as F F', v0 as D + exp(.). `jmeta.continual.gemcl` is the same with a
    variance for each dimension by itself.

    Args:
        encoder: model mapping `x [N, ...]` to features `[N, D]`; D^3 numbers a class are computed with.
        scatter: S0 starts as this times the identity, above 0.
        strength: where k0 starts, above 0.
        degrees: where v0 - D starts, above 0.
        loss_fn: `(prediction, y) -> [N]`, for the query.

    Raises:
        ValueError: if one of the three is not above 0 or not finite.

    Differs from the paper: this is its fully Bayesian rule, in logarithms and with the encoder learned too, where the
    paper's encoder is trained before and frozen.
    Source: Zhang et al. 2021, Shallow Bayesian Meta Learning for Real-World Few-Shot Recognition, section 3.
    https://arxiv.org/abs/2101.02833
    """
    for name, value in (("scatter", scatter), ("strength", strength), ("degrees", degrees)):
        check_above_zero(name, value)

    def init(key: Array, x: Any) -> MetaQDAParams:
        params = encoder.init(key, x)
        z = jax.eval_shape(encoder.apply, params, x)
        size, one = z.shape[-1], lambda number: jnp.asarray(math.log(number), z.dtype)
        factor = math.sqrt(scatter) * jnp.eye(size, dtype=z.dtype)
        return MetaQDAParams(params, jnp.zeros(size, z.dtype), factor, one(strength), one(degrees))

    def adapt(params: MetaQDAParams, support: Batch) -> MetaQDAAdapted:
        z, kept = calls.read(encoder, params.encoder, support)
        size, member, center = z.shape[1], members(support), prototypes(z, support)
        n, k0 = jnp.sum(member, axis=0), jnp.exp(params.log_strength)
        lower = jnp.tril(params.factor)
        prior = product(lower, lower.T)
        degrees = jnp.exp(params.log_degrees) + 1 + n  # v - D + 1

        def of_class(share: Array, n: Array, center: Array, degrees: Array) -> tuple[Array, Array]:
            k, apart, spread = k0 + n, center - params.mean, z - center[None]
            found = prior + product((share[:, None] * spread).T, spread) + k0 * n / k * jnp.outer(apart, apart)
            scale = found * (k + 1) / (k * degrees)
            return params.mean + n / k * apart, cholesky(scale, jnp.full(size, 1e-6, z.dtype) * jnp.trace(scale) / size)

        mean, factor = jax.vmap(of_class)(member.T, n, center, degrees)
        return MetaQDAAdapted(kept, mean, factor, degrees, supported(support))

    def predict(adapted: MetaQDAAdapted, x: Any, weight: Array | None = None) -> Array:
        z = calls.apply(encoder, adapted.encoder, x, weight)

        def of_class(part: tuple[Array, Array, Array]) -> Array:
            mean, factor, degrees = part
            size, apart = z.shape[1], forward(factor, (z - mean[None]).T)
            constant = gammaln((degrees + size) / 2) - gammaln(degrees / 2) - size / 2 * jnp.log(math.pi * degrees)
            tail = (degrees + size) / 2 * jnp.log1p(jnp.sum(jnp.square(apart), axis=0) / degrees)
            return constant - jnp.sum(jnp.log(jnp.diagonal(factor))) - tail

        logits = lax.map(of_class, (adapted.mean, adapted.factor, adapted.degrees)).T
        return possible(logits, adapted.supported)

    return episodic(init, adapt, predict, judge(loss_fn))
