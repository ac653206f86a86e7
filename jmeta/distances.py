"""How alike features are, and the mean features of each class."""

import math
from collections.abc import Callable
from typing import NamedTuple

import chex
import jax.numpy as jnp
from jax import Array, lax

from jmeta.checks import check_above_zero
from jmeta.types import Batch, Params
from jmeta.types import wide as wide

SimilarityFn = Callable[[Array, Array], Array]
"""`(a [N, D], b [M, D]) -> [N, M]`, how alike features are, such as `nearness`: it learns nothing."""


def product(a: Array, b: Array) -> Array:
    """`a @ b` in the full precision of its dtype, of which accelerators keep ten bits unless they are told."""
    return jnp.matmul(a, b, precision=lax.Precision.HIGHEST)


def members(batch: Batch) -> Array:
    """Labels times weights `[N, way]`."""
    return batch.y if batch.weight is None else batch.y * batch.weight[:, None]


def supported(support: Batch) -> Array:
    """Which classes `[way]` have an example: 1 and 0. Those without have no prototype, and can't be predicted."""
    return (jnp.sum(members(support), axis=0) > 0).astype(support.y.dtype)


def prototypes(z: Array, support: Batch) -> Array:
    """Mean features `[way, D]` of each class, of features `[N, D]` of the support set; zeros without an example.

        c_k = sum_n w_n y_nk z_n / sum_n w_n y_nk

    Example:
        >>> z = jnp.array([[1.0, 0.0], [3.0, 0.0], [0.0, 5.0]])
        >>> prototypes(z, Batch(z, jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))).tolist()
        [[2.0, 0.0], [0.0, 5.0]]
    """
    chex.assert_equal_shape_prefix([z, support.y], 1)
    member = members(support)
    counts = jnp.sum(member, axis=0)[:, None]
    return product(member.T, z) / jnp.where(counts > 0, counts, 1)


def _floats(a: Array) -> Array:
    """Features as they are, and as floats if they are integers, which would wrap or be cut off."""
    return a if jnp.issubdtype(a.dtype, jnp.inexact) else jnp.asarray(a, float)


def squared_distances(a: Array, b: Array) -> Array:
    """Squared Euclidean distances `[N, D], [M, D] -> [N, M]`, as `|a|^2 - 2 a.b + |b|^2` and at least 0.

    Both are taken from the first row of b, so that what all features have in common costs no digits. The mean of all
    rows would let padding take digits from the others.

    Example:
        >>> squared_distances(jnp.array([[0.0, 0.0]]), jnp.array([[3.0, 4.0], [0.0, 1.0]])).tolist()
        [[25.0, 1.0]]
    """
    a, b = _floats(a), _floats(b)
    origin = lax.stop_gradient(wide(b[:1]))  # of which distances are no function
    x, y = wide(a) - origin, wide(b) - origin
    squares = jnp.sum(x * x, axis=-1)[:, None] - 2 * product(x, y.T) + jnp.sum(y * y, axis=-1)[None]
    return jnp.maximum(squares, 0).astype(a.dtype)


def nearness(a: Array, b: Array) -> Array:
    """Squared Euclidean distances with a minus `[N, D], [M, D] -> [N, M]`: the nearer, the larger.

    Example:
        >>> nearness(jnp.array([[0.0, 0.0]]), jnp.array([[3.0, 4.0], [0.0, 1.0]])).tolist()
        [[-25.0, -1.0]]
    """
    return -squared_distances(a, b)


def tempered(temperature: float) -> SimilarityFn:
    """`nearness` over a temperature: `-|a - b|^2 / temperature`.

    Features that were learned under another loss may lie so far apart that the softmax of their distances is all or
    nothing, and what follows starts by learning to shrink them. MetaOptNet's prototypes have `D`.

    Raises:
        ValueError: for a temperature that is not finite and above 0.

    Example:
        >>> tempered(2.0)(jnp.array([[0.0, 0.0]]), jnp.array([[3.0, 4.0]])).tolist()
        [[-12.5]]

    Source: Lee et al. 2019, Meta-learning with differentiable convex optimization, the authors' code.
    https://arxiv.org/abs/1904.03758
    """
    check_above_zero("temperature", temperature)
    return lambda a, b: nearness(a, b) / temperature


def l2_normalize(z: Array) -> Array:
    """Features `[N, D]` over their length; those of length 0 stay 0, and have a finite derivative.

    Example:
        >>> [[round(v, 4) for v in row] for row in l2_normalize(jnp.array([[3.0, 4.0], [0.0, 0.0]])).tolist()]
        [[0.6, 0.8], [0.0, 0.0]]
    """
    z = _floats(z)
    x = wide(z)
    return (x * lax.rsqrt(jnp.sum(x * x, axis=-1, keepdims=True) + 1e-12)).astype(z.dtype)


def cosine_similarity(a: Array, b: Array) -> Array:
    """Cosines of the angles between features `[N, D], [M, D] -> [N, M]`; 0 where one has no length.

    Example:
        >>> cosine_similarity(jnp.array([[2.0, 0.0]]), jnp.array([[5.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])).tolist()
        [[1.0, 0.0, -1.0]]
    """
    return product(l2_normalize(a), l2_normalize(b).T)


def pair_weights(shape: tuple[int, ...], weight: Array | None, classes: Array | None) -> Array | None:
    """Weights `[N * way]` of all pairs of an example and a class: 0 where one of the two is padding."""
    given = weight if classes is None else classes
    if given is None:
        return None
    of_examples = jnp.ones(shape[0], given.dtype) if weight is None else weight
    of_classes = jnp.ones(shape[1], given.dtype) if classes is None else classes
    return (of_examples[:, None] * of_classes[None]).reshape(-1)


class Similarity(NamedTuple):
    """How alike features are, with parameters that are learned beside those of the encoder.

    Attributes:
        init: `key -> params`.
        apply: `(params, a [N, D], b [M, D]) -> [N, M]`.
    """

    init: Callable[[Array], Params]
    apply: Callable[[Params, Array, Array], Array]


def fixed(function: SimilarityFn) -> Similarity:
    """A `Similarity` that learns nothing."""
    return Similarity(lambda key: {}, lambda params, a, b: function(a, b))


def check_fixed(similarity: SimilarityFn) -> None:
    """TypeError for a `Similarity` where a function is wanted, by learners that would not learn its parameters."""
    if not callable(similarity):
        raise TypeError(
            "similarity must be a function of two arrays of features here, such as jmeta.distances.nearness, "
            f"got {type(similarity).__name__}: only jmeta.matching learns the parameters of one"
        )


def scaled_cosine(temperature: float = 0.1) -> Similarity:
    """Cosines over a temperature, which starts as given and stays positive: its logarithm is learned.

        similarity(a, b) = cos(a, b) / temperature

    Raises:
        ValueError: if `temperature` is not above 0 or not finite.

    Example:
        >>> import jax
        >>> similarity = scaled_cosine(0.5)
        >>> params = similarity.init(jax.random.key(0))
        >>> similarity.apply(params, jnp.array([[2.0, 0.0]]), jnp.array([[3.0, 0.0], [0.0, 1.0]])).tolist()
        [[2.0, 0.0]]
    """
    check_above_zero("temperature", temperature)

    def apply(params: Params, a: Array, b: Array) -> Array:
        alike = cosine_similarity(a, b)
        return alike * jnp.exp(-params["log_temperature"]).astype(alike.dtype)

    return Similarity(lambda key: {"log_temperature": jnp.asarray(math.log(temperature), float)}, apply)
