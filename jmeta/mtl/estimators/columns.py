"""Which row belongs to which task: names of tasks, from an argument or from a column of X."""

from collections.abc import Iterable
from numbers import Integral
from typing import Any

import numpy as np

Name = str | int
"""What a task is called."""


def without_task(X: Any, task: Any, task_column: str | int | None) -> tuple[Any, Any]:
    """X without the column that names the tasks, and those names; both as they came where there is no such column."""
    if task_column is None:
        return X, task
    if task is not None:
        raise ValueError(f"tasks are given twice, by task and by task_column={task_column!r}: leave out one of them")
    if hasattr(X, "columns"):
        columns = list(X.columns)
        name = columns[_position(int(task_column), len(columns))] if isinstance(task_column, Integral) else task_column
        if name not in columns:
            raise ValueError(f"X has no column {name!r} to take the task from: its columns are {columns}")
        return X[[column for column in columns if column != name]], X[name]
    if not isinstance(task_column, Integral):
        raise ValueError(
            f"task_column={task_column!r} is a name, and X is no data frame: give the position of the column"
        )
    rows = X if hasattr(X, "shape") else np.array(X, dtype=object)
    if len(rows.shape) != 2 or not isinstance(rows, np.ndarray):
        return X, None  # refused where X is checked
    position = _position(int(task_column), rows.shape[1])
    return np.delete(rows, position, axis=1), rows[:, position]


def _position(column: int, columns: int) -> int:
    if not -columns <= column < columns:
        raise ValueError(f"X has {columns} columns, and no column {column} to take the task from")
    return column % columns


def rows_of(task: Any, rows: int) -> tuple[list[Name], np.ndarray]:
    """The names that occur, and the position `[N]` of each row's among them; from a name for each row, or one for all.

    Whole numbers come before strings, each in order.
    """
    names = np.array(task, dtype=object) if isinstance(task, list | tuple) else np.asarray(task)
    if names.ndim == 0:
        return [_name(names.item())], np.zeros(rows, np.int64)
    if names.ndim != 1 or len(names) != rows:
        raise ValueError(
            f"task must be one name, or one for each of the {rows} rows of X, got an array of shape {names.shape}"
        )
    if names.dtype != object:
        kinds, inverse = np.unique(names, return_inverse=True)
        each = [_name(kind) for kind in kinds.tolist()]
    else:
        each, inverse = [_name(name) for name in names.tolist()], np.arange(rows)
    found = sorted(set(each), key=lambda name: (isinstance(name, str), name))
    places = {name: i for i, name in enumerate(found)}
    return found, np.array([places[name] for name in each], np.int64)[inverse]


def _name(value: Any) -> Name:
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and np.isfinite(value) and float(value).is_integer():
        return int(value)
    raise ValueError(f"a task must be named by a string or a whole number, got {value!r}")


def shown(names: Iterable[Name]) -> str:
    """Names for a message."""
    return ", ".join(map(repr, names))
