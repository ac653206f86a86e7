"""IMTL-G: a gradient with the same projection on those of all tasks (Liu et al. 2021)."""

import jax.numpy as jnp
from jax import Array

from jmeta.mtl.aggregators.gram import by_weights, cosines, ratio
from jmeta.mtl.types import Aggregator


def imtl_g() -> Aggregator:
    """The affine combination of the gradients whose projections on them are equal.

        A(J) = sum_i w_i g_i,   sum_i w_i = 1,   A . g_i / |g_i| the same for all i
        w    = v / sum_i v_i,   G v = (|g_1| .. |g_T|)

    Weights may be negative, and where `sum_i v_i` is, the result leads uphill for every task.

    Example:
        >>> [round(a, 4) for a in imtl_g()(jnp.array([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]])).tolist()]
        [0.0767, 1.0, 1.0]

    Differs from the paper: the equation is solved for gradients of length 1, by a pseudo-inverse, so that one task's
    scale has no part in the others' precision. Where no v has projections above 0 the result is 0.

    Source: Liu et al. 2021, Towards Impartial Multi-task Learning, section 3.1. https://openreview.net/forum?id=IMPnRXEWpvr
    """
    return by_weights(lambda gram, key: imtl_g_weights(gram))


def imtl_g_weights(gram: Array) -> Array:
    """The weights `[T]` of `imtl_g`, for the products `[T, T]` of the gradients.

    Their sum is 1, or all are 0 where there are none; a gradient of 0 has the weight 0.
    """
    between, norms = cosines(gram)
    nonzero = (norms > 0).astype(gram.dtype)
    eps = len(gram) * jnp.finfo(gram.dtype).eps
    of_unit = jnp.sum(jnp.linalg.pinv(between, rtol=eps, hermitian=True) * nonzero[None], axis=1)
    # How much of (1 .. 1) can be had: it is none where gradients cancel each other.
    had = jnp.sum(jnp.sum(between * of_unit[None], axis=1) * nonzero) > eps
    v = jnp.where(had, ratio(of_unit * nonzero, norms / jnp.max(norms)), 0)
    return ratio(v, jnp.sum(v))
