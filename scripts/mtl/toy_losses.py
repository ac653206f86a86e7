"""The two-task problem on which rules for several losses are shown: two plateaus, a valley between, and one front."""

import jax.numpy as jnp
import numpy as np
from jax import Array

from jmeta.mtl.types import Losses
from jmeta.types import Params

THREE_STARTS = ((-8.5, 7.5), (-8.5, -5.0), (9.0, 9.0))
"""Where Liu et al. 2021 (CAGrad) start."""

FIVE_STARTS = ((-8.5, 7.5), (0.0, 0.0), (9.0, 9.0), (-7.5, -0.5), (9.0, -1.0))
"""Where Navon et al. 2022 (Nash-MTL) and Liu et al. 2023 (FAMO) start, with the first loss at a tenth of its scale."""

_LEAST = 5e-6


def toy_losses(scale: float = 1.0) -> Losses:
    """Two losses of two numbers, whose gradients conflict and differ in size by orders of magnitude.

        L1 = scale (c log-part1 + d square-part1),   L2 = c log-part2 + d square-part2
        c  = max(tanh(x2 / 2), 0),   d = max(-tanh(x2 / 2), 0)
        log-part1    = log max(|(-x1 - 7) / 2 + tanh(x2)|, 5e-6) + 6
        log-part2    = log max(|(-x1 + 3) / 2 - tanh(x2) + 2|, 5e-6) + 6
        square-part1 = ((x1 - 7)^2 + (x2 + 8)^2 / 10) / 10 - 20
        square-part2 = ((x1 + 7)^2 + (x2 + 8)^2 / 10) / 10 - 20

    The Pareto front is close to the line from (-7, -8.43) to (7, -8.43), see `pareto_front`. At `x2 = 0` both c and d
    have the derivative of their rising side, so that a start there moves.

    Args:
        scale: of the first loss.

    Returns:
        `losses(x [2], batch=None) -> [2]`; it looks at no batch.

    Example:
        >>> [round(a, 3) for a in toy_losses()(jnp.array([0.0, -8.355])).tolist()]
        [-15.092, -15.092]

    Source: Liu et al. 2021, Conflict-Averse Gradient Descent, appendix B. https://arxiv.org/abs/2110.14048
    """

    def losses(params: Params, batch: None = None) -> Array:
        x1, x2 = params[0], params[1]
        bend = jnp.tanh(x2)
        log1 = jnp.log(_at_least(jnp.abs((-x1 - 7) / 2 + bend), _LEAST)) + 6
        log2 = jnp.log(_at_least(jnp.abs((-x1 + 3) / 2 - bend + 2), _LEAST)) + 6
        square1 = ((x1 - 7) ** 2 + (x2 + 8) ** 2 / 10) / 10 - 20
        square2 = ((x1 + 7) ** 2 + (x2 + 8) ** 2 / 10) / 10 - 20
        above, below = _at_least(jnp.tanh(x2 / 2), 0), _at_least(jnp.tanh(-x2 / 2), 0)
        return jnp.stack([scale * (log1 * above + square1 * below), log2 * above + square2 * below])

    return losses


def _at_least(value: Array, least: float) -> Array:
    """The larger of the two. Where they are equal its derivative is 1, where that of `jnp.maximum` is a half."""
    return jnp.where(value >= least, value, least)


def pareto_front(points: int = 201) -> np.ndarray:
    """Points at which neither loss of the toy problem can fall unless the other grows.

    They are the minimizers of `p L1 + (1 - p) L2` for p from 0 to 1: `x1 = 7 (2 p - 1)`, and x2 by bisection. The scale
    of the first loss has no part in them.

    Args:
        points: how many.

    Returns:
        `[points, 2]`, by x1.
    """
    p = np.linspace(0.0, 1.0, points)
    x1 = 7 * (2 * p - 1)
    low, high = np.full(points, -12.0), np.full(points, -8.0)
    for _ in range(60):
        x2 = (low + high) / 2
        square = (p * (x1 - 7) ** 2 + (1 - p) * (x1 + 7) ** 2 + (x2 + 8) ** 2 / 10) / 10 - 20
        below = np.tanh(-x2 / 2)
        slope = -(1 - below**2) / 2 * square + (x2 + 8) / 50 * below
        low, high = np.where(slope < 0, x2, low), np.where(slope < 0, high, x2)
    return np.stack([x1, (low + high) / 2], axis=1)
