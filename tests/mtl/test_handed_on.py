"""Tasks in scikit-learn's cross-validation: handed to the score too, or refused in a sentence, and never NaN."""

import numpy as np
import pytest
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from jmeta.mtl.estimators import MultiTaskClassifier

pytestmark = pytest.mark.standard_promotion  # Adam's own numbers

RNG = np.random.default_rng(0)
X, TASK = RNG.normal(size=(40, 3)), np.array(["a", "b"])[np.arange(40) % 2]
Y = np.where(TASK == "a", X[:, 0], X[:, 1]) > 0
FOLDS = KFold(2, shuffle=True, random_state=0)
MODEL = MultiTaskClassifier(steps=30, hidden=(4,), learning_rate=0.05, random_state=0)
REFUSED = r"set_config\(enable_metadata_routing=True\).*set_fit_request\(task=True\)\.set_score_request\(task=True\)"


def ways(model, params, **options):
    """The same by each of scikit-learn's functions: calls that give scores."""
    return {
        "cross_val_score": lambda: cross_val_score(model, X, Y, cv=FOLDS, params=params, **options),
        "cross_validate": lambda: cross_validate(model, X, Y, cv=FOLDS, params=params, **options)["test_score"],
        "search": lambda: [GridSearchCV(model, {}, cv=FOLDS, **options).fit(X, Y, **params).best_score_],
    }


@pytest.mark.parametrize("way", ways(None, {}))
def test_tasks_that_no_score_would_see_are_refused(way):
    """Catches NaN for scores, which scikit-learn makes of what its scorers raise."""
    for options in ({}, {"scoring": "accuracy"}, {"error_score": "raise"}):
        with pytest.raises(ValueError, match=REFUSED):
            ways(MODEL, {"task": TASK}, **options)[way]()
    piped = make_pipeline(StandardScaler(), MODEL)
    with pytest.raises(ValueError, match=REFUSED):
        cross_val_score(piped, X, Y, cv=FOLDS, params={"multitaskclassifier__task": TASK})


@pytest.mark.parametrize("way", ways(None, {}))
def test_what_the_sentence_says_makes_it_work(way):
    with sklearn.config_context(enable_metadata_routing=True):
        asked = sklearn.clone(MODEL).set_fit_request(task=True).set_score_request(task=True)
        routed = ways(asked, {"task": TASK})[way]()
        with pytest.raises(ValueError, match=REFUSED):  # it calls `predict`, to which scikit-learn hands nothing on
            ways(asked, {"task": TASK}, scoring="accuracy")[way]()
        with pytest.raises(UnsetMetadataPassedError, match="set_fit_request"):
            ways(MODEL, {"task": TASK})[way]()
    column = sklearn.clone(MODEL).set_params(task_column=-1)
    wide = np.column_stack([X, TASK == "b"])
    expected = cross_val_score(column, wide, Y, cv=FOLDS)
    assert np.mean(routed) == pytest.approx(expected.mean())
    assert np.isfinite(cross_val_score(column, wide, Y, cv=FOLDS, scoring="accuracy")).all()
    assert cross_val_predict(column, wide, Y, cv=FOLDS).shape == (40,)


class OfItsOwn(ClassifierMixin, BaseEstimator):
    """A user's estimator that finds the tasks in X."""

    def fit(self, X, y):
        self.model_ = sklearn.clone(MODEL).fit(X[:, :-1], y, task=X[:, -1])
        self.classes_ = self.model_.classes_
        return self

    def predict(self, X):
        return self.model_.predict(X[:, :-1], task=X[:, -1])


def test_users_who_hand_tasks_on_themselves_are_left_alone():
    """Catches a refusal where the score does see the tasks: by the user's own scorer, or the user's own estimator."""
    places = {tuple(row): name for row, name in zip(X, TASK, strict=True)}
    own = lambda model, X, y: model.score(X, y, task=[places[tuple(row)] for row in X])
    found = cross_val_score(MODEL, X, Y, cv=FOLDS, params={"task": TASK}, scoring=own)
    wrapped = cross_val_score(OfItsOwn(), np.column_stack([X, TASK == "b"]), Y, cv=FOLDS)
    np.testing.assert_array_equal(found, wrapped)
    with pytest.raises(ValueError, match="by a column of X that task_column= names"):
        cross_val_predict(MODEL, X, Y, cv=FOLDS, params={"task": TASK})
