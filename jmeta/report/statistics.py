"""Means over seeds with their 95 % intervals."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def over_seeds(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean, and half the width of its 95 % interval by Student's t.

        ci95 = t(n - 1) * standard deviation / sqrt(n)

    Returns:
        The two numbers; None for the interval of a single value.
    """
    numbers = np.asarray(values, np.float64)
    mean = float(numbers.mean())
    if len(numbers) < 2:
        return mean, None
    return mean, float(student_t(len(numbers) - 1) * numbers.std(ddof=1) / math.sqrt(len(numbers)))


def plus_minus(mean: float, ci95: float | None, *, digits: int = 2, sign: str = "") -> str:
    """Mean and interval as tables have them, `0.50 +- 0.02`; a sign of "+" is for differences.

    Example:
        >>> plus_minus(0.5, 0.021, sign="+"), plus_minus(0.5, None)
        ('+0.50 +- 0.02', '0.50')
    """
    return f"{mean:{sign}.{digits}f}" + ("" if ci95 is None else f" +- {ci95:.{digits}f}")


def student_t(freedom: int) -> float:
    """The number that |t| stays below in 95 % of cases: 12.7 for one degree of freedom, 2.36 for seven.

    Source: Abramowitz and Stegun 1964, Handbook of Mathematical Functions, 26.7.3-4, solved by bisection.
    """
    low, high = 0.0, 13.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _inside(middle, freedom) < 0.95 else (low, middle)
    return low


def _inside(t: float, freedom: int) -> float:
    """The probability that |t| is smaller, a finite series in the angle whose tangent is t / sqrt(freedom)."""
    angle = math.atan(t / math.sqrt(freedom))
    odd = freedom % 2
    term = math.cos(angle) if odd else 1.0
    total = term if freedom > 1 else 0.0
    for k in range(2 + odd, freedom, 2):
        term *= math.cos(angle) ** 2 * (k - 1) / k
        total += term
    part = math.sin(angle) * total
    return 2 / math.pi * (angle + part) if odd else part


def summary(
    measured: str, varied: Mapping[str, Mapping[str, Any]], found: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """What came of a group of runs: each member, and mean and interval over the seeds of each setting.

    Args:
        measured: the name of the number that members are compared by.
        varied: what each member differs in, by its name, as in `{"seed": 3, "inner_lr": 0.4}`.
        found: by member, `{name: number}`, or `{"diverged_at": step}` for those that are left out of the means.

    Returns:
        `{"measured", "members", "settings"}`; a setting without a member that has the number has a mean of None.
    """
    settings: dict[tuple[tuple[str, Any], ...], list[str]] = {}
    for member, own in varied.items():
        settings.setdefault(tuple((name, value) for name, value in own.items() if name != "seed"), []).append(member)
    rows = []
    for values, of_setting in settings.items():
        numbers = [found[member][measured] for member in of_setting if measured in found.get(member, {})]
        mean, ci95 = over_seeds(numbers) if numbers else (None, None)
        rows.append({**dict(values), "seeds": len(numbers), "mean": mean, "ci95": ci95})
    members = {member: {**own, **found.get(member, {})} for member, own in varied.items()}
    return {"measured": measured, "members": members, "settings": rows}
