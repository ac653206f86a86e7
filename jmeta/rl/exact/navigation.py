"""What is to be had in 2D navigation, with and without knowing the goal."""

import math
from typing import NamedTuple

from jmeta.rl.envs.checks import check_count
from jmeta.rl.envs.point_navigation import SPEED

REACH = 0.5
"""The largest coordinate of a goal."""


class NavigationValue(NamedTuple):
    """Mean returns.

    Attributes:
        constant: of staying at the origin, the best place for one who does not know the goal and does not look for it.
        optimum: of going straight to the goal, as fast as can be.
    """

    constant: float
    optimum: float


def navigation_value(horizon: int = 100) -> NavigationValue:
    """The exact mean returns of `point_navigation`.

    With c = (sqrt(2) + log(1 + sqrt(2))) / 3, the mean distance of a point in the unit square from a corner:

        constant = -horizon c / 2
        optimum  = -sum_t 2 p (1 - p) L / 2 + (1 - p)^2 c L,   L = 1/2 - t/10,  p = 1 - 2 L,  t = 1 to 4 (or horizon)

    as after t steps an axis is at the goal with probability p, and otherwise uniformly below L from it. The constant
    leaves out that one of 2500 goals is within reach of the origin's own box, where the episode would end at once.

    Args:
        horizon: the most steps of an episode, 1 or more.

    Returns:
        A `NavigationValue`.

    Raises:
        ValueError: if `horizon` is below 1.

    Example:
        >>> [round(x, 3) for x in navigation_value()]
        [-38.26, -0.506]
    """
    check_count("horizon", horizon)
    corner = (math.sqrt(2) + math.asinh(1)) / 3
    optimum = 0.0
    for t in range(1, horizon + 1):
        left = max(REACH - SPEED * t, 0.0)
        there = 1 - left / REACH
        optimum -= there * (1 - there) * left + (1 - there) ** 2 * corner * left
    return NavigationValue(-horizon * corner * REACH, optimum)
