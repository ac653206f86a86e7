"""GeMCL: a conjugate posterior of each class, with a learned prior (Banayeeanzade et al. 2021)."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.scipy.special import gammaln

from jmeta import calls
from jmeta.checks import check_above_zero
from jmeta.continual.algorithms.moments import Moments, moments
from jmeta.distances import supported
from jmeta.losses import LossFn, cross_entropy, judge, possible
from jmeta.types import Batch, Learner, Model, Params, episodic


class Prior(NamedTuple):
    """Of the mean and the variance of a class, in each dimension: `log a0 []`, `log b0 [D]`, `log k0 []`, `m0 [D]`."""

    log_shape: Array
    log_scale: Array
    log_strength: Array
    mean: Array


class GeMCLParams(NamedTuple):
    """The encoder and the prior."""

    encoder: Params
    prior: Prior


class Posterior(NamedTuple):
    """Of each class: shapes `a [way, 1]`, scales `b [way, D]`, strengths `k [way, 1]` and means `m [way, D]`."""

    shape: Array
    scale: Array
    strength: Array
    mean: Array


class GeMCLAdapted(NamedTuple):
    """The encoder, the posteriors, and which classes `[way]` the stream had."""

    encoder: Params
    posterior: Posterior
    supported: Array


Density = Callable[[Posterior, Array], Array]
"""`(posterior, z [D]) -> log density [way]`, up to a number that all classes have in common."""


def posterior(prior: Prior, known: Moments) -> Posterior:
    """Of each class, by what is known of it.

    k = k0 + n,   m = (k0 m0 + sum z) / k,   a = a0 + n/2,   b = b0 + s/2 + k0 n (mean - m0)^2 / (2 k)
    """
    a0, b0, k0 = (jnp.exp(log) for log in prior[:3])
    n, b0, m0 = known.count[:, None], b0[None], prior.mean[None]
    k, apart = k0 + n, known.mean - m0
    return Posterior(a0 + n / 2, b0 + known.scatter / 2 + k0 * n / k * jnp.square(apart) / 2, k, m0 + n / k * apart)


def predictive(post: Posterior, z: Array) -> Array:
    """The posterior predictive, a Student t in each dimension of `2 a` degrees about `m`, as log densities `[way]`.

        scale^2 = b / a (1 + 1 / k)
        log p   = sum_d  log G(a + 1/2) - log G(a) - 1/2 log(2 pi a) - 1/2 log scale^2
                         - (a + 1/2) log(1 + (z - m)^2 / (2 a scale^2))

    with the gamma function G.
    """
    a, square = post.shape, post.scale / post.shape * (1 + 1 / post.strength)
    constant = gammaln(a + 0.5) - gammaln(a) - jnp.log(2 * math.pi * a) / 2
    tail = (a + 0.5) * jnp.log1p(jnp.square(z[None] - post.mean) / (2 * a * square))
    return jnp.sum(constant - jnp.log(square) / 2 - tail, axis=-1)


def most_likely(post: Posterior, z: Array) -> Array:
    """The Gaussian of the most likely mean and variance of each class, as log densities `[way]`: GeMCL's MAP.

    variance = b / (a + 3/2),   log p = sum_d  -1/2 log(2 pi variance) - (z - m)^2 / (2 variance)
    """
    variance = post.scale / (post.shape + 1.5)
    return jnp.sum(-jnp.log(2 * math.pi * variance) / 2 - jnp.square(z[None] - post.mean) / (2 * variance), axis=-1)


def gemcl(
    encoder: Model,
    *,
    shape: float = 1.0,
    scale: float = 1.0,
    strength: float = 0.01,
    density: Density = predictive,
    loss_fn: LossFn = cross_entropy,
) -> Learner:
    """GeMCL: each class is a Gaussian with a variance for each dimension, both unknown; a `Learner` of `GeMCLParams`.

        1 / variance ~ Gamma(a0, b0),   mean ~ N(m0, variance / k0),   z ~ N(mean, variance)
        logit_k(x)   = density of encoder(x) in class k, of its `posterior` by the stream

    `adapt` is sums over the stream, so that no order changes it. The prior is learned with the encoder; with k0 small
    the mean is the classes' own, as in the paper.

    Args:
        encoder: model mapping `x [N, ...]` to features `[N, D]`; on batch normalization see `oml`.
        shape, scale, strength: where a0, b0 and k0 start, above 0. m0 starts at 0.
        density: `predictive` or `most_likely`.
        loss_fn: `(prediction, y) -> [N]`, for the query.

    Raises:
        ValueError: if one of the three is not above 0 or not finite.

    Differs from the paper: m0 and k0 are learned too, where it has k0 = 0; b0 is one for each dimension. The
    predictive has half of the logarithm of the variance, where public code has all of it.
    Source: Banayeeanzade et al. 2021, Generative vs. Discriminative: Rethinking The Meta-Continual Learning, section 4.
    https://openreview.net/forum?id=mTNKpHvT0xj
    """
    for name, value in (("shape", shape), ("scale", scale), ("strength", strength)):
        check_above_zero(name, value)

    def init(key: Array, x: Any) -> GeMCLParams:
        params = encoder.init(key, x)
        z = jax.eval_shape(encoder.apply, params, x)
        each = lambda number: jnp.full(z.shape[-1:], number, z.dtype)
        one = lambda number: jnp.asarray(math.log(number), z.dtype)
        return GeMCLParams(params, Prior(one(shape), each(math.log(scale)), one(strength), each(0.0)))

    def adapt(params: GeMCLParams, support: Batch) -> GeMCLAdapted:
        z, kept = calls.read(encoder, params.encoder, support)
        return GeMCLAdapted(kept, posterior(params.prior, moments(z, support)), supported(support))

    def predict(adapted: GeMCLAdapted, x: Any, weight: Array | None = None) -> Array:
        z = calls.apply(encoder, adapted.encoder, x, weight)
        # A query at a time: all pairs of queries and classes, by dimension, need not fit into memory together.
        logits = lax.map(jax.checkpoint(lambda row: density(adapted.posterior, row)), z)
        return possible(logits, adapted.supported)

    return episodic(init, adapt, predict, judge(loss_fn))
