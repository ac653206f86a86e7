"""What closed-form learners keep of a stream: numbers, means and spreads of each class, in which no order is left."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from jmeta.distances import members, product, prototypes
from jmeta.types import Batch


class Moments(NamedTuple):
    """How many examples each class has `[way]`, their means `[way, D]`, and sums of squares about these `[way, D]`."""

    count: Array
    mean: Array
    scatter: Array


def moments(z: Array, support: Batch) -> Moments:
    """Of all features `[N, D]` of a stream with one-hot labels, at once.

    n_k = sum_n w_n y_nk,   m_k = sum_n w_n y_nk z_n / n_k,   s_k = sum_n w_n y_nk (z_n - m_k)^2
    """
    mean, member = prototypes(z, support), members(support)
    apart = jnp.square(z - product(support.y, mean))
    return Moments(jnp.sum(member, axis=0), mean, product(member.T, apart))


def nothing(way: int, size: int) -> Moments:
    """Of no examples."""
    return Moments(jnp.zeros(way), jnp.zeros((way, size)), jnp.zeros((way, size)))


def updated(known: Moments, z: Array, y: Array, weight: Array | float = 1.0) -> Moments:
    """With one example more, `z [D], y [way]`: what a stream that goes on takes, in the memory of a class each.

        n' = n + w,   m' = m + w (z - m) / n',   s' = s + w (z - m) (z - m')

    Example:
        >>> one = updated(updated(nothing(1, 1), jnp.array([1.0]), jnp.ones(1)), jnp.array([3.0]), jnp.ones(1))
        >>> one.count.tolist(), one.mean.tolist(), one.scatter.tolist()
        ([2.0], [[2.0]], [[2.0]])

    Source: Welford 1962, Note on a method for calculating corrected sums of squares and products.
    https://doi.org/10.1080/00401706.1962.10490022
    """
    share = (weight * y)[:, None]
    count = known.count + share[:, 0]
    before = z[None] - known.mean
    mean = known.mean + share * before / jnp.where(count > 0, count, 1)[:, None]
    return Moments(count, mean, known.scatter + share * before * (z[None] - mean))
