"""Numbers of several tasks."""

from typing import Any, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_squared_error, r2_score
from sklearn.utils.validation import check_array, check_consistent_length, column_or_1d

from jmeta.mtl.estimators.predictor import Metric, Scores, SharedPredictor
from jmeta.mtl.estimators.targets import number_targets
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

    Args are those of `MultiTaskClassifier`, but for `class_weight`.

    Attributes:
        tasks_: names, those of `adapt` last.
        n_features_in_: D, the column of the tasks not counted.
        layers_: kernel and bias of each layer of the trunk.
        heads_: `{task: (kernel, bias)}`, on the trunk's representation, in the targets' units.
        loss_curve_: `[steps, T]`, the losses of the tasks that were fitted, of standardized targets.

    Example:
        >>> X = [[0.0], [1.0], [0.0], [1.0]]
        >>> model = MultiTaskRegressor(random_state=0).fit(X, [0.0, 1.0, 500.0, 0.0], task=["up", "up", "down", "down"])
        >>> abs(model.predict([[0.0]], task="down") - 500).item() < 20
        True
    """

    _metrics = METRICS

    def fit(self, X: Any, y: Any, task: Any = None, sample_weight: Any = None) -> Self:
        """Learn all tasks at once; as `MultiTaskClassifier.fit`, with `y [N]` numbers.

        Raises:
            ValueError: for input that can't be used.
        """
        X, y, names, which, weight = self._rows(X, y, task, sample_weight, y_numeric=True)
        y = column_or_1d(y, warn=True).astype(np.float64)
        targets = number_targets(y, which, weight)
        heads = self._train(X, targets.standardized, which, weight)
        self.tasks_ = names
        self.heads_ = {
            name: (kernel * s, bias * s + m)
            for name, (kernel, bias), m, s in zip(names, heads, targets.mean, targets.scale, strict=True)
        }
        self._keep_moments(X, weight)
        return self

    def adapt(self, X_new: Any, y_new: Any, task: Any = None, sample_weight: Any = None) -> Self:
        """Learn a new task from a few examples, on the representation as it is; the other tasks stay as they are.

            minimize over the new head   sum_n weight_n (w z_n + b - y_n)^2 + adapt_l2 |w|^2

        with `z` the trunk's representation, standardized by the rows of `fit`. That is scikit-learn's
        `Ridge(alpha=adapt_l2)`, solved exactly, so that the same examples give the same head. Args and errors are those
        of `MultiTaskClassifier.adapt`, with `y_new [N]` numbers.
        """
        z, y, name = self._new_rows(X_new, y_new, task)
        y = check_array(column_or_1d(y, warn=True), ensure_2d=False, input_name="y").astype(np.float64)
        check_consistent_length(z, y)
        weight, kept = weights_of(sample_weight, z)
        found = Ridge(alpha=self.adapt_l2).fit(z[kept], y[kept], sample_weight=weight)
        self._add_task(name, found.coef_[:, None], np.atleast_1d(found.intercept_))
        return self

    def predict(self, X: Any, task: Any = None) -> np.ndarray:
        """A number for each row `[N]`, in the units of its task; as `MultiTaskClassifier.predict`."""
        rows = self._fitted_rows(X, task)
        predicted = np.empty(len(rows[0]))
        for _, own, outputs in self._outputs(*rows):
            predicted[own] = outputs[:, 0]
        return predicted

    def score(self, X: Any, y: Any, task: Any = None, sample_weight: Any = None) -> float:
        """The R2 of all rows together, as scikit-learn's regressors have it; `evaluate` has that of each task.

        Args are those of `MultiTaskClassifier.score`.
        """
        return float(r2_score(y, self.predict(X, task), sample_weight=sample_weight))

    def evaluate(self, X: Any, y: Any, task: Any = None, metric: str = "r2") -> Scores:
        """A metric of each task, and its mean over tasks; as `MultiTaskClassifier.evaluate`.

        `metric` is r2, or mse, the mean squared error in the squared units of each task.
        """
        return self._evaluate(X, y, task, metric)
