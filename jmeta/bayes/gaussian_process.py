"""The algebra of Gaussian processes on matrices: conditioning, evidence, and what is known elsewhere."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.scipy.linalg import cho_solve, solve_triangular

from jmeta.distances import product
from jmeta.distributions import Normal

MOST_JITTER = 1.0
"""In variances; a matrix that needs more is not finite."""


class Conditioned(NamedTuple):
    """A process of mean 0 that has seen N examples.

    Attributes:
        factor: `[N, N]`, the lower Cholesky factor L of their covariance, noise included; that of the identity for
            examples that are not there.
        answer: `[N, targets]`, the inverse of that covariance times the targets.
        log_evidence: `[targets]`, the logarithm of the density of each column of targets, in nats, of all examples
            jointly.
        there: `[N]`, 1 for examples and 0 for padding.
    """

    factor: Array
    answer: Array
    log_evidence: Array
    there: Array


def condition(k: Array, y: Array, noise: Array, weight: Array | None = None) -> Conditioned:
    """A process that has seen targets with noise; with none of them there, it is the prior.

        A = k + diag(noise / w),   answer = A^-1 y
        log_evidence = -y' A^-1 y / 2 - log det(A) / 2 - n log(2 pi) / 2

    Args:
        k: covariance `[N, N]` of the function at the examples.
        y: targets `[N, targets]`, which are independent of each other.
        noise: variance `[]` of a target.
        weight: `[N]`; an example of weight 0 is not there, one of weight 2 is the mean of two targets.

    A gets a jitter: the smallest of 1, 10, 100 ... times 8 eps of its largest variance (1e-6 of it in float32) with
    which it has a Cholesky factor. So near or equal examples without noise give no NaN.
    """
    weight = jnp.ones_like(k[0]) if weight is None else weight.astype(k.dtype)
    there = (weight > 0).astype(k.dtype)
    own = jnp.where(weight > 0, noise / jnp.where(weight > 0, weight, 1), 1)
    y, k = y * there[:, None], k * there[:, None] * there[None]
    unit = there * jnp.max(jnp.diagonal(k) + there * own)
    factor = jnp.linalg.cholesky(_with_jitter(k + jnp.diag(own), unit))
    answer = cho_solve((factor, True), y)
    logs = jnp.sum(jnp.log(jnp.diagonal(factor))) + jnp.sum(there) * jnp.log(2 * jnp.pi) / 2
    return Conditioned(factor, answer, -jnp.sum(y * answer, axis=0) / 2 - logs, there)


def _with_jitter(a: Array, unit: Array) -> Array:
    """The matrix with the jitter of `condition` on its diagonal, in units `[N]`."""
    fixed, unit = lax.stop_gradient((a, unit))
    with_it = lambda a, share: a + jnp.diag(share * unit)

    def fails(share: Array) -> Array:
        return ~jnp.all(jnp.isfinite(jnp.linalg.cholesky(with_it(fixed, share)))) & (share < MOST_JITTER)

    least = jnp.asarray(8 * jnp.finfo(a.dtype).eps, a.dtype)
    return with_it(a, lax.while_loop(fails, lambda share: 10 * share, least))


def marginals(known: Conditioned, cross: Array, variance: Array) -> Normal:
    """Mean and variance `[M, targets]` of the function at M places.

        mean = c' answer,   variance - |L^-1 c|^2,   0 at the least

    Args:
        known: the process.
        cross: covariances c `[N, M]` of the function at the examples and at the places.
        variance: `[M]`, of the prior at the places.
    """
    cross = cross * known.there[:, None]
    mean = product(cross.T, known.answer)
    explained = jnp.sum(jnp.square(solve_triangular(known.factor, cross, lower=True)), axis=0)
    left = jnp.maximum(variance - explained, 0)
    return Normal(mean, jnp.broadcast_to(left[:, None], mean.shape))


def joint(known: Conditioned, cross: Array, k: Array) -> tuple[Array, Array]:
    """Mean `[M, targets]` and covariance `[M, M]` of the function at M places, whose prior covariance is `k`."""
    cross = cross * known.there[:, None]
    part = solve_triangular(known.factor, cross, lower=True)
    return product(cross.T, known.answer), k - product(part.T, part)


def draw(key: Array, mean: Array, covariance: Array, unit: Array) -> Array:
    """A function `[M, targets]` with a mean and a covariance `[M, M]`, which gets the jitter of `condition` in units
    `[]` of the prior variance."""
    factor = jnp.linalg.cholesky(_with_jitter(covariance, jnp.broadcast_to(unit, mean.shape[:1])))
    return mean + product(factor, jax.random.normal(key, mean.shape, mean.dtype))
