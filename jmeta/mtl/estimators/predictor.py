"""What estimators that predict have in common: a head for each task, heads for new ones, and scores."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
from sklearn.utils.validation import check_array, check_consistent_length, column_or_1d

from jmeta.mtl.estimators.base import SharedNetwork
from jmeta.mtl.estimators.columns import Name, rows_of, shown
from jmeta.mtl.estimators.network import Layer, moments
from jmeta.mtl.types import Aggregator, Weighting

Metric = Callable[[np.ndarray, np.ndarray], float]
"""`(true [N], predicted [N]) -> number`."""


class Scores(NamedTuple):
    """A metric on several tasks.

    Attributes:
        overall: the mean over the tasks, each counted alike however many rows it has.
        tasks: of each; where y has several columns, of each `(task, column)`.
    """

    overall: float
    tasks: dict[Any, float]


class SharedPredictor(SharedNetwork):
    """A shared network with heads that are kept, and to which those of new tasks are added."""

    heads_: dict[Name, Layer]
    _fitted = (*SharedNetwork._fitted, "heads_", "representation_mean_", "representation_scale_")
    predict: Callable[..., np.ndarray]
    _metrics: ClassVar[Mapping[str, Metric]]

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
        adapt_l2: float = 1.0,
        task_column: str | int | None = None,
        random_state: Any = None,
    ):
        super().__init__(
            hidden=hidden, weighting=weighting, aggregate=aggregate, learning_rate=learning_rate, steps=steps, l2=l2,
            batch_size=batch_size, task_column=task_column, random_state=random_state,
        )  # fmt: skip
        self.adapt_l2 = adapt_l2

    def _keep_moments(self, X: np.ndarray, weight: np.ndarray | None) -> None:
        """Keep mean and scale of the representation of the training rows, for `adapt`."""
        self.representation_mean_, self.representation_scale_ = moments(self._represent(X), weight)

    def _new_rows(self, X: Any, y: Any, task: Any) -> tuple[np.ndarray, Any, Name]:
        """The standardized representation of the rows of a new task, their targets as given, and the task's name."""
        self._check_parameters()
        if y is None:
            raise ValueError("adapt requires y to be passed, but the target y is None")
        X, task = self._features(X, task)
        numbers = [name for name in self.tasks_ if isinstance(name, int)]
        names, _ = rows_of(max(numbers, default=-1) + 1 if task is None else task, len(X))
        if len(names) > 1:
            raise ValueError(f"adapt learns one new task at a time, got {shown(names)}: call it for each")
        if names[0] in self.tasks_:
            raise ValueError(f"task {names[0]!r} is fitted already: give the new task another name, by task=")
        z = (self._represent(X) - self.representation_mean_) / self.representation_scale_
        return z, y, names[0]

    def _add_task(self, name: Name, kernel: np.ndarray, bias: np.ndarray) -> None:
        """Keep a head that was fitted on the standardized representation, as one on the representation itself."""
        kernel = kernel / self.representation_scale_[:, None]
        self.tasks_ = [*self.tasks_, name]
        self.heads_ = {**self.heads_, name: (kernel, bias - self.representation_mean_ @ kernel)}

    def _outputs(self, z: np.ndarray, names: list[Name], which: np.ndarray) -> Iterator[tuple[Name, np.ndarray, Any]]:
        """Each task, the mask `[N]` of its rows, and what its head makes of them."""
        for i, name in enumerate(names):
            kernel, bias = self.heads_[name]
            yield name, which == i, z[which == i] @ kernel + bias

    def _evaluate(self, X: Any, y: Any, task: Any, metric: str) -> Scores:
        if metric not in self._metrics:
            raise ValueError(f"there is no metric {metric!r} here: choose one of {', '.join(self._metrics)}")
        _, names, which = self._fitted_rows(X, task)
        predicted = self.predict(X, task)
        one = predicted.ndim == 1
        y = column_or_1d(y) if one else check_array(y, input_name="y")
        check_consistent_length(which, y)
        if y.shape != predicted.shape:
            raise ValueError(f"y has {y.shape[1]} columns, and fit had {predicted.shape[1]}: give as many")
        measure = self._metrics[metric]
        found = {}
        for i, name in enumerate(names):
            mine, own = predicted[which == i], y[which == i]
            columns = [(name, own, mine)] if one else [((name, j), own[:, j], mine[:, j]) for j in range(y.shape[1])]
            found |= {key: float(measure(true, guess)) for key, true, guess in columns}
        return Scores(float(np.mean(list(found.values()))), found)
