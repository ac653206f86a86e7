"""MGDA: the shortest gradient among all convex combinations (Desideri 2012; Sener and Koltun 2018)."""

from jax import Array

from jmeta.mtl.aggregators.convex import least_on_simplex
from jmeta.mtl.aggregators.gram import by_weights, of_hull, over_trace
from jmeta.mtl.types import Aggregator


def mgda() -> Aggregator:
    """The point of the gradients' convex hull that is closest to 0.

        w = argmin |sum_i w_i g_i|^2   over   w_i >= 0, sum_i w_i = 1

    A step against it lets no loss grow, and it is 0 exactly where the point is Pareto stationary.

    Example:
        >>> from jax import numpy as jnp
        >>> [round(a, 4) for a in mgda()(jnp.array([[2.0, 0.0], [0.0, 1.0]])).tolist()]
        [0.4, 0.8]

    Differs from the paper: Sener and Koltun find w by Frank-Wolfe, here it is an interior point's. Gradients are not
    normalized first.

    Source: Desideri 2012, Multiple-gradient descent algorithm, https://doi.org/10.1016/j.crma.2012.03.014. Sener and
    Koltun 2018, Multi-Task Learning as Multi-Objective Optimization, eq. 3. https://arxiv.org/abs/1810.04650
    """
    return of_hull(by_weights(lambda gram, key: mgda_weights(gram)))


def mgda_weights(gram: Array) -> Array:
    """The weights `[T]` of `mgda`, 0 or more and of sum 1, for the products `[T, T]` of the gradients."""
    return least_on_simplex(over_trace(gram))
