"""The best there is on two arms whose probabilities add up to 1 (Wang et al. 2016)."""

from typing import NamedTuple

import numpy as np

from jmeta.rl.envs.checks import check_count


class DependentValue(NamedTuple):
    """What is to be had at best.

    Attributes:
        total: mean return of the best strategy.
        regret: how much less that is than the mean return of one who knows the arms.
    """

    total: float
    regret: float


def dependent_bandit_value(p: float | None, pulls: int) -> DependentValue:
    """The exact return of greed on `dependent_bandit`, which is Bayes-optimal there: all pulls tell the same.

    A success of one arm is as good as a failure of the other, so that d, the results for the one minus those for the
    other, is all there is to know, and takes the same random walk whatever is pulled.

        d_{t+1} = d_t + 1 with probability q = max(p, 1 - p), else d_t - 1;  d_0 = 0, for the better arm
        regret  = (2 q - 1) sum_{t < pulls} P(d_t < 0) + P(d_t = 0) / 2

    With p_1 ~ U(0, 1), the number of results for the first arm is uniform on 0 to t, and

        total   = sum_{t < pulls} mean_{a <= t} max(m, 1 - m),   m = (a + 1) / (t + 2)

    Args:
        p: the probability of one of the arms, 0 to 1; None for any.
        pulls: 1 or more.

    Returns:
        A `DependentValue`.

    Raises:
        ValueError: if `pulls` is below 1, or p is not a probability.

    Example:
        >>> [round(x, 4) for x in dependent_bandit_value(0.25, 100)]
        [74.0, 1.0]
        >>> [round(x, 4) for x in dependent_bandit_value(None, 100)]
        [73.7786, 1.2214]
    """
    check_count("pulls", pulls)
    if p is None:
        means = [(np.arange(t + 1) + 1) / (t + 2) for t in range(pulls)]
        total = float(sum(np.maximum(mean, 1 - mean).mean() for mean in means))
        return DependentValue(total, 0.75 * pulls - total)
    if not 0 <= p <= 1:
        raise ValueError(f"p must be a probability from 0 to 1, or None for any, got {p}")
    q = max(p, 1 - p)
    chance = np.zeros(2 * pulls + 1)
    chance[pulls] = 1
    wrong = 0.0
    for _ in range(pulls):
        wrong += chance[:pulls].sum() + chance[pulls] / 2
        chance = q * np.roll(chance, 1) + (1 - q) * np.roll(chance, -1)
    regret = float((2 * q - 1) * wrong)
    return DependentValue(q * pulls - regret, regret)
