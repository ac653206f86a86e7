"""Cosines between the gradients of tasks, which come free with a Gram matrix of them."""

import jax.numpy as jnp
from jax import Array


def gradient_cosines(gram: Array) -> Array:
    """Cosines `[T, T]` of the angles between gradients, from their products.

        c_ij = g_i.g_j / (|g_i| |g_j|),   between -1 and 1;   0 where a gradient is 0

    Args:
        gram: `[T, T]`, the products of the gradients of T tasks, of `jmeta.mtl.aggregators.gram`.

    Example:
        >>> gradient_cosines(jnp.array([[4.0, -2.0, 0.0], [-2.0, 4.0, 0.0], [0.0, 0.0, 0.0]])).tolist()
        [[1.0, -0.5, 0.0], [-0.5, 1.0, 0.0], [0.0, 0.0, 0.0]]
    """
    squares = jnp.diagonal(gram)
    # One over each length by itself, since the product of two squares may be too large or too small for a float.
    over = jnp.where(squares > 0, 1 / jnp.sqrt(jnp.where(squares > 0, squares, 1)), 0)
    return jnp.clip(gram * over[:, None] * over[None, :], -1, 1)
