"""Simulations: means of many, and gamma variables for posteriors (Marsaglia and Tsang 2000)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from jmeta.report.statistics import student_t


class Estimate(NamedTuple):
    """A mean over tasks, and half of its 95 % interval; any shape."""

    mean: Array
    interval: Array


def estimate(values: Array) -> Estimate:
    """The mean of `values [tasks, ...]` over tasks, of which there must be 2 or more.

    interval = t(tasks - 1) sqrt(variance / tasks)
    """
    spread = jnp.std(values, axis=0, ddof=1)
    return Estimate(jnp.mean(values, axis=0), student_t(len(values) - 1) * spread / len(values) ** 0.5)


def gamma(key: Array, shape: Array) -> Array:
    """Draw from `Gamma(shape, 1)`, for shapes `[...]` float32 of 1 or more.

        v = (1 + x / sqrt(9 d))^3,   d = shape - 1/3,   x ~ N(0, 1)
        take d v  where  log u < x^2 / 2 + d (1 - v + log v),   u ~ U(0, 1),   and draw again elsewhere

    One number in 20 at most is drawn again, all together: on a CPU many times as fast as `jax.random.gamma`, which
    draws each by itself.

    Source: Marsaglia and Tsang 2000, A Simple Method for Generating Gamma Variables.
    https://doi.org/10.1145/358407.358414
    """
    # In one row, for which random numbers compile many times as fast.
    d = jnp.ravel(shape) - 1 / 3

    def body(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        key, drawn, waiting = carry
        key, of_x, of_u = jax.random.split(key, 3)
        x = jax.random.normal(of_x, d.shape, d.dtype)
        root = 1 + x / jnp.sqrt(9 * d)
        v = root**3
        log_v = 3 * jnp.log(jnp.where(root > 0, root, 1))
        # 1 - u is above 0.
        log_u = jnp.log1p(-jax.random.uniform(of_u, d.shape, d.dtype))
        taken = waiting & (root > 0) & (log_u < x**2 / 2 + d * (1 - v + log_v))
        return key, jnp.where(taken, d * v, drawn), waiting & ~taken

    start = key, jnp.ones_like(d), jnp.ones(d.shape, bool)
    return jnp.reshape(lax.while_loop(lambda carry: jnp.any(carry[2]), body, start)[1], shape.shape)
