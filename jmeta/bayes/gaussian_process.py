"""The algebra of Gaussian processes on matrices: conditioning, evidence, and what is known elsewhere."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from jmeta.cholesky import cholesky, forward
from jmeta.distances import product
from jmeta.distributions import Normal


class Conditioned(NamedTuple):
    """A process of mean 0 that has seen N examples.

    Attributes:
        factor: `[N, N]`, the lower Cholesky factor L of their covariance, noise included; that of the identity for
            examples that are not there.
        whitened: `L^-1 y` of the targets `[N, targets]`.
        log_evidence: `[targets]`, the logarithm of the density of each column of targets, in nats, of all examples
            jointly.
        there: `[N]`, 1 for examples and 0 for padding.
    """

    factor: Array
    whitened: Array
    log_evidence: Array
    there: Array


def _jitter(variance: Array) -> Array:
    """8 eps of the largest variance of `[N]`, 1e-6 of it in float32, for each; any where all are 0."""
    largest = jnp.max(lax.stop_gradient(variance))
    jitter = 8 * jnp.finfo(variance.dtype).eps * jnp.where(largest > 0, largest, 1)
    return jnp.broadcast_to(jitter, variance.shape)


def condition(k: Array, y: Array, noise: Array, weight: Array | None = None) -> Conditioned:
    """A process that has seen targets with noise; with none of them there, it is the prior.

        A = k + diag(noise / w) = L L'
        log_evidence = -|L^-1 y|^2 / 2 - log det L - n log(2 pi) / 2

    Args:
        k: covariance `[N, N]` of the function at the examples.
        y: targets `[N, targets]`, which are independent of each other.
        noise: variance `[]` of a target.
        weight: `[N]`; an example of weight 0 is not there, one of weight 2 is the mean of two targets.

    A gets a jitter of 8 eps times its largest variance, 1e-6 of it in float32: see `cholesky`. So examples that are
    equal, or nearly, give numbers that are finite without noise too.
    """
    weight = jnp.ones_like(k[0]) if weight is None else weight.astype(k.dtype)
    real = weight > 0
    there = real.astype(k.dtype)
    own = jnp.where(real, noise / jnp.where(real, weight, 1), 1)
    y = jnp.where(real[:, None], y, 0)
    a = jnp.where(real[:, None] & real[None], k, 0) + jnp.diag(own)
    factor = cholesky(a, _jitter(there * jnp.diagonal(a)))
    whitened = forward(factor, y)
    logs = jnp.sum(jnp.log(jnp.diagonal(factor))) + jnp.sum(there) * jnp.log(2 * jnp.pi) / 2
    return Conditioned(factor, whitened, -jnp.sum(jnp.square(whitened), axis=0) / 2 - logs, there)


def marginals(known: Conditioned, cross: Array, variance: Array) -> Normal:
    """Mean and variance `[M, targets]` of the function at M places.

        mean = (L^-1 c)' L^-1 y,   variance - |L^-1 c|^2,   0 at the least

    Args:
        known: the process.
        cross: covariances c `[N, M]` of the function at the examples and at the places.
        variance: `[M]`, of the prior at the places.
    """
    part = forward(known.factor, cross * known.there[:, None])
    mean = product(part.T, known.whitened)
    left = jnp.maximum(variance - jnp.sum(jnp.square(part), axis=0), 0)
    return Normal(mean, jnp.broadcast_to(left[:, None], mean.shape))


def joint(known: Conditioned, cross: Array, k: Array) -> tuple[Array, Array]:
    """Mean `[M, targets]` and covariance `[M, M]` of the function at M places, whose prior covariance is `k`."""
    part = forward(known.factor, cross * known.there[:, None])
    return product(part.T, known.whitened), k - product(part.T, part)


def draw(key: Array, mean: Array, covariance: Array, prior: Array) -> Array:
    """A function `[M, targets]` with a mean and a covariance `[M, M]`, with the jitter of a prior variance `[M]`."""
    factor = cholesky(covariance, _jitter(prior))
    return mean + product(factor, jax.random.normal(key, mean.shape, mean.dtype))
