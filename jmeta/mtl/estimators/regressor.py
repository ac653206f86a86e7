"""Numbers of several tasks."""

from typing import Any, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_squared_error, r2_score
from sklearn.utils.validation import check_array, check_consistent_length, column_or_1d

from jmeta.mtl.estimators.predictor import Metric, Scores, SharedPredictor
from jmeta.mtl.estimators.targets import number_targets, unrolled
from jmeta.mtl.estimators.weights import weights_of

METRICS: dict[str, Metric] = {
    "r2": lambda y, predicted: float(r2_score(y, predicted)),
    "mse": lambda y, predicted: float(mean_squared_error(y, predicted)),
}


class MultiTaskRegressor(RegressorMixin, SharedPredictor):
    """A regressor for several tasks, which share a network up to its last layer.

        prediction of task i = mean_i + scale_i (w_i trunk(x) + b_i)
        minimize  sum_i w_i mean_n ((prediction - y_n) / scale_i)^2 + l2 / 2 |W|^2    by Adam, its rate falling to 0

    Targets are standardized within each task, by its own mean and standard deviation, so that no task counts more
    because its numbers are larger; predictions are in the targets' own units. Inputs are standardized by the mean and
    standard deviation of all rows of all tasks. With no task named there is one, and this is an ordinary regressor.

    With `y [N, k]`, k targets of the same rows, each target of each task is standardized, weighted and trained as a
    task of its own, and predictions are `[N, k]`. A y of one column, `[N, 1]`, is taken as `[N]`.

    Args are those of `MultiTaskClassifier`, but for `class_weight`.

    Attributes:
        tasks_: names, those of `adapt` last.
        n_features_in_: D, the column of the tasks not counted.
        layers_: kernel and bias of each layer of the trunk.
        heads_: `{task: (kernel, bias)}`, `[units, k]` and `[k]`, on the trunk's representation, in the targets' units.
        loss_curve_: `[steps, T k]`, the losses of the tasks that were fitted, of standardized targets; those of a task
            stand together.

    Example:
        >>> X = [[0.0], [1.0], [0.0], [1.0]]
        >>> model = MultiTaskRegressor(random_state=0).fit(X, [0.0, 1.0, 500.0, 0.0], task=["up", "up", "down", "down"])
        >>> abs(model.predict([[0.0]], task="down") - 500).item() < 20
        True
    """

    _metrics = METRICS

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any, task: Any = None, sample_weight: Any = None) -> Self:
        """Learn all tasks at once; as `MultiTaskClassifier.fit`, with numbers `y [N]` or `[N, k]`.

        Raises:
            ValueError: for input that can't be used.
        """
        X, y, names, which, weight = self._rows(X, y, task, sample_weight, y_numeric=True, multi_output=True)
        y = _in_columns(y)
        rows = unrolled(X, y, which, weight)
        targets = number_targets(rows.y, rows.which, rows.weight)
        trained = self._train(rows.X, targets.standardized, rows.which, rows.weight)
        heads = [(kernel * s, bias * s + m) for (kernel, bias), m, s in zip(trained, *targets[1:], strict=True)]
        self.tasks_ = names
        each = [heads[i : i + y.shape[1]] for i in range(0, len(heads), y.shape[1])]
        self.heads_ = {
            name: (np.hstack([kernel for kernel, _ in own]), np.concatenate([bias for _, bias in own]))
            for name, own in zip(names, each, strict=True)
        }
        self._keep_moments(X, weight)
        return self

    def adapt(self, X_new: Any, y_new: Any, task: Any = None, sample_weight: Any = None) -> Self:
        """Learn a new task from a few examples, on the representation as it is; the other tasks stay as they are.

            minimize over the new head   sum_n weight_n (w z_n + b - y_n)^2 + adapt_l2 |w|^2

        with `z` the trunk's representation, standardized by the rows of `fit`. That is scikit-learn's
        `Ridge(alpha=adapt_l2)`, solved exactly, so that the same examples give the same head. Args and errors are those
        of `MultiTaskClassifier.adapt`, with numbers `y_new`, as many for each row as in `fit`.
        """
        z, y, name = self._new_rows(X_new, y_new, task)
        y = _in_columns(y)
        check_consistent_length(z, y)
        if y.shape[1] != self._targets:
            raise ValueError(f"y_new has {y.shape[1]} columns, and fit had {self._targets}: give as many")
        y = y if self._targets > 1 else y[:, 0]
        weight, kept = weights_of(sample_weight, z)
        found = Ridge(alpha=self.adapt_l2).fit(z[kept], y[kept], sample_weight=weight)
        self._add_task(name, np.atleast_2d(found.coef_).T, np.atleast_1d(found.intercept_))
        return self

    def predict(self, X: Any, task: Any = None) -> np.ndarray:
        """Numbers for each row, `[N]` or `[N, k]`, in the units of its task; as `MultiTaskClassifier.predict`."""
        rows = self._fitted_rows(X, task)
        predicted = np.empty((len(rows[0]), self._targets))
        for _, own, outputs in self._outputs(*rows):
            predicted[own] = outputs
        return predicted if self._targets > 1 else predicted[:, 0]

    def score(self, X: Any, y: Any, task: Any = None, sample_weight: Any = None) -> float:
        """The R2 of all rows together, as scikit-learn's regressors have it: of several targets, the mean of their R2.
        `evaluate` has that of each task.

        Args are those of `MultiTaskClassifier.score`.
        """
        return float(r2_score(y, self.predict(X, task), sample_weight=sample_weight))

    def evaluate(self, X: Any, y: Any, task: Any = None, metric: str = "r2") -> Scores:
        """A metric of each task, and its mean over tasks; as `MultiTaskClassifier.evaluate`.

        `metric` is r2, or mse, the mean squared error in the squared units of each task.
        """
        return self._evaluate(X, y, task, metric)

    @property
    def _targets(self) -> int:
        """k."""
        return len(next(iter(self.heads_.values()))[1])


def _in_columns(y: Any) -> np.ndarray:
    """Checked numbers as float64 `[N, k]`."""
    y = np.asarray(check_array(y, ensure_2d=False, input_name="y"), np.float64)
    return y if y.ndim == 2 and y.shape[1] > 1 else column_or_1d(y, warn=True)[:, None]
