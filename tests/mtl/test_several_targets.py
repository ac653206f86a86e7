"""Several targets of the same rows, each a task of its own."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import mean_squared_error, r2_score

from jmeta.mtl.estimators import MultiTaskClassifier, MultiTaskRegressor

pytestmark = pytest.mark.standard_promotion  # Adam's own numbers

SETTINGS = {"steps": 60, "hidden": (8,), "learning_rate": 0.03, "random_state": 0}


def data(rows=60):
    """Two targets, in units a thousand times apart, of two tasks."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, 4))
    y = np.stack([5 + X[:, 0] - X[:, 1], 1000 * (X[:, 1] + X[:, 2])], axis=1)
    return X, y, np.array(["b", "a", "b"])[np.arange(rows) % 3]


def test_each_target_is_a_task_of_its_own():
    """Catches targets that are mixed up, share a scale, or count by their units: it is what stacked rows give."""
    X, y, _ = data()
    found = MultiTaskRegressor(**SETTINGS).fit(X, y)
    stacked = MultiTaskRegressor(**SETTINGS).fit(np.tile(X, (2, 1)), y.ravel(order="F"), task=np.repeat([0, 1], 60))
    got = found.predict(X)
    assert got.shape == (60, 2) and found.loss_curve_.shape == (60, 2) and found.tasks_ == [0]
    for j in range(2):
        np.testing.assert_allclose(got[:, j], stacked.predict(X, task=j), rtol=1e-3, atol=1e-3 * y[:, j].std())
    assert found.score(X, y) == r2_score(y, got) and found.score(X, y) > 0.8
    per_target = found.evaluate(X, y)
    assert list(per_target.tasks) == [(0, 0), (0, 1)]
    assert per_target.overall == pytest.approx(found.score(X, y))


def test_a_linear_model_without_a_penalty_is_least_squares_of_each_target_and_task():
    X, y, task = data()
    y = y + np.sin(5 * X[:, [3]])
    found = MultiTaskRegressor(**SETTINGS | {"hidden": (), "l2": 0.0, "steps": 400}).fit(X, y, task=task)
    got = found.predict(X, task)
    for name in ("a", "b"):
        own = task == name
        expected = LinearRegression().fit(X[own], y[own]).predict(X[own])
        np.testing.assert_allclose(got[own] / y.std(0), expected / y.std(0), atol=2e-3)
    errors = found.evaluate(X, y, task, metric="mse").tasks
    assert list(errors) == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    own = task == "b"
    assert errors["b", 1] == pytest.approx(mean_squared_error(y[own, 1], got[own, 1]))


def test_weights_of_rows_are_of_all_their_targets():
    X, y, task = data()
    weight = np.arange(60) % 3
    found = MultiTaskRegressor(**SETTINGS).fit(X, np.where(weight[:, None] == 0, 1e6, y), task, sample_weight=weight)
    rows = np.repeat(np.arange(60), weight)
    right = MultiTaskRegressor(**SETTINGS).fit(X[rows], y[rows], task[rows])
    assert (np.abs(found.predict(X, task) - right.predict(X, task)) / y.std(0)).max() < 1e-2


def test_a_new_task_has_as_many_targets_and_a_file_gives_all_back(tmp_path):
    X, y, task = data()
    model = MultiTaskRegressor(**SETTINGS).fit(X, y, task)
    old = model.predict(X, task)
    model.adapt(X[:9], y[:9], task="new")
    z = (model._represent(X) - model.representation_mean_) / model.representation_scale_
    np.testing.assert_allclose(model.predict(X, "new"), Ridge(alpha=1.0).fit(z[:9], y[:9]).predict(z), rtol=1e-6)
    model.save(tmp_path / "model.npz")
    found = MultiTaskRegressor.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(found.predict(X, task), old)
    np.testing.assert_array_equal(found.predict(X, "new"), model.predict(X, "new"))
    for wrong in (y[:9, 0], y[:9, [0, 1, 1]]):
        with pytest.raises(ValueError, match=r"y_new has [13] columns, and fit had 2: give as many"):
            model.adapt(X[:9], wrong, task="other")
    with pytest.raises(ValueError, match="y has 3 columns, and fit had 2: give as many"):
        model.evaluate(X, y[:, [0, 1, 1]], task)


def test_one_column_is_one_target():
    X, y, _ = data()
    with pytest.warns(UserWarning, match="column-vector"):
        column = MultiTaskRegressor(**SETTINGS).fit(X, y[:, :1])
    plain = MultiTaskRegressor(**SETTINGS).fit(X, y[:, 0])
    np.testing.assert_array_equal(column.predict(X), plain.predict(X))


def test_a_classifier_says_how_columns_become_tasks():
    """What the sentence says does it, word for word."""
    X, y, _ = data()
    y = y > np.median(y, axis=0)
    with pytest.raises(ValueError, match=r"np.tile\(X, \(2, 1\)\), y=np.ravel\(y, order='F'\), task=np.repeat\(names"):
        MultiTaskClassifier(**SETTINGS).fit(X, y)
    names = ["first", "second"]
    model = MultiTaskClassifier(**SETTINGS).fit(
        X=np.tile(X, (2, 1)), y=np.ravel(y, order="F"), task=np.repeat(names, len(X))
    )
    for name, own in zip(names, y.T, strict=True):
        assert model.score(X, own, task=name) > 0.9
