"""Stein variational gradient descent: particles that go where a density is large, and keep off each other."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array, lax

from jmeta.distances import product, squared_distances

Bandwidth = Callable[[Array], Array]
"""`squared distances [M, M] -> h []`."""


def median_bandwidth(squares: Array) -> Array:
    """`h = median squared distance / log(M + 1)`, of different particles; 1 where there is one, or all are equal.

    With `log M`, as often written, one particle would have a bandwidth of 0 / 0.
    """
    number = len(squares)
    if number == 1:
        return jnp.ones((), squares.dtype)
    apart = squares[jnp.triu_indices(number, 1)]
    h = jnp.median(lax.stop_gradient(apart)) / jnp.log(number + 1.0)
    return jnp.where(h > 0, h, 1)


def direction(particles: Array, score: Array, bandwidth: Bandwidth = median_bandwidth) -> Array:
    """Where particles go to lower the Kullback-Leibler divergence fastest, `[M, P]`.

        phi_i  = 1/M sum_j  k_ji score_j + (2 / h) k_ji (x_i - x_j),    k_ji = exp(-|x_j - x_i|^2 / h)

    With one particle it is the score, so that steps are gradient ascent. Two particles in the standard normal, with
    h = 1, come to rest at +- sqrt(log 5) / 2 = +- .63432; without the factor of 2 they would at +- .52407.

    Args:
        particles: x, `[M, P]`.
        score: gradients of the log density at them, `[M, P]`.
        bandwidth: h by squared distances `[M, M]`.

    Source: Liu and Wang 2016, Stein Variational Gradient Descent, algorithm 1. https://arxiv.org/abs/1608.04471
    """
    squares = squared_distances(particles, particles)
    h = bandwidth(squares)
    k = jnp.exp(-squares / h)
    away = particles * jnp.sum(k, axis=1, keepdims=True) - product(k, particles)
    return (product(k, score) + 2 / h * away) / len(particles)


def fixed_bandwidth(h: float) -> Bandwidth:
    """The same whatever the particles."""
    return lambda squares: jnp.asarray(h, squares.dtype)


def scores(log_density: Callable[[Array], Array], particles: Array) -> Array:
    """Gradients of a log density `[P] -> []` at particles `[M, P]`."""
    return jax.vmap(jax.grad(log_density))(particles)
