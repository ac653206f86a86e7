"""Nash-MTL: the gradient that tasks would agree on in a bargain (Navon et al. 2022)."""

import jax.numpy as jnp
from jax import Array

from jmeta.checks import check_above_zero
from jmeta.mtl.aggregators.convex import center
from jmeta.mtl.aggregators.gram import by_weights, cosines, ratio, regularized
from jmeta.mtl.types import Aggregator

_RIDGE = 1e-5


def nash_mtl(*, max_norm: float = 1.0) -> Aggregator:
    """The direction with the largest product of the tasks' gains.

        d = argmax sum_i log(g_i . d)   over   |d| <= 1
          = sum_i a_i g_i up to a factor,   where   G a = 1 / a,  a > 0

    Every task has the same share: `a_i g_i . d` is the same for all, whatever the scale of a task's loss.

    Args:
        max_norm: the result is shortened to this norm where it is longer, above 0.

    Raises:
        ValueError: if `max_norm` is not above 0.

    Example:
        >>> [round(a, 4) for a in nash_mtl()(jnp.array([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]])).tolist()]
        [0.0542, 0.7061, 0.7061]

    Differs from the paper: as in the authors' code, G is divided by its Frobenius norm and the result clipped; with the
    paper's own G the norm is sqrt(T) whatever the gradients are. The equation, which the authors solve by a
    sequence of convex programs, has one solution, the minimizer of `a' G a / 2 - sum_i log a_i`, found here by Newton
    steps on the cosines of the gradients, with 1e-5 on their diagonal.

    Source: Navon et al. 2022, Multi-Task Learning as a Bargaining Game, claim 3.1. https://arxiv.org/abs/2202.01017
    """
    check_above_zero("max_norm", max_norm)
    return by_weights(lambda gram, key: nash_mtl_weights(gram, max_norm=max_norm))


def nash_mtl_weights(gram: Array, *, max_norm: float = 1.0) -> Array:
    """The weights `[T]` of `nash_mtl`, for the products `[T, T]` of the gradients: 0 or more, 0 for a gradient of 0.

    Raises:
        ValueError: if `max_norm` is not above 0.
    """
    check_above_zero("max_norm", max_norm)
    between, norms = cosines(gram)
    # `G a = 1 / a` is `C b = 1 / b` for b_i = |g_i| a_i, and its solution does not change with the gradients' lengths.
    of_unit = center(regularized(between, _RIDGE))
    largest = jnp.max(jnp.abs(gram))  # whose square is out of range at gradients of 1e10
    size = largest * jnp.linalg.norm(gram / jnp.where(largest > 0, largest, 1))
    weights = ratio(of_unit, norms) * jnp.sqrt(size)
    norm = jnp.sqrt(jnp.maximum(jnp.sum(weights * jnp.sum(gram * weights[None], axis=1)), 0))
    return weights * max_norm / jnp.maximum(norm, max_norm)
