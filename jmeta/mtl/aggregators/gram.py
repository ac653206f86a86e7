"""The products of the gradients of T tasks, and aggregators that need nothing else."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jmeta.distances import product, wide
from jmeta.mtl.types import Aggregator
from jmeta.types import Params


def gram(jacobian: Params) -> Array:
    """The products of the gradients of T tasks.

        G_ij = g_i . g_j, summed over all leaves

    Args:
        jacobian: pytree of leaves `[T, ...]`.

    Returns:
        `[T, T]`, in float32 or better.

    Raises:
        ValueError: if there are no leaves, or their first axes differ.

    Example:
        >>> gram({"a": jnp.array([3.0, 1.0]), "b": jnp.array([[4.0], [0.0]])}).tolist()
        [[25.0, 3.0], [3.0, 1.0]]
    """
    flat = [wide(leaf.reshape(leaf.shape[0], -1)) for leaf in leaves(jacobian)]
    return functools.reduce(jnp.add, (product(a, a.T) for a in flat))


def by_weights(weights_fn: Callable[[Array, Array | None], Array]) -> Aggregator:
    """An aggregator that weighs gradients by what it makes of their products.

        A(J) = sum_i w_i g_i,   w = weights_fn(G, key)

    Args:
        weights_fn: `(G [T, T], key) -> [T]`.

    Example:
        >>> of_length_1 = by_weights(lambda gram, key: 1 / jnp.sqrt(jnp.diagonal(gram)))
        >>> of_length_1(jnp.array([[2.0, 0.0], [0.0, 5.0]])).tolist()
        [1.0, 1.0]
    """

    def aggregate(jacobian: Params, key: Array | None = None) -> Params:
        return combine(weights_fn(gram(jacobian), key), jacobian)

    return aggregate


def of_hull(aggregate: Any) -> Any:
    """Mark an aggregator that a gradient of 0 holds back, and one in the convex hull of the others does not.

    For a task without rows it is given the mean of the others, see `with_mean`; other aggregators are given 0.
    """
    aggregate.of_hull = True
    return aggregate


def with_mean(jacobian: Params, present: Array) -> Params:
    """With the mean of the gradients that are there `[T]` in place of those that are not, which are 0."""
    count = jnp.maximum(jnp.sum(present), 1)

    def one(leaf: Array) -> Array:
        mean = jnp.sum(leaf, axis=0, keepdims=True) / count.astype(leaf.dtype)
        return jnp.where(present.reshape(-1, *(1,) * (leaf.ndim - 1)), leaf, mean)

    return jax.tree.map(one, jacobian)


def combine(weights: Array, jacobian: Params) -> Params:
    """`sum_i w_i g_i` of weights `[T]` and leaves `[T, ...]`, in the leaves' dtypes."""

    def one(leaf: Array) -> Array:
        flat = wide(leaf.reshape(leaf.shape[0], -1))
        return product(weights.astype(flat.dtype), flat).reshape(leaf.shape[1:]).astype(leaf.dtype)

    return jax.tree.map(one, jacobian)


def leaves(jacobian: Params) -> list[Array]:
    """The leaves `[T, ...]` of a Jacobian."""
    found = jax.tree.leaves(jacobian)
    tasks = {jnp.shape(leaf)[:1] for leaf in found}
    if len(tasks) != 1 or tasks == {()}:
        shapes = ", ".join(str(jnp.shape(leaf)) for leaf in found) or "no leaves"
        raise ValueError(f"a Jacobian must have leaves [T, ...] of the gradients of T tasks, got {shapes}")
    return found


def over_trace(gram: Array) -> Array:
    """A Gram matrix over its trace, so that the size of the gradients has no part; zeros stay zeros."""
    return ratio(gram, jnp.trace(gram))


def cosines(gram: Array) -> tuple[Array, Array]:
    """The cosines `[T, T]` between gradients, and their norms `[T]`. A gradient of 0 has a cosine of 0 with others."""
    norms = jnp.sqrt(jnp.maximum(jnp.diagonal(gram), 0))
    between = ratio(ratio(gram, norms[:, None]), norms[None])
    return jnp.where(jnp.eye(len(gram), dtype=bool), 1, between), norms


def regularized(gram: Array, strength: float) -> Array:
    """With a number added to the diagonal."""
    return gram + strength * jnp.eye(len(gram), dtype=gram.dtype)


def ratio(a: Array, b: Array) -> Array:
    """`a / b`, and 0 where b is."""
    return jnp.where(b == 0, 0, a / jnp.where(b == 0, 1, b))


def needed(key: Array | None, name: str) -> Array:
    """The key of an aggregator that draws numbers."""
    if key is None:
        raise ValueError(f"{name} draws numbers, got no key: pass one, as in aggregate(jacobian, key)")
    return key
