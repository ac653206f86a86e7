"""Aligned-MTL: gradients made orthogonal and equally long, as close to their own as can be (Senushkin et al. 2023)."""

import jax.numpy as jnp
from jax import Array

from jmeta.distances import product
from jmeta.mtl.aggregators.gram import by_weights, over_trace, ratio
from jmeta.mtl.types import Aggregator


def aligned_mtl() -> Aggregator:
    """The mean of the gradients after their principal components are given the size of the smallest.

        G = V diag(lambda) V',   B = sqrt(lambda_min) V diag(lambda)^(-1/2) V',   w = B (1 / T, .., 1 / T)

    The rows of `B J` are the orthogonal system closest to J, of condition number 1.

    Example:
        >>> [round(a, 4) for a in aligned_mtl()(jnp.array([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]])).tolist()]
        [0.2133, 0.9673, 0.9673]

    Differs from the paper: nothing. Of gradients that are linearly dependent, components of size 0 are left out.

    Source: Senushkin et al. 2023, Independent Component Alignment for Multi-Task Learning, algorithm 1.
    https://arxiv.org/abs/2305.19000
    """
    return by_weights(lambda gram, key: aligned_mtl_weights(gram))


def aligned_mtl_weights(gram: Array) -> Array:
    """The weights `[T]` of `aligned_mtl`, for the products `[T, T]` of the gradients."""
    tasks = len(gram)
    sizes, vectors = jnp.linalg.eigh(over_trace(gram))
    kept = sizes > tasks * jnp.finfo(gram.dtype).eps * jnp.max(sizes)
    least = jnp.min(jnp.where(kept, sizes, jnp.inf))
    factors = jnp.where(kept, jnp.sqrt(ratio(least, jnp.where(kept, sizes, 1))), 0)
    return product(vectors, factors * jnp.mean(vectors, axis=0))
