"""What estimators that predict have in common: a head for each task, and heads for new ones."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jmeta.mtl.estimators.base import SharedNetwork, is_finite
from jmeta.mtl.estimators.columns import Name, rows_of, shown
from jmeta.mtl.estimators.network import Layer, moments
from jmeta.mtl.types import Aggregator, Weighting


class SharedPredictor(SharedNetwork):
    """A shared network with heads that are kept, and to which those of new tasks are added."""

    heads_: dict[Name, Layer]

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

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if not (is_finite(self.adapt_l2) and self.adapt_l2 > 0):
            raise ValueError(f"adapt_l2 must be a number above 0, got {self.adapt_l2!r}")

    def _keep_moments(self, X: np.ndarray) -> None:
        """Keep mean and scale of the representation of the training rows, for `adapt`."""
        self.representation_mean_, self.representation_scale_ = moments(self._represent(X))

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
