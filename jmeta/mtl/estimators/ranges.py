"""What numbers the parameters of the estimators may be: one table for all, checked at `fit` and `load`."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np


class Range(NamedTuple):
    """From `least` to `most`, whole numbers or others; `none` where it may be None too, `each` of a sequence."""

    least: float
    most: float
    whole: bool = True
    none: bool = False
    each: bool = False


_INT, _FLOAT = np.iinfo(np.int32).max, float(np.finfo(np.float32).max)
_TINY = float(np.finfo(np.float32).tiny)  # smaller ones are 0 where they are computed with
RANGES = {
    "hidden": Range(1, _INT, each=True),
    "n_components": Range(1, _INT),
    "steps": Range(1, _INT),
    "batch_size": Range(1, _INT, none=True),
    "learning_rate": Range(_TINY, _FLOAT, whole=False),
    "l2": Range(0, _FLOAT, whole=False),
    "adapt_l2": Range(_TINY, _FLOAT, whole=False),
}


def check_ranges(parameters: dict[str, Any]) -> None:
    """ValueError for the first parameter that is not what `RANGES` has for it."""
    for name, own in RANGES.items():
        if name not in parameters:
            continue
        value = parameters[name]
        if not own.each:
            _check(name, value, own)
        elif isinstance(value, str) or not isinstance(value, Sequence | np.ndarray):
            raise ValueError(f"{name} must be the units of each layer, such as (64,), got {value!r:.60}")
        else:
            for one in value:
                _check(f"each of {name}", one, own)


def _check(name: str, value: Any, own: Range) -> None:
    if own.none and value is None:
        return
    kind: Any = Integral if own.whole else int | float | np.number
    number = isinstance(value, kind) and not isinstance(value, bool)
    if not number or not own.least <= value <= own.most:
        ends = f"{own.least} to {own.most}" if own.whole else f"{own.least:.2g} to {own.most:.2g}"
        raise ValueError(f"{name} must be a {'whole ' * own.whole}number from {ends}, got {value!r:.60}")
