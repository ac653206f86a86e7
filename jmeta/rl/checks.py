"""Checks that factories share."""

import operator
from typing import Any

import numpy as np

MOST = 2**31 - 1


def check_counts(least: int = 1, /, **counts: int) -> None:
    """Refuse the first number of things, given by name, that is too small, or more than an int32 can count.

    Raises:
        ValueError: if it is below `least`, or above `MOST`.
        TypeError: if it is not an integer.
    """
    for name, value in counts.items():
        try:
            operator.index(value)
        except TypeError:
            raise TypeError(f"{name} must be an integer, got {value!r}") from None
        if value < least:
            raise ValueError(f"{name} must be {least} or more, got {value}")
        if value > MOST:
            raise ValueError(f"{name} must be {MOST} or less, got {value}")


def check_probability(name: str, value: float, otherwise: str = "") -> None:
    """Refuse a number that is not from 0 to 1."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be a probability from 0 to 1{otherwise}, got {value}")


def check_range(name: str, value: tuple[float, float]) -> None:
    """Refuse a range `(low, high)` that is not one of finite numbers above 0."""
    low, high = value
    if not (np.isfinite(low) and np.isfinite(high) and 0 < low <= high):
        raise ValueError(f"{name} must be a range (low, high) with 0 < low <= high, got {value}")


def returned(name: str, form: str, value: Any) -> tuple[Any, ...]:
    """What a function returned, refused where it is no tuple of as many parts as the form names: `(state, Step)`."""
    if not isinstance(value, tuple) or len(value) != form.count(",") + 1:
        raise ValueError(f"{name} must return {form}, got {kind_of(value)}")
    return value


def kind_of(value: Any) -> str:
    """What a value is, for a message."""
    return f"{len(value)} values" if isinstance(value, tuple) else f"a {type(value).__name__}"
