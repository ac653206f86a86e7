"""PCGrad: gradients without what conflicts with others (Yu et al. 2020)."""

import jax
import jax.numpy as jnp
from jax import Array, lax

from jmeta.mtl.aggregators.gram import by_weights, needed, ratio
from jmeta.mtl.types import Aggregator


def pcgrad() -> Aggregator:
    """Project each gradient off those that it conflicts with, one after another in random order, and add up.

        g_i' <- g_i' - (g_i' . g_j) / |g_j|^2 g_j   where g_i' . g_j < 0,   for all j != i, starting from g_i' = g_i
        A(J) = sum_i g_i'

    Raises:
        ValueError: when it is called without a key, which it needs.

    Example:
        >>> jacobian = jnp.array([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]])
        >>> [round(a, 4) for a in pcgrad()(jacobian, jax.random.key(0)).tolist()]
        [0.5848, 3.8012, 3.8012]

    Differs from the paper: nothing. The steps are taken on the weights of the gradients, by their products alone.

    Source: Yu et al. 2020, Gradient Surgery for Multi-Task Learning, algorithm 1. https://arxiv.org/abs/2001.06782
    """
    return by_weights(lambda gram, key: pcgrad_weights(gram, needed(key, "pcgrad")))


def pcgrad_weights(gram: Array, key: Array) -> Array:
    """The weights `[T]` of `pcgrad`, for the products `[T, T]` of the gradients; the key decides the order."""
    tasks = len(gram)

    def one(own: Array, key: Array) -> Array:
        def against(weights: Array, other: Array) -> tuple[Array, None]:
            dot = jnp.sum(gram[other] * weights)
            conflict = (other != own) & (dot < 0)
            return weights.at[other].add(-jnp.where(conflict, ratio(dot, gram[other, other]), 0)), None

        start = (jnp.arange(tasks) == own).astype(gram.dtype)
        return lax.scan(against, start, jax.random.permutation(key, tasks))[0]

    return jnp.sum(jax.vmap(one)(jnp.arange(tasks), jax.random.split(key, tasks)), axis=0)
