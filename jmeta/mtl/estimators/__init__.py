"""Several tasks in the form that scikit-learn's users know: estimators with `fit`, `predict`, `score` and `adapt`."""

from jmeta.mtl.estimators.classifier import MultiTaskClassifier
from jmeta.mtl.estimators.predictor import Scores
from jmeta.mtl.estimators.regressor import MultiTaskRegressor
from jmeta.mtl.estimators.space import SharedSpace

__all__ = ["MultiTaskClassifier", "MultiTaskRegressor", "Scores", "SharedSpace"]
