"""The best there is where a formula tells it: dependent arms, and 2D navigation."""

import math
from typing import NamedTuple

import numpy as np

from jmeta.rl.checks import check_counts, check_probability
from jmeta.rl.envs.points import SPEED

REACH = 0.5  # the largest coordinate of a goal


class DependentValue(NamedTuple):
    """What is to be had at best."""

    total: float  # mean return of the best strategy
    regret: float  # how much less that is than the mean return of one who knows the arms


def dependent_bandit_value(p: float | None, pulls: int) -> DependentValue:
    """The exact return of greed on `dependent_bandit`, which is Bayes-optimal there: all pulls tell the same.

    A success of one arm is as good as a failure of the other, so that d, the results for the one minus those for the
    other, is all there is to know, and takes the same random walk whatever is pulled.

        d_{t+1} = d_t + 1 with probability q = max(p, 1 - p), else d_t - 1;  d_0 = 0, for the better arm
        regret  = (2 q - 1) sum_{t < pulls} P(d_t < 0) + P(d_t = 0) / 2

    With p_1 ~ U(0, 1), where p is None, the number of results for the first arm is uniform on 0 to t, and

        total   = sum_{t < pulls} mean_{a <= t} max(m, 1 - m),   m = (a + 1) / (t + 2)

    Raises:
        ValueError: if `pulls` is below 1, or p is not a probability.

    Example:
        >>> [round(x, 4) for x in dependent_bandit_value(0.25, 100)]
        [74.0, 1.0]
        >>> [round(x, 4) for x in dependent_bandit_value(None, 100)]
        [73.7786, 1.2214]
    """
    check_counts(pulls=pulls)
    if p is None:
        means = [(np.arange(t + 1) + 1) / (t + 2) for t in range(pulls)]
        total = float(sum(np.maximum(mean, 1 - mean).mean() for mean in means))
        return DependentValue(total, 0.75 * pulls - total)
    check_probability("p", p, ", or None for any")
    q = max(p, 1 - p)
    chance = np.zeros(2 * pulls + 1)
    chance[pulls] = 1
    wrong = 0.0
    for _ in range(pulls):
        wrong += chance[:pulls].sum() + chance[pulls] / 2
        chance = q * np.roll(chance, 1) + (1 - q) * np.roll(chance, -1)
    regret = float((2 * q - 1) * wrong)
    return DependentValue(q * pulls - regret, regret)


class NavigationValue(NamedTuple):
    """Mean returns."""

    constant: float  # of staying at the origin, the best place for one who neither knows the goal nor looks for it
    optimum: float  # of going straight to the goal, as fast as can be


def navigation_value(horizon: int = 100) -> NavigationValue:
    """The exact mean returns of `point_navigation`, in at most `horizon` steps.

    With c = (sqrt(2) + log(1 + sqrt(2))) / 3, the mean distance of a point in the unit square from a corner:

        constant = -horizon c / 2
        optimum  = -sum_t 2 p (1 - p) L / 2 + (1 - p)^2 c L,   L = 1/2 - t/10,  p = 1 - 2 L,  t = 1 to 4 (or horizon)

    as after t steps an axis is at the goal with probability p, and otherwise uniformly below L from it. The constant
    leaves out that one of 2500 goals is within reach of the origin's own box, where the episode would end at once.

    Raises:
        ValueError: if `horizon` is below 1.

    Example:
        >>> [round(x, 3) for x in navigation_value()]
        [-38.26, -0.506]
    """
    check_counts(horizon=horizon)
    corner = (math.sqrt(2) + math.asinh(1)) / 3
    optimum = 0.0
    for t in range(1, horizon + 1):
        left = max(REACH - SPEED * t, 0.0)
        there = 1 - left / REACH
        optimum -= there * (1 - there) * left + (1 - there) ** 2 * corner * left
    return NavigationValue(-horizon * corner * REACH, optimum)
