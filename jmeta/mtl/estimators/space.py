"""The representation that several tasks share, as a transformer."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import column_or_1d

from jmeta.mtl.estimators.base import SharedNetwork
from jmeta.mtl.estimators.network import represent
from jmeta.mtl.estimators.targets import class_targets, number_targets
from jmeta.mtl.types import Aggregator, Weighting

TARGETS = ("auto", "classes", "numbers")


class SharedSpace(ClassNamePrefixFeaturesOutMixin, TransformerMixin, SharedNetwork):
    """A few numbers for each row that several tasks can be told from: a supervised reduction of dimensions.

        z = V trunk(x) + c,   prediction of task i = W_i z + b_i

    trained as `MultiTaskClassifier` and `MultiTaskRegressor` are. The space is the same for all tasks, so `transform`
    takes X alone. Inputs, and targets that are numbers, are standardized as there.

    Args:
        n_components: numbers for each row.
        targets: whether y holds classes or numbers; auto takes what `sklearn.utils.multiclass.type_of_target` says, by
            which whole numbers are classes.
        hidden: units of the trunk's layers; empty for a linear space.

    Other args are those of `MultiTaskClassifier`; `task_column` is taken out in `transform` too.

    Attributes:
        tasks_: names.
        n_features_in_: D, the column of the tasks not counted.
        layers_: kernel and bias of each layer, the linear one last.
        loss_curve_: `[steps, T]`.

    Example:
        >>> X, y = [[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], [0, 1, 1, 0]
        >>> SharedSpace(n_components=1, random_state=0).fit(X, y, task=[0, 0, 1, 1]).transform(X).shape
        (4, 1)
    """

    def __init__(
        self,
        n_components: int = 2,
        *,
        targets: str = "auto",
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
        super().__init__(
            hidden=hidden, weighting=weighting, aggregate=aggregate, learning_rate=learning_rate, steps=steps, l2=l2,
            batch_size=batch_size, task_column=task_column, random_state=random_state,
        )  # fmt: skip
        self.n_components = n_components
        self.targets = targets

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags

    def fit(self, X: Any, y: Any, task: Any = None, sample_weight: Any = None) -> Self:
        """Learn the space from all tasks at once; as `MultiTaskClassifier.fit`, with `y [N]` classes or numbers.

        Raises:
            ValueError: for input that can't be used, such as classes where all rows of a task have the same.
        """
        if self.targets not in TARGETS:
            raise ValueError(f"targets must be one of {', '.join(TARGETS)}, got {self.targets!r}")
        self._check_parameters()
        X, y, names, which, weight = self._rows(X, y, task, sample_weight)
        y = column_or_1d(y, warn=True)
        kind = type_of_target(y)
        classes = kind in ("binary", "multiclass") if self.targets == "auto" else self.targets == "classes"
        width = int(self.n_components)
        if classes:
            _, onehot, has = class_targets(y, names, which)
            self._train(X, onehot, which, weight, classes=has, components=width)
        else:
            targets = number_targets(y.astype(np.float64), which, weight)
            self._train(X, targets.standardized, which, weight, components=width)
        self.tasks_ = names
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Where the rows `[N, D]` are in the space, `[N, n_components]`.

        Raises:
            NotFittedError: before `fit`.
            ValueError: for input that can't be used.
        """
        X, _ = self._features(X, None)
        return represent(self.layers_, (X - self.mean_) / self.scale_, linear=True)

    @property
    def _n_features_out(self) -> int:
        return self.layers_[-1][1].shape[0]
