"""What the heads of several tasks are trained toward."""

from typing import NamedTuple

import numpy as np

from jmeta.mtl.estimators.columns import Name
from jmeta.mtl.estimators.network import CLASSES, moments, up_to_power_of_two


class ClassTargets(NamedTuple):
    """Each task's classes, in order; their columns `[N, k]`, with k for the task that has most, up to a power of two;
    and which of them a task has, `[T, k]`."""

    classes: list[np.ndarray]
    onehot: np.ndarray
    has: np.ndarray


class Unrolled(NamedTuple):
    """Rows of several targets, each once for each of them: `X [N k, D]`, `y [N k]`, the number of the row's task and
    target together, `[N k]`, and weights."""

    X: np.ndarray
    y: np.ndarray
    which: np.ndarray
    weight: np.ndarray | None


class NumberTargets(NamedTuple):
    """Numbers of each task, standardized: `[N, 1]`, and mean and scale `[T]`."""

    standardized: np.ndarray
    mean: np.ndarray
    scale: np.ndarray


def unrolled(X: np.ndarray, y: np.ndarray, which: np.ndarray, weight: np.ndarray | None) -> Unrolled:
    """Each column of y `[N, k]` as a task of its own: that of target j of task i has the number `i k + j`."""
    targets = y.shape[1]
    each = np.repeat(which, targets) * targets + np.tile(np.arange(targets), len(y))
    return Unrolled(
        np.repeat(X, targets, axis=0), y.ravel(), each, None if weight is None else np.repeat(weight, targets)
    )


def class_targets(y: np.ndarray, names: list[Name], which: np.ndarray) -> ClassTargets:
    """Targets of classes `[N]`."""
    own = [own_classes(y[which == i], name) for i, name in enumerate(names)]
    width = up_to_power_of_two(max(len(classes) for classes in own), CLASSES)
    onehot = np.zeros((len(y), width), np.float32)
    for i, classes in enumerate(own):
        onehot[np.flatnonzero(which == i), np.searchsorted(classes, y[which == i])] = 1
    return ClassTargets(own, onehot, np.stack([np.arange(width) < len(classes) for classes in own]))


def own_classes(y: np.ndarray, name: Name) -> np.ndarray:
    """The classes of a task's rows, in order: two or more."""
    classes = np.unique(y)
    if len(classes) < 2:
        raise ValueError(
            f"task {name!r} has examples of one class alone, {classes.tolist()[0]!r}: "
            "give it examples of another, or leave the task out"
        )
    return classes


def number_targets(y: np.ndarray, which: np.ndarray, weight: np.ndarray | None = None) -> NumberTargets:
    """Targets of numbers `[N]`, of rows that count as `weight` says."""
    each = np.ones(len(y)) if weight is None else weight
    own = [moments(y[which == i], None if weight is None else each[which == i]) for i in range(int(which.max()) + 1)]
    mean, scale = (np.array([pair[j] for pair in own]) for j in range(2))
    return NumberTargets(((y - mean[which]) / scale[which])[:, None], mean, scale)
