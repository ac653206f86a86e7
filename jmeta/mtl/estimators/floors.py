"""What tasks that share a network are compared with: predictions that need no sharing, and no network."""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV

from jmeta.mtl.estimators.network import moments

PENALTIES = 10.0 ** np.arange(-2, 5)


def floors(X: np.ndarray, y: np.ndarray, task: Any, new: np.ndarray, new_task: Any) -> dict:
    """What is predicted for new rows by models that are fitted to each task alone, and by one for all rows.

    Args:
        X: `[N, D]`, features of the rows to learn from.
        y: `[N, k]`, targets: floats, or classes of any other type.
        task: `[N]`, names.
        new: `[M, D]`, features of other rows of these tasks.
        new_task: `[M]`.

    Returns:
        `{name: [M, k]}`: the mean or the most frequent class of each task, and a linear model on standardized features:
        for numbers ridge regression, whose penalty leaves least error when each row is left out in turn (a task of
        fewer than three rows has its mean); for classes logistic regression, as scikit-learn starts from (a task of one
        class has that class). With several tasks, the same model of all rows too, without their tasks.
    """
    numbers = y.dtype.kind == "f"
    simple: Callable[[], Any] = DummyRegressor if numbers else lambda: DummyClassifier(strategy="most_frequent")
    word, model = ("mean", "ridge regression") if numbers else ("most frequent class", "logistic regression")
    task, new_task = np.asarray(task), np.asarray(new_task)
    whose = "each task" if len(np.unique(task)) > 1 else "all rows"
    found = {f"{word} of {whose}": simple, f"{model} of {whose}": _ridge if numbers else _logistic}
    predicted = {name: _each(make, simple, X, y, task, new, new_task) for name, make in found.items()}
    if whose == "each task":
        everyone = np.zeros(len(X)), np.zeros(len(new))
        linear = _ridge if numbers else _logistic
        predicted[f"one {model} of all rows"] = _each(linear, simple, X, y, everyone[0], new, everyone[1])
    return predicted


def _each(make: Any, simple: Any, X: Any, y: Any, task: np.ndarray, new: Any, new_task: np.ndarray) -> np.ndarray:
    """Predictions of a model of each task and target, on standardized features and, of numbers, targets."""
    found = np.empty((len(new), y.shape[1]), y.dtype)
    for name in np.unique(new_task):
        mine, rows = task == name, new_task == name
        center, spread = moments(X[mine])
        here, there = (X[mine] - center) / spread, (new[rows] - center) / spread
        for j in range(y.shape[1]):
            own = y[mine, j]
            if y.dtype.kind == "f":
                mean, scale = moments(own)
                model = (make if len(own) >= 3 else simple)().fit(here, (own - mean) / scale)
                found[rows, j] = mean + scale * model.predict(there)
            else:
                model = (make if len(np.unique(own)) >= 2 else simple)()
                found[rows, j] = model.fit(here, own).predict(there)
    return found


def _ridge() -> Any:
    return RidgeCV(PENALTIES)


def _logistic() -> Any:
    return LogisticRegression(max_iter=2000)
