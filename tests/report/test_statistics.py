"""Intervals against tables, closed forms, and simulations of what they promise."""

import math

import numpy as np
import pytest

from jmeta.report.statistics import crossed, interval, paired, student_t


def test_intervals_are_those_of_student():
    """Values of printed tables; 1.96 for all, or an expansion taken where it is not good, would miss some."""
    known = {1: 12.7062, 2: 4.3027, 3: 3.1824, 4: 2.7764, 9: 2.26216, 19: 2.09302, 99: 1.98422, 100: 1.98397}
    for freedom, value in (known | {7: 2.3646, 30: 2.0423, 199: 1.9720, 599: 1.9639, 10**9: 1.9600}).items():
        assert student_t(freedom) == pytest.approx(value, abs=5e-5), freedom
    mean, ci95 = interval([1.0, 2.0, 3.0])
    assert mean == 2 and ci95 == pytest.approx(4.3027 / math.sqrt(3), rel=1e-4)
    assert interval([5.0]) == (5.0, None)


def test_pairs_leave_out_what_both_share():
    rng = np.random.default_rng(0)
    hard = rng.normal(size=20)
    mean, ci95 = paired(hard + 0.5, hard)
    assert mean == pytest.approx(0.5) and ci95 == pytest.approx(0, abs=1e-12)
    with pytest.raises(ValueError, match="must be as many, got 3 and 2"):
        paired([1.0, 2.0, 3.0], [1.0, 2.0])


@pytest.mark.parametrize(
    ("seeds", "tasks", "of_seeds", "of_tasks", "own"),
    [(3, 100, 1.0, 1.0, 1.0), (5, 40, 0.0, 1.0, 0.5), (5, 200, 0.3, 0.0, 2.0), (10, 10, 1.0, 1.0, 1.0)],
)
def test_crossed_holds_the_truth_in_95_of_100_cases(seeds, tasks, of_seeds, of_tasks, own):
    """Pooled, or over seeds or over tasks alone, an interval misses the truth far more often in one of these cases."""
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(1000):
        values = of_seeds * rng.normal(size=(seeds, 1)) + of_tasks * rng.normal(size=tasks)
        mean, ci95 = crossed(values + own * rng.normal(size=(seeds, tasks)))
        inside.append(abs(mean) < ci95)
    assert 0.92 < np.mean(inside) < 0.98


def test_crossed_where_one_of_both_says_nothing():
    """Seeds that agree leave the interval over tasks, tasks that agree that over seeds, and one is none."""
    tasks = np.random.default_rng(0).normal(size=30)
    for values in (np.tile(tasks, (4, 1)), np.tile(tasks, (4, 1)).T):
        assert crossed(values) == pytest.approx(interval(tasks))
    assert crossed([tasks]) == crossed(tasks[:, None]) == interval(tasks)
    assert crossed([[0.3]]) == (0.3, None)
    assert crossed(np.ones((3, 5))) == (1.0, 0.0)
    with pytest.raises(ValueError, match=r"must have 2 axes and be there, got the shape \[30\]"):
        crossed(tasks)
