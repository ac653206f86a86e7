"""UPGrad and DualProj: gradients projected onto the directions in which no loss grows (Quinton and Rey 2024)."""

import jax.numpy as jnp
from jax import Array, lax

from jmeta.checks import check_above_zero
from jmeta.mtl.aggregators.convex import least_above
from jmeta.mtl.aggregators.gram import by_weights, over_trace, regularized
from jmeta.mtl.types import Aggregator

_AT_ONCE = 16
"""Projections that are computed side by side, each of which has matrices `[T, T]` of its own."""


def upgrad(*, regularization: float = 1e-4) -> Aggregator:
    """Project every gradient onto the cone of directions in conflict with no task, and take the mean.

        A(J) = sum_i P(g_i) / T,   P(g) = argmin |x - g|   over   x . g_j >= 0 for all j
        P(J'u) = J'v,   v = argmin v' G v   over   v >= u

    Each projection, and so A, is linear in the length of its gradient, and A conflicts with no task.

    Args:
        regularization: added to the diagonal of G over its trace, above 0, so that v is unique.

    Raises:
        ValueError: if `regularization` is not above 0.

    Example:
        >>> [round(a, 4) for a in upgrad()(jnp.array([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]])).tolist()]
        [0.2929, 1.9004, 1.9004]

    Differs from the paper: the regularization makes both properties approximate, as it does in the authors' code.

    Source: Quinton and Rey 2024, Jacobian Descent for Multi-Objective Optimization, section 3.
    https://arxiv.org/abs/2406.16232
    """
    check_above_zero("regularization", regularization)
    return by_weights(lambda gram, key: upgrad_weights(gram, regularization=regularization))


def upgrad_weights(gram: Array, *, regularization: float = 1e-4) -> Array:
    """The weights `[T]` of `upgrad`, `1 / T` or more, for the products `[T, T]` of the gradients.

    Raises:
        ValueError: if `regularization` is not above 0.
    """
    check_above_zero("regularization", regularization)
    matrix = regularized(over_trace(gram), regularization)
    each = lax.map(lambda own: least_above(matrix, own), jnp.eye(len(gram), dtype=gram.dtype), batch_size=_AT_ONCE)
    return jnp.mean(each, axis=0)


def dual_projection(*, regularization: float = 1e-4) -> Aggregator:
    """Project the mean gradient onto the cone of directions in conflict with no task.

        A(J) = P(sum_i g_i / T),   P, `regularization` and errors as in `upgrad`

    Example:
        >>> [round(a, 4) for a in dual_projection()(jnp.array([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]])).tolist()]
        [0.5563, 1.1109, 1.1109]

    Differs from the paper: the mean is projected, where GEM (Lopez-Paz and Ranzato 2017), which they describe
    by this rule, projects the gradient of the newest task.

    Source: Quinton and Rey 2024, Jacobian Descent for Multi-Objective Optimization. https://arxiv.org/abs/2406.16232
    """
    check_above_zero("regularization", regularization)
    return by_weights(lambda gram, key: dual_projection_weights(gram, regularization=regularization))


def dual_projection_weights(gram: Array, *, regularization: float = 1e-4) -> Array:
    """The weights `[T]` of `dual_projection`; as `upgrad_weights`."""
    check_above_zero("regularization", regularization)
    return least_above(regularized(over_trace(gram), regularization), jnp.full_like(gram[0], 1 / len(gram)))
