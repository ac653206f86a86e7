"""How much rows count: `sample_weight`, and `class_weight` in it."""

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.validation import check_array


def weights_of(sample_weight: Any, X: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
    """The weights `[n]` of rows that count, None where all count alike; and which rows `[N]` count.

    Raises:
        ValueError: for weights that are not one for each row, not finite, below 0, or all 0.
    """
    if sample_weight is None:
        return None, np.ones(len(X), bool)
    if isinstance(sample_weight, Real):
        sample_weight = np.full(len(X), sample_weight)
    kind: Any = np.float64
    weight = check_array(sample_weight, ensure_2d=False, dtype=kind, input_name="sample_weight")
    if weight.shape != (len(X),):
        raise ValueError(f"sample_weight.shape == {weight.shape}, expected {(len(X),)}: give one for each row of X")
    if (weight < 0).any():
        raise ValueError(f"Negative values in data passed to `sample_weight`: got {weight.min()}, give 0 or more")
    kept = weight > 0
    if not kept.any():
        raise ValueError("Sample weights must contain at least one non-zero number: all rows have weight 0")
    return weight[kept], kept


def with_classes(
    class_weight: Mapping[Any, float] | str | None, y: np.ndarray, which: np.ndarray, weight: np.ndarray | None
) -> np.ndarray | None:
    """The weights of rows times those of their classes `y [N]`, which "balanced" counts within each task."""
    if class_weight is None:
        return weight
    found = np.ones(len(y)) if weight is None else weight.copy()
    for i in range(int(which.max()) + 1):
        own = which == i
        found[own] *= _of_classes(class_weight, y[own])
    if not (found > 0).any():
        raise ValueError(f"class_weight={class_weight} leaves no row that counts: give a weight above 0")
    return found


def _of_classes(class_weight: Mapping[Any, float] | str, y: np.ndarray) -> np.ndarray:
    if isinstance(class_weight, str):
        return compute_sample_weight(class_weight, y)
    return np.array([float(class_weight.get(value, 1.0)) for value in y.tolist()])
