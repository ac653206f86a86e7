"""How alike features are, and the mean features of each class."""

import jax.numpy as jnp
from jax import Array, lax

from jmeta.types import Batch


def prototypes(z: Array, support: Batch) -> Array:
    """Mean features of each class.

        c_k = sum_n w_n y_nk z_n / sum_n w_n y_nk

    Args:
        z: features `[N, D]` of the support examples.
        support: their labels and weights.

    Returns:
        `[way, D]`; zeros for a class that has no example.

    Example:
        >>> z = jnp.array([[1.0, 0.0], [3.0, 0.0], [0.0, 5.0]])
        >>> prototypes(z, Batch(z, jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))).tolist()
        [[2.0, 0.0], [0.0, 5.0]]
    """
    member = support.y if support.weight is None else support.y * support.weight[:, None]
    counts = jnp.sum(member, axis=0)[:, None]
    return member.T @ z / jnp.where(counts > 0, counts, 1)


def squared_distances(a: Array, b: Array) -> Array:
    """Squared Euclidean distances `[N, D], [M, D] -> [N, M]`, as `|a|^2 - 2 a.b + |b|^2` and at least 0.

    Example:
        >>> squared_distances(jnp.array([[0.0, 0.0]]), jnp.array([[3.0, 4.0], [0.0, 1.0]])).tolist()
        [[25.0, 1.0]]
    """
    squares = jnp.sum(a * a, axis=-1)[:, None] - 2 * a @ b.T + jnp.sum(b * b, axis=-1)[None]
    return jnp.maximum(squares, 0)


def nearness(a: Array, b: Array) -> Array:
    """Squared Euclidean distances with a minus `[N, D], [M, D] -> [N, M]`: the nearer, the larger.

    Example:
        >>> nearness(jnp.array([[0.0, 0.0]]), jnp.array([[3.0, 4.0], [0.0, 1.0]])).tolist()
        [[-25.0, -1.0]]
    """
    return -squared_distances(a, b)


def unit(z: Array) -> Array:
    """Features `[N, D]` over their length; those of length 0 stay 0, and have a finite derivative.

    Example:
        >>> unit(jnp.array([[3.0, 4.0], [0.0, 0.0]])).round(4).tolist()
        [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]]
    """
    return z * lax.rsqrt(jnp.sum(z * z, axis=-1, keepdims=True) + 1e-12)


def cosines(a: Array, b: Array) -> Array:
    """Cosines of the angles between features `[N, D], [M, D] -> [N, M]`; 0 where one has no length.

    Example:
        >>> cosines(jnp.array([[2.0, 0.0]]), jnp.array([[5.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])).tolist()
        [[1.0, 0.0, -1.0]]
    """
    return unit(a) @ unit(b).T
