"""Classes of several tasks."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, precision_score, recall_score
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, column_or_1d

from jmeta.mtl.estimators.predictor import Metric, Scores, SharedPredictor
from jmeta.mtl.estimators.targets import class_targets, own_classes
from jmeta.mtl.estimators.weights import weights_of, with_classes
from jmeta.mtl.types import Aggregator, Weighting

OVER_CLASSES: dict[str, Any] = {"average": "macro", "zero_division": 0}
METRICS: dict[str, Metric] = {
    "accuracy": lambda y, predicted: float(accuracy_score(y, predicted)),
    "precision": lambda y, predicted: float(precision_score(y, predicted, **OVER_CLASSES)),
    "recall": lambda y, predicted: float(recall_score(y, predicted, **OVER_CLASSES)),
}


class MultiTaskClassifier(ClassifierMixin, SharedPredictor):
    """A classifier for several tasks, which share a network up to its last layer.

        logits of task i = W_i trunk(x) + b_i
        minimize  sum_i w_i mean_n cross-entropy(logits, y_n) + l2 / 2 |W|^2    by Adam, its rate falling to 0

    Tasks may differ in their classes, examples and numbers of them. Inputs are standardized, by the mean and standard
    deviation of all rows of all tasks. With no task named there is one, and this is an ordinary classifier. `task=` of
    the methods names each row's task; for tools that hand on X alone, a column of X can.

    Args:
        hidden: units of the trunk's layers; empty for a linear model of each task.
        weighting: of the tasks' losses, one of `jmeta.mtl.names.weighting_names()` or a `jmeta.mtl.types.Weighting`.
            One that learns from a validation batch, such as `lookahead`, can't be used here.
        aggregate: makes one gradient for the trunk of the tasks' gradients, one of
            `jmeta.mtl.names.aggregator_names()` or an aggregator; None adds them.
        learning_rate: at the first step.
        steps: of training.
        l2: penalty on the kernels.
        batch_size: rows of each task in a step, drawn with replacement; None for all rows.
        adapt_l2: penalty on a head that `adapt` fits.
        class_weight: `{class: weight}`, how much the rows of a class count, 1 for classes that it lacks; "balanced" for
            all classes of a task alike, however many rows they have; None for all rows alike.
        task_column: the column of X that names the tasks, by its position, or by its name in a data frame; it is no
            feature. None for none.
        random_state: as in scikit-learn; it decides where the parameters start and which rows are drawn.

    Attributes:
        tasks_: names, those of `adapt` last.
        classes_: of all tasks together.
        task_classes_: `{task: classes}`.
        n_features_in_: D, the column of the tasks not counted.
        layers_: kernel and bias of each layer of the trunk.
        heads_: `{task: (kernel, bias)}`, on the trunk's representation.
        loss_curve_: `[steps, T]`, the losses of the tasks that were fitted.

    Example:
        >>> X, y = [[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], ["no", "yes", "yes", "no"]
        >>> model = MultiTaskClassifier(random_state=0).fit(X, y, task=["or", "or", "and", "and"])
        >>> model.predict([[0.0, 1.0]], task="and").tolist()
        ['yes']
    """

    _metrics = METRICS
    _fitted = (*SharedPredictor._fitted, "task_classes_", "classes_")

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
        class_weight: Mapping[Any, float] | str | None = None,
        task_column: str | int | None = None,
        random_state: Any = None,
    ):
        super().__init__(
            hidden=hidden, weighting=weighting, aggregate=aggregate, learning_rate=learning_rate, steps=steps, l2=l2,
            batch_size=batch_size, adapt_l2=adapt_l2, task_column=task_column, random_state=random_state,
        )  # fmt: skip
        self.class_weight = class_weight

    def fit(self, X: Any, y: Any, task: Any = None, sample_weight: Any = None) -> Self:
        """Learn all tasks at once.

        Args:
            X: `[N, D]`.
            y: `[N]`, classes.
            task: `[N]`, names of the rows' tasks, strings or whole numbers; one name for all; None for one task.
            sample_weight: `[N]`, how much each row counts; a row of weight 2 is as two, and one of 0 is not there.
                None for all alike.

        Raises:
            ValueError: for input that can't be used, such as a task of one class.
        """
        X, y, names, which, weight = self._rows(X, y, task, sample_weight)
        check_classification_targets(y)
        y = column_or_1d(y, warn=True)
        own, onehot, has = class_targets(y, names, which)
        counted = with_classes(self.class_weight, y, which, weight)
        heads = self._train(X, onehot, which, counted, classes=has)
        self.tasks_ = names
        self.task_classes_ = dict(zip(names, own, strict=True))
        self.classes_ = np.unique(y)
        self.heads_ = {
            name: (kernel[:, : len(classes)], bias[: len(classes)])
            for name, classes, (kernel, bias) in zip(names, own, heads, strict=True)
        }
        self._keep_moments(X, weight)
        return self

    def adapt(self, X_new: Any, y_new: Any, task: Any = None, sample_weight: Any = None) -> Self:
        """Learn a new task from a few examples, on the representation as it is; the other tasks stay as they are.

            minimize over the new head   sum_n cross-entropy(W z_n + b, y_n) + adapt_l2 / 2 |W|^2

        with `z` the trunk's representation, standardized by the rows of `fit`. That is scikit-learn's
        `LogisticRegression(C=1 / adapt_l2)`, a convex problem, so that the same examples give the same head.

        Args:
            X_new: `[N, D]`.
            y_new: `[N]`, two classes or more; they may be new, and join `classes_`.
            task: the name of the new task; None for the least whole number above all whole numbers among the names.
            sample_weight: as in `fit`.

        Raises:
            NotFittedError: before `fit`.
            ValueError: for input that can't be used, such as a task that is fitted already.
        """
        z, y, name = self._new_rows(X_new, y_new, task)
        check_classification_targets(y)
        y = column_or_1d(y, warn=True)
        check_consistent_length(z, y)
        weight, kept = weights_of(sample_weight, z)
        z, y = z[kept], y[kept]
        classes = own_classes(y, name)
        if isinstance(classes[0], str) != isinstance(self.classes_[0], str):
            raise ValueError(
                f"the classes of the new task are {classes.dtype} and those of the others {self.classes_.dtype}: "
                "give classes of one kind"
            )
        weight = with_classes(self.class_weight, y, np.zeros(len(y), int), weight)
        found = LogisticRegression(C=1 / self.adapt_l2, tol=1e-6, max_iter=10_000).fit(z, y, sample_weight=weight)
        kernel, bias = found.coef_.T, found.intercept_
        if len(classes) == 2:
            kernel, bias = np.hstack([-kernel, kernel]) / 2, np.concatenate([-bias, bias]) / 2
        self._add_task(name, kernel, bias)
        self.task_classes_ = {**self.task_classes_, name: classes}
        self.classes_ = np.union1d(self.classes_, classes)
        return self

    def predict(self, X: Any, task: Any = None) -> np.ndarray:
        """The most probable class of each row `[N]`, among those of its task.

        Args are those of `fit`; `task` may be None where there is one task.

        Raises:
            NotFittedError: before `fit`.
            ValueError: for input that can't be used, such as a task that was not fitted.
        """
        rows = self._fitted_rows(X, task)
        predicted = np.empty(len(rows[0]), self.classes_.dtype)
        for name, own, logits in self._outputs(*rows):
            predicted[own] = self.task_classes_[name][np.argmax(logits, 1)]
        return predicted

    def predict_proba(self, X: Any, task: Any = None) -> np.ndarray:
        """Probabilities `[N, len(classes_)]`, 0 for classes that the row's task does not have.

        Args and errors are those of `predict`.
        """
        rows = self._fitted_rows(X, task)
        found = np.zeros((len(rows[0]), len(self.classes_)))
        for name, own, logits in self._outputs(*rows):
            odds = np.exp(logits - np.max(logits, axis=1, keepdims=True))
            columns = np.searchsorted(self.classes_, self.task_classes_[name])
            found[np.ix_(own, columns)] = odds / np.sum(odds, axis=1, keepdims=True)
        return found

    def score(self, X: Any, y: Any, task: Any = None, sample_weight: Any = None) -> float:
        """Share of all rows whose class is predicted; a class that was not fitted counts as missed.

        Args are those of `fit`, and `sample_weight` `[N]`, how much each row counts; None for all alike.
        """
        return float(accuracy_score(y, self.predict(X, task), sample_weight=sample_weight))

    def evaluate(self, X: Any, y: Any, task: Any = None, metric: str = "accuracy") -> Scores:
        """A metric of each task, and its mean over tasks.

        Args are those of `fit`, and `metric`: accuracy; or precision or recall, which are means over the classes that
        occur in the task's rows or predictions, 0 for a class without any.

        Raises:
            NotFittedError: before `fit`.
            ValueError: as in `predict`, or for another metric.
        """
        return self._evaluate(X, y, task, metric)
