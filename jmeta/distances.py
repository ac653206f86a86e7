"""How alike features are, and the mean features of each class."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array, lax

from jmeta.types import Batch, Params


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
        >>> [[round(v, 4) for v in row] for row in unit(jnp.array([[3.0, 4.0], [0.0, 0.0]])).tolist()]
        [[0.6, 0.8], [0.0, 0.0]]
    """
    return z * lax.rsqrt(jnp.sum(z * z, axis=-1, keepdims=True) + 1e-12)


def cosines(a: Array, b: Array) -> Array:
    """Cosines of the angles between features `[N, D], [M, D] -> [N, M]`; 0 where one has no length.

    Example:
        >>> cosines(jnp.array([[2.0, 0.0]]), jnp.array([[5.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])).tolist()
        [[1.0, 0.0, -1.0]]
    """
    return unit(a) @ unit(b).T


class Similarity(NamedTuple):
    """How alike features are, with parameters that are learned beside those of the encoder.

    Attributes:
        init: `key -> params`.
        apply: `(params, a [N, D], b [M, D]) -> [N, M]`.
    """

    init: Callable[[Array], Params]
    apply: Callable[[Params, Array, Array], Array]


def fixed(function: Callable[[Array, Array], Array]) -> Similarity:
    """A `Similarity` that learns nothing, from `(a [N, D], b [M, D]) -> [N, M]`."""
    return Similarity(lambda key: {}, lambda params, a, b: function(a, b))


NEARNESS = fixed(nearness)
"""`nearness` as a `Similarity`."""


def scaled_cosine(temperature: float = 0.1) -> Similarity:
    """Cosines over a temperature that is learned, through its logarithm, and so stays positive.

        similarity(a, b) = cos(a, b) / temperature

    Args:
        temperature: where it starts, above 0.

    Raises:
        ValueError: if `temperature` is not above 0.

    Example:
        >>> import jax
        >>> similarity = scaled_cosine(0.5)
        >>> params = similarity.init(jax.random.key(0))
        >>> similarity.apply(params, jnp.array([[2.0, 0.0]]), jnp.array([[3.0, 0.0], [0.0, 1.0]])).tolist()
        [[2.0, 0.0]]
    """
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature must be above 0, got {temperature}")

    def apply(params: Params, a: Array, b: Array) -> Array:
        return cosines(a, b) * jnp.exp(-params["log_temperature"])

    return Similarity(lambda key: {"log_temperature": jnp.asarray(math.log(temperature), jnp.float32)}, apply)
