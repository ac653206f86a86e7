"""Observations of a space of gymnax or Gymnasium, known by its attributes: their parts, and which are one of some."""

from collections.abc import Mapping
from typing import Any

import numpy as np


def parts_of(space: Any, value: Any) -> list[tuple[Any, Any]]:
    """Each part of an observation beside its own space: of a Dict or a Tuple in its order, of another space itself."""
    parts = getattr(space, "spaces", None)
    if isinstance(parts, Mapping):
        return [part for name, own in parts.items() for part in parts_of(own, value[name])]
    if isinstance(parts, tuple | list):
        return [part for own, of in zip(parts, value, strict=True) for part in parts_of(own, of)]
    return [(space, value)]


def kinds_of(space: Any) -> np.ndarray | None:
    """What an observation of a Discrete space may be, `[n]`; None for another space. It is shown one-hot."""
    if hasattr(space, "n") and getattr(space, "shape", ()) == ():
        return np.arange(int(space.n)) + int(getattr(space, "start", 0))
    return None
