"""CAGrad: the best for the worst-off task, not far from the mean gradient (Liu et al. 2021)."""

import jax.numpy as jnp
import numpy as np
from jax import Array

from jmeta.mtl.aggregators.convex import least_with_norm
from jmeta.mtl.aggregators.gram import by_weights, of_hull, over_trace
from jmeta.mtl.types import Aggregator


def cagrad(*, c: float = 0.5) -> Aggregator:
    """The gradient near the mean along which the loss that falls least falls fastest.

        A(J) = argmax_d  min_i g_i . d   subject to   |d - g_0| <= c |g_0|,   g_0 = sum_i g_i / T
             = g_0 + c |g_0| / |g_w| g_w,   w = argmin g_w . g_0 + c |g_0| |g_w|   on the simplex,   g_w = sum_i w_i g_i

    For c below 1 it leads to where the mean of the losses is stationary, for c = 0 it is the mean gradient, and the
    larger c is, the closer to `mgda` in direction.

    Args:
        c: 0 or more; how far from the mean gradient, in parts of its length.

    Raises:
        ValueError: if `c` is negative or not finite.

    Example:
        >>> [round(a, 4) for a in cagrad(c=0.5)(jnp.array([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]])).tolist()]
        [0.1835, 1.2041, 1.2041]

    Differs from the paper: the result is not divided by 1 + c or 1 + c^2, as the authors' code does. Where g_w is 0,
    which the formula divides by, the best d is found all the same. A mean gradient shorter than 4 sqrt(eps), in single
    precision 1.4e-3, of the root of `sum_i |g_i|^2` is the result as it is, with c = 0.

    Source: Liu et al. 2021, Conflict-Averse Gradient Descent, algorithm 1. https://arxiv.org/abs/2110.14048
    """
    _check(c)
    return of_hull(by_weights(lambda gram, key: cagrad_weights(gram, c=c)))


def cagrad_weights(gram: Array, *, c: float = 0.5) -> Array:
    """The weights `[T]` of `cagrad`, `1 / T + c |g_0| / |g_w| w`, for the products `[T, T]` of the gradients.

    Raises:
        ValueError: if `c` is negative or not finite.
    """
    _check(c)
    tasks, normal = len(gram), over_trace(gram)
    with_mean = jnp.mean(normal, axis=1)
    square, least = jnp.mean(with_mean), 16 * jnp.finfo(gram.dtype).eps
    size = jnp.sqrt(jnp.maximum(square, least))
    _, direction = least_with_norm(normal, with_mean / size, c)
    # The length of a shorter mean is lost in rounding errors, and with too large a radius d could lead back.
    return 1 / tasks + jnp.where(square > least, c * size * direction, 0)


def _check(c: float) -> None:
    if not (c >= 0 and np.isfinite(c)):
        raise ValueError(f"c must be a finite number of 0 or more, got {c}")
