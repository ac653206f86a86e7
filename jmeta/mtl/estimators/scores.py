"""How well an estimator does on each of its tasks."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils.validation import check_consistent_length, column_or_1d

from jmeta.mtl.estimators.columns import Name

Metric = Callable[[np.ndarray, np.ndarray], float]
"""`(true [N], predicted [N]) -> number`."""


class Scores(NamedTuple):
    """A metric on several tasks.

    Attributes:
        overall: the mean over the tasks, each counted alike however many rows it has.
        tasks: of each.
    """

    overall: float
    tasks: dict[Name, float]


def scores(metric: Metric, y: Any, predicted: np.ndarray, names: list[Name], which: np.ndarray) -> Scores:
    """A metric of each task's rows.

    Args:
        metric: any.
        y: `[N]`, what is true.
        predicted: `[N]`.
        names: of the tasks.
        which: `[N]`, the position among them of each row's task.

    Raises:
        ValueError: if there is not a true value for each row.
    """
    y = column_or_1d(y)
    check_consistent_length(which, y)
    found = {name: float(metric(y[which == i], predicted[which == i])) for i, name in enumerate(names)}
    return Scores(float(np.mean(list(found.values()))), found)


def metric_named(name: str, known: Mapping[str, Metric]) -> Metric:
    """One of the known metrics.

    Raises:
        ValueError: if there is none of that name.
    """
    if name not in known:
        raise ValueError(f"there is no metric {name!r} here: choose one of {', '.join(known)}")
    return known[name]
