"""What all estimators of several tasks have in common."""

import os
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from jmeta.mtl.estimators import saving
from jmeta.mtl.estimators.columns import Name, rows_of, shown, without_task
from jmeta.mtl.estimators.handed import check_scored
from jmeta.mtl.estimators.network import Layer, Plan, moments, represent, stacked, train
from jmeta.mtl.estimators.ranges import check_ranges
from jmeta.mtl.estimators.weights import weights_of
from jmeta.mtl.names import aggregator_named, weighting_named
from jmeta.mtl.types import Aggregator, Weighting
from jmeta.types import Batch

DEFAULT: Name = 0
"""The task of rows that name none."""


class Rows(NamedTuple):
    """What `fit` learns from: features `[N, D]`, targets `[N]`, the tasks' names, each row's position among them, and
    how much it counts, None for all alike."""

    X: np.ndarray
    y: Any
    names: list[Name]
    which: np.ndarray
    weight: np.ndarray | None


class SharedNetwork(BaseEstimator):
    """A trunk that several tasks share and a head for each, trained together: the part of every estimator here.

    Inputs are standardized, by the mean and standard deviation of all rows of all tasks.
    """

    n_features_in_: int
    tasks_: list[Name]
    _fitted: ClassVar[tuple[str, ...]] = ("n_features_in_", "tasks_", "mean_", "scale_", "layers_", "loss_curve_")

    def __init__(
        self,
        *,
        hidden: Sequence[int] = (64,),
        weighting: str | Weighting = "uniform",
        aggregate: str | Aggregator | None = None,
        learning_rate: float = 0.01,
        steps: int = 300,
        l2: float = 1e-3,
        batch_size: int | None = None,
        task_column: str | int | None = None,
        random_state: Any = None,
    ):
        self.hidden = hidden
        self.weighting = weighting
        self.aggregate = aggregate
        self.learning_rate = learning_rate
        self.steps = steps
        self.l2 = l2
        self.batch_size = batch_size
        self.task_column = task_column
        self.random_state = random_state

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted estimator to one file, an .npz of arrays and JSON, which appears whole or not at all.

        Raises:
            NotFittedError: before `fit`.
            ValueError: if a parameter is a function or another object that a file can't hold.
            OSError: if it can't be written.
        """
        check_is_fitted(self)
        saving.write(path, self)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """The estimator that `save` wrote; its predictions are the same, bit for bit.

        Raises:
            ValueError: if the file is damaged, or holds another estimator.
            OSError: if it can't be read.
        """
        return saving.read(path, cls)

    def _rows(self, X: Any, y: Any, task: Any, sample_weight: Any, **options: Any) -> Rows:
        """Checked rows for `fit`, without those of weight 0."""
        if task is not None:
            check_scored()
        X, task = without_task(X, task, self.task_column)
        if not options.get("multi_output"):
            _check_one_column(y)
        X, y = validate_data(self, X, y, dtype=np.float64, **options)
        weight, kept = weights_of(sample_weight, X)
        names, which = rows_of(DEFAULT if task is None else task, len(X))
        if not kept.all():
            X, y, there = X[kept], y[kept], which[kept]
            found, which = np.unique(there, return_inverse=True)
            names = [names[i] for i in found]
        return Rows(X, y, names, which, weight)

    def _features(self, X: Any, task: Any) -> tuple[np.ndarray, Any]:
        """Checked features for a fitted estimator, without the column of tasks, and the rows' tasks as given."""
        check_is_fitted(self)
        wide = getattr(X, "shape", ())
        X, task = without_task(X, task, self.task_column)
        if self.task_column is not None and len(wide) == 2 and wide[1] != self.n_features_in_ + 1:
            raise ValueError(
                f"X has {wide[1]} columns, that of the task included, but {type(self).__name__} is expecting "
                f"{self.n_features_in_ + 1}: give it the columns that it was fitted on"
            )
        checked: Any = validate_data(self, X, dtype=np.float64, reset=False)
        return checked, task

    def _fitted_rows(self, X: Any, task: Any) -> tuple[np.ndarray, list[Name], np.ndarray]:
        """The representation of the rows, and their tasks, which must have been fitted."""
        X, task = self._features(X, task)
        if task is None and len(self.tasks_) > 1:
            raise ValueError(
                "say which task each row is of, by task=, or by a column of X that task_column= names: the tasks are "
                f"{shown(self.tasks_)}"
            )
        names, which = rows_of(self.tasks_[0] if task is None else task, len(X))
        strange = [name for name in names if name not in self.tasks_]
        if strange:
            raise ValueError(
                f"task {strange[0]!r} was not fitted: the tasks are {shown(self.tasks_)}, and others are learned by "
                "fit or adapt"
            )
        return self._represent(X), names, which

    def _represent(self, X: np.ndarray) -> np.ndarray:
        return represent(self.layers_, (X - self.mean_) / self.scale_)

    def _train(
        self,
        X: np.ndarray,
        y: np.ndarray,
        which: np.ndarray,
        weight: np.ndarray | None,
        *,
        classes: np.ndarray | None = None,
        components: int | None = None,
    ) -> list[Layer]:
        """Train on rows `[N, D]` of these weights and targets `[N, k]`, keep the trunk, and return the heads."""
        self._check_parameters()
        mean, scale = moments(X, weight)
        x = (X - mean) / scale
        batch: Batch = stacked(x, y, which, classes, weight)
        plan = Plan(
            tuple(int(units) for units in self.hidden), components, classes is not None, int(which.max()) + 1,
            self.weighting, self.aggregate, int(self.steps),
            None if self.batch_size is None else int(self.batch_size),
        )  # fmt: skip
        seed = int(check_random_state(self.random_state).randint(2**31))
        trained = train(plan, batch, learning_rate=float(self.learning_rate), l2=float(self.l2), seed=seed)
        self.mean_, self.scale_ = mean, scale
        self.layers_ = trained.layers
        self.loss_curve_ = trained.losses
        return trained.heads

    def _check_parameters(self) -> None:
        check_ranges(self.get_params(deep=False))
        if isinstance(self.weighting, str):
            weighting_named(self.weighting)
        elif not isinstance(self.weighting, Weighting):
            raise ValueError(f"weighting must be a name or a jmeta.mtl.Weighting, got {self.weighting!r}")
        if isinstance(self.aggregate, str):
            aggregator_named(self.aggregate)
        elif not (self.aggregate is None or callable(self.aggregate)):
            raise ValueError(f"aggregate must be a name, an aggregator or None, got {self.aggregate!r}")


def _check_one_column(y: Any) -> None:
    shape = np.shape(y) if isinstance(y, list) else getattr(y, "shape", ())
    if len(shape) == 2 and shape[1] > 1:
        raise ValueError(
            f"y should be a 1d array, got an array of shape {shape}: give each column as a task of its own, by "
            f"X=np.tile(X, ({shape[1]}, 1)), y=np.ravel(y, order='F'), task=np.repeat(names, len(X))"
        )
