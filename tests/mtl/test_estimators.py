"""Estimators for scikit-learn's users: its own checks, its tools, its metrics, and one file that gives all back."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, mean_squared_error, precision_score, r2_score, recall_score
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.estimator_checks import check_estimator

from jmeta.losses import cross_entropy, squared_error
from jmeta.mtl import names, weightings
from jmeta.mtl.estimators import MultiTaskClassifier, MultiTaskRegressor, SharedSpace, network
from jmeta.mtl.models import hard_sharing
from jmeta.nets import MLP, MLPEncoder

pytestmark = pytest.mark.standard_promotion  # Adam's own numbers

SETTINGS = {"steps": 60, "hidden": (8,), "learning_rate": 0.03, "random_state": 0}
NAMES = np.array(["b", "a", "c"])


def class_data(seed=0, rows=60):
    """Three tasks in turn: signs of two directions, and three classes of a third, which has the fewest rows."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, 4))
    task = NAMES[np.arange(rows) % 5 % 3]
    thirds = np.array(["low", "middle", "top"])[np.digitize(X[:, 2], [-0.4, 0.4])]
    signs = np.where(X[:, 0] + X[:, 1] > 0, "yes", "no")
    y = np.where(task == "c", thirds, np.where(task == "a", signs, np.where(X[:, 0] > 0, "yes", "no")))
    return X, y, task


def number_data(seed=0, rows=60):
    """Three tasks in units a thousand times apart."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, 4))
    task = NAMES[np.arange(rows) % 3]
    scale = np.select([task == "a", task == "b"], [1.0, 1000.0], 0.001)
    return X, scale * (5 + X[:, 0] - X[:, 1]), task


@pytest.fixture(scope="module")
def classifier():
    X, y, task = class_data()
    return MultiTaskClassifier(**SETTINGS).fit(X, y, task=task)


@pytest.fixture(scope="module")
def regressor():
    X, y, task = number_data()
    return MultiTaskRegressor(**SETTINGS).fit(X, y, task=task)


@pytest.fixture(scope="module")
def space():
    X, y, task = class_data()
    return SharedSpace(n_components=2, **SETTINGS).fit(X, y, task=task)


# scikit-learn's own checks.


@pytest.mark.parametrize(
    "estimator",
    [
        MultiTaskClassifier(),
        *(pytest.param(each, marks=pytest.mark.long) for each in (MultiTaskRegressor(), SharedSpace())),
    ],
)
def test_scikit_learn_finds_nothing_wrong(estimator):
    rounding = "training is in float32: weights and repeated rows agree to 1e-5, and not to its 1e-7"
    found = check_estimator(
        estimator, on_skip=None, expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": rounding}
    )
    assert sum(check["status"] == "passed" for check in found) > 40


def test_one_task_is_an_ordinary_classifier():
    X, y, _ = class_data()
    y = X[:, 0] > 0
    plain = MultiTaskClassifier(**SETTINGS).fit(X, y)
    named = MultiTaskClassifier(**SETTINGS).fit(X, y, task="only")
    assert plain.tasks_ == [0] and named.tasks_ == ["only"]
    assert plain.classes_.tolist() == [False, True]
    np.testing.assert_array_equal(plain.predict_proba(X), named.predict_proba(X))
    assert plain.score(X, y) > 0.95


# What is computed.


@pytest.mark.parametrize(("hidden", "components"), [((8, 5), None), ((5,), 2), ((), None)])
def test_what_is_computed_in_numpy_is_what_was_trained(hidden, components):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(7, 3)).astype(np.float32)
    trunk = MLPEncoder(hidden) if components is None else MLP(hidden, components)
    model = hard_sharing(trunk, MLP((), 4), tasks=2)
    params = jax.jit(model.init)(jax.random.key(0), jnp.asarray(x))
    trunk_params = params.trunk.get("params", {})
    order = [f"Dense_{i}" for i in range(len(hidden))] + (["head"] if components else [])
    layers = [network._layer(trunk_params[name]) for name in order]
    kernels, biases = network._layer(params.heads["params"]["head"])
    got = network.represent(layers, x.astype(np.float64), linear=components is not None) @ kernels[1] + biases[1]
    np.testing.assert_allclose(got, jax.jit(model.apply)(params, jnp.asarray(x), jnp.int32(1)), rtol=2e-5, atol=1e-5)


def test_training_minimizes_the_losses_it_says():
    """A linear model of one task, without a penalty, is least squares; with one, the gradient is nought."""
    X, y, _ = number_data(rows=40)
    X, y = X[:, :3], X[:, 0] - 2 * X[:, 1] + np.sin(5 * X[:, 2])
    settings = SETTINGS | {"hidden": (), "steps": 400}
    found = MultiTaskRegressor(l2=0.0, **settings).fit(X, y)
    design = np.hstack([X, np.ones((40, 1))])
    np.testing.assert_allclose(found.predict(X), design @ np.linalg.lstsq(design, y)[0], atol=1e-3)
    assert found.loss_curve_.shape == (400, 1)
    np.testing.assert_allclose(found.loss_curve_[-1], 1 - found.score(X, y), rtol=1e-3)
    ridge = MultiTaskRegressor(l2=0.5, **settings).fit(X, y)  # mean (z w - t)^2 + l2 / 2 |w|^2
    z, t = (X - X.mean(0)) / X.std(0), (y - y.mean()) / y.std()
    expected = z @ np.linalg.solve(z.T @ z / 40 + 0.25 * np.eye(3), z.T @ t / 40)
    np.testing.assert_allclose((ridge.predict(X) - y.mean()) / y.std(), expected, atol=1e-3)


def test_heads_are_the_tasks_own_minima():
    """Without a trunk nothing is shared: together is as each alone."""
    X, y, task = class_data()
    settings = SETTINGS | {"hidden": (), "steps": 400, "l2": 0.1}
    together = MultiTaskClassifier(weighting=weightings.fixed([1.0, 1.0, 1.0]), **settings).fit(X, y, task=task)
    mean, scale = X.mean(0), X.std(0)
    for name in NAMES:
        own = task == name
        # Two opposite kernels are each half of the one that tells two classes apart: half the penalty.
        strength = 0.1 * own.sum() / (1 if name == "c" else 2)
        alone = LogisticRegression(C=1 / strength, tol=1e-8, max_iter=2000).fit(((X - mean) / scale)[own], y[own])
        columns = np.searchsorted(together.classes_, alone.classes_)
        got = together.predict_proba(X, task=name)[:, columns]
        np.testing.assert_allclose(got, alone.predict_proba((X - mean) / scale), atol=2e-3)


def test_padding_has_no_part():
    """Rows are padded to 64 and classes to 4: with twice the rows and other inputs in padding, layers are the same."""
    rng = np.random.default_rng(0)
    plan = network.Plan((8,), None, True, 3, "uniform", None, SETTINGS["steps"], None)
    batch = network.stacked(rng.normal(size=(30, 4)), np.eye(4)[rng.integers(0, 3, 30)], np.arange(30) % 3, HAS)
    assert batch.x.shape == (3, 64, 4) and batch.weight.sum(1).tolist() == [10, 10, 10]
    x, y, weight = (np.concatenate([a, np.zeros_like(a)], axis=1) for a in (batch.x, batch.y, batch.weight))
    taller = batch._replace(x=np.where(weight[..., None] > 0, x, 7.0).astype(np.float32), y=y, weight=weight)
    one, two = (network.train(plan, b, learning_rate=0.01, l2=0.0, seed=0) for b in (batch, taller))
    np.testing.assert_allclose(one.losses, two.losses, rtol=1e-4)
    np.testing.assert_allclose(one.layers[0][0], two.layers[0][0], atol=1e-4)
    assert one.layers[0][0].shape == (4, 8)


HAS = np.array([[1, 1, 1, 0]] * 3)


@pytest.mark.parametrize(("hidden", "components"), [((64,), None), ((), 64), ((), None)])
def test_padded_inputs_leave_the_start_as_large(hidden, components):
    """Kernels on 6 real and 10 padded inputs start with variance 1 / 6, as without padding."""
    plan = network.Plan(hidden, components, True, 2, "uniform", None, 1, None)
    trunk = MLPEncoder(hidden) if components is None else MLP(hidden, components)
    model = hard_sharing(trunk, MLP((), 64), tasks=2)
    params = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 16)))
    found = network._as_if_unpadded(params, plan, jnp.sqrt(16 / 6))
    first = found.trunk["params"]["Dense_0" if hidden else "head"] if hidden or components else None
    kernel = found.heads["params"]["head"]["kernel"] if first is None else first["kernel"]
    np.testing.assert_allclose(np.var(kernel), 1 / 6, rtol=0.1)


def test_mini_batches_draw_real_rows_alone():
    batch = network.stacked(np.arange(1.0, 8.0)[:, None], np.ones((7, 1)), np.array([0, 0, 0, 0, 0, 1, 1]))
    drawn = network._drawn(jax.tree.map(jnp.asarray, batch), jax.random.key(0), size=200)
    assert set(np.unique(drawn.x[0])) == {1, 2, 3, 4, 5} and set(np.unique(drawn.x[1])) == {6, 7}
    assert drawn.weight.shape == (2, 200) and float(drawn.weight.min()) == 1


@pytest.mark.parametrize(
    "setting", [{"weighting": "uncertainty", "batch_size": 7}, {"weighting": weightings.famo(), "aggregate": "pcgrad"}]
)
def test_other_rules_learn_too(setting):
    X, y, task = class_data()
    model = MultiTaskClassifier(**(SETTINGS | setting)).fit(X, y, task=task)
    plain = MultiTaskClassifier(**SETTINGS).fit(X, y, task=task)
    assert model.score(X, y, task=task) > 0.85
    assert np.abs(model.layers_[0][0] - plain.layers_[0][0]).max() > 1e-4


def test_numbers_of_other_units_count_alike(regressor):
    X, y, task = number_data()
    found = regressor.evaluate(X, y, task, metric="r2")
    assert min(found.tasks.values()) > 0.8
    bigger = MultiTaskRegressor(**SETTINGS).fit(X, np.where(task == "a", 1e6 * y, y), task=task)
    expected = np.where(task == "a", 1e6, 1) * regressor.predict(X, task)
    np.testing.assert_allclose(bigger.predict(X, task), expected, rtol=1e-3)


def test_tasks_have_their_own_classes(classifier):
    X, y, task = class_data()
    assert classifier.tasks_ == ["a", "b", "c"]
    assert classifier.classes_.tolist() == ["low", "middle", "no", "top", "yes"]
    assert classifier.task_classes_["c"].tolist() == ["low", "middle", "top"]
    proba = classifier.predict_proba(X, task)
    np.testing.assert_allclose(proba.sum(1), 1)
    assert (proba[task == "c"][:, [2, 4]] == 0).all() and (proba[task != "c"][:, [0, 1, 3]] == 0).all()
    np.testing.assert_array_equal(classifier.classes_[proba.argmax(1)], classifier.predict(X, task))
    np.testing.assert_array_equal(classifier.predict(X[:9], "c"), classifier.predict(X, ["c"] * len(X))[:9])
    assert classifier.score(X, y, task) > 0.9


# Metrics.


def test_evaluate_is_scikit_learns_metrics(classifier, regressor):
    X, y, task = class_data(1)
    predicted = classifier.predict(X, task)
    options = {"average": "macro", "zero_division": 0}
    metrics = {
        "accuracy": accuracy_score,
        "precision": lambda a, b: precision_score(a, b, **options),
        "recall": lambda a, b: recall_score(a, b, **options),
    }
    for metric, measure in metrics.items():
        found = classifier.evaluate(X, y, task, metric=metric)
        expected = {name: measure(y[task == name], predicted[task == name]) for name in ("a", "b", "c")}
        assert found.tasks == expected
        assert found.overall == pytest.approx(np.mean(list(expected.values())))
    assert classifier.evaluate(X, y, task).tasks == classifier.evaluate(X, y, task, metric="accuracy").tasks
    assert classifier.score(X, y, task) == accuracy_score(y, predicted)
    weight = np.arange(60.0)
    assert classifier.score(X, y, task, sample_weight=weight) == accuracy_score(y, predicted, sample_weight=weight)
    X, y, task = number_data(1)
    predicted = regressor.predict(X, task)
    for metric, measure in {"r2": r2_score, "mse": mean_squared_error}.items():
        expected = {name: measure(y[task == name], predicted[task == name]) for name in ("a", "b", "c")}
        assert regressor.evaluate(X, y, task, metric=metric).tasks == pytest.approx(expected, rel=1e-12)
    assert regressor.score(X, y, task) == r2_score(y, predicted)


def test_a_class_that_was_not_fitted_counts_as_missed(classifier):
    X, y, task = class_data()
    strange = np.where(np.arange(60) < 6, "never seen", y)
    right = classifier.predict(X, task) == y
    assert classifier.score(X, strange, task) == pytest.approx(right[6:].sum() / 60)


# A new task.


def test_adapt_learns_a_task_and_leaves_the_others(classifier):
    X, _, _ = class_data()
    model = copy.deepcopy(classifier)
    before = {name: (model.predict(X, name), model.predict_proba(X, name)) for name in model.tasks_}
    y_new = np.where(2 * X[:, 0] + X[:, 1] > 0, "left", "right")
    assert model.adapt(X[:20], y_new[:20], task="new") is model
    assert model.tasks_ == ["a", "b", "c", "new"] and "left" in model.classes_ and "left" not in classifier.classes_
    assert model.score(X[20:], y_new[20:], task="new") > 0.75
    old = np.isin(model.classes_, classifier.classes_)
    for name, (labels, proba) in before.items():
        np.testing.assert_array_equal(model.predict(X, name), labels)
        now = model.predict_proba(X, name)
        np.testing.assert_array_equal(now[:, old], proba)
        assert (now[:, ~old] == 0).all()
    again = copy.deepcopy(classifier).adapt(X[:20], y_new[:20], task="new")
    np.testing.assert_array_equal(again.predict_proba(X, "new"), model.predict_proba(X, "new"))


def test_the_new_head_is_a_convex_problems_minimum(classifier, regressor):
    X, _, _ = class_data()
    z = classifier._represent(X)
    z = (z - z.mean(0)) / np.where(z.std(0) == 0, 1, z.std(0))
    for y_new in (X[:, 0] > X[:, 1], np.digitize(X[:, 0], [-0.5, 0.5])):
        y_new = y_new.astype(str)
        expected = LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000).fit(z[:12], y_new[:12])
        model = copy.deepcopy(classifier).adapt(X[:12], y_new[:12])
        assert model.tasks_[-1] == 0
        columns = np.searchsorted(model.classes_, expected.classes_)
        np.testing.assert_allclose(model.predict_proba(X, 0)[:, columns], expected.predict_proba(z), atol=1e-4)
    X, _, _ = number_data()
    z = regressor._represent(X)
    z = (z - z.mean(0)) / np.where(z.std(0) == 0, 1, z.std(0))
    target = 300 + 40 * X[:, 2]
    model = copy.deepcopy(regressor).set_params(adapt_l2=0.3)
    old = model.predict(X, "b")
    model.adapt(X[:9], target[:9], task=7).adapt(X[:9], target[:9])
    assert model.tasks_ == ["a", "b", "c", 7, 8]
    np.testing.assert_allclose(model.predict(X, 7), Ridge(alpha=0.3).fit(z[:9], target[:9]).predict(z), rtol=1e-8)
    np.testing.assert_array_equal(model.predict(X, 8), model.predict(X, 7))
    np.testing.assert_array_equal(model.predict(X, "b"), old)


# Files.


@pytest.mark.parametrize("which", ["classifier", "regressor", "space"])
def test_a_file_gives_all_back(which, request, tmp_path):
    model = copy.deepcopy(request.getfixturevalue(which))
    X, _, task = class_data(2)
    if which == "classifier":
        model.adapt(X[:20], np.where(X[:20, 0] > 0, "yes", "no"), task=4)
    model.save(tmp_path / "model.npz")
    found = type(model).load(tmp_path / "model.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["model.npz"]
    assert found.get_params() == model.get_params() and type(found.hidden) is tuple
    assert found.tasks_ == model.tasks_ and [type(t) for t in found.tasks_] == [type(t) for t in model.tasks_]
    assert vars(found).keys() == vars(model).keys()
    ask = (
        ("transform",) if which == "space" else ("predict", "predict_proba") if which == "classifier" else ("predict",)
    )
    for method in ask:
        options = {} if which == "space" else {"task": task}
        got, expected = (getattr(m, method)(X, **options) for m in (found, model))
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got, expected)
    with np.load(tmp_path / "model.npz", allow_pickle=False) as file:
        assert all(file[name].dtype != object for name in file.files)
    copied = pickle.loads(pickle.dumps(model))
    assert copied.tasks_ == model.tasks_


def test_labels_of_every_kind_are_kept(tmp_path):
    X, _, _ = class_data()
    for y in (np.where(X[:, 0] > 0, "p", "q").astype(object), X[:, 0] > 0, np.where(X[:, 0] > 0, 3.0, 1.0)):
        model = MultiTaskClassifier(**SETTINGS).fit(X, y)
        model.save(tmp_path / "model.npz")
        found = MultiTaskClassifier.load(tmp_path / "model.npz")
        assert found.predict(X).dtype == model.predict(X).dtype
        np.testing.assert_array_equal(found.predict(X), model.predict(X))


def test_files_that_are_no_good(classifier, tmp_path):
    path = tmp_path / "model.npz"
    with pytest.raises(NotFittedError):
        MultiTaskClassifier().save(path)
    assert not path.exists()
    custom = copy.deepcopy(classifier).set_params(weighting=weightings.uniform())
    with pytest.raises(ValueError, match=r"a file can't hold weighting=.*set_params\(weighting"):
        custom.save(path)
    with pytest.raises(OSError):
        classifier.save(tmp_path / "nowhere" / "model.npz")
    classifier.save(path)
    with pytest.raises(ValueError, match=r"holds a MultiTaskClassifier: read it by MultiTaskClassifier.load"):
        SharedSpace.load(path)
    whole = path.read_bytes()
    for damaged in (whole[:200], b"", b"something else"):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="is damaged"):
            MultiTaskClassifier.load(path)
    np.savez(path, about=np.array("{}"))
    with pytest.raises(ValueError, match="is damaged"):
        MultiTaskClassifier.load(path)


# scikit-learn's tools.


def with_column(X, task):
    return np.hstack([X, np.searchsorted(["a", "b", "c"], task)[:, None]])


def test_a_column_of_x_names_the_tasks(classifier):
    X, y, task = class_data()
    numbered = with_column(X, task)
    model = MultiTaskClassifier(task_column=-1, **SETTINGS).fit(numbered, y)
    assert model.n_features_in_ == 4 and model.tasks_ == [0, 1, 2]
    np.testing.assert_array_equal(model.predict_proba(numbered), classifier.predict_proba(X, task))
    first = np.hstack([task[:, None].astype(object), X.astype(object)])
    strings = MultiTaskClassifier(task_column=0, **SETTINGS).fit(first.tolist(), y)
    assert strings.tasks_ == ["a", "b", "c"]
    np.testing.assert_array_equal(strings.predict(first), classifier.predict(X, task))
    new = np.hstack([X, np.full((60, 1), 9)])
    assert model.adapt(new, np.where(X[:, 0] > 0, "yes", "no")).tasks_ == [0, 1, 2, 9]
    space = SharedSpace(task_column=-1, **SETTINGS)
    assert space.fit_transform(numbered, y).shape == (60, 2)


def test_data_frames():
    pd = pytest.importorskip("pandas")
    X, y, task = class_data()
    frame = pd.DataFrame(X, columns=list("pqrs")).assign(task=task)
    plain = MultiTaskClassifier(**SETTINGS).fit(X, y, task=task)
    for column in ("task", -1, 4):
        model = MultiTaskClassifier(task_column=column, **SETTINGS).fit(frame, y)
        assert model.feature_names_in_.tolist() == list("pqrs")
        np.testing.assert_array_equal(model.predict(frame), plain.predict(X, task))
    model.predict(frame[["p", "q", "r", "s", "task"]])
    model = MultiTaskClassifier(**SETTINGS).fit(frame[list("pqrs")], y, task=frame["task"])
    np.testing.assert_array_equal(model.predict(frame[list("pqrs")], task=frame["task"]), plain.predict(X, task))
    with pytest.raises(ValueError, match="X has no column 'which'"):
        MultiTaskClassifier(task_column="which").fit(frame, y)


def test_cross_validation_and_search_with_a_column():
    X, y, task = class_data()
    numbered = with_column(X, task)
    model = MultiTaskClassifier(task_column=-1, **SETTINGS)
    assert cross_val_score(model, numbered, y, cv=KFold(2, shuffle=True, random_state=0)).mean() > 0.6
    search = GridSearchCV(model, {"l2": [1e-3, 3.0]}, cv=KFold(2, shuffle=True, random_state=0)).fit(numbered, y)
    assert search.best_params_ == {"l2": 1e-3}
    keep = ColumnTransformer([("scale", StandardScaler(), [0, 1, 2, 3])], remainder="passthrough")
    pipeline = make_pipeline(keep, model).fit(numbered, y)
    assert pipeline.score(numbered, y) > 0.9
    assert clone(model).get_params() == model.get_params()


def test_tasks_are_routed_as_metadata():
    X, y, task = class_data()
    with sklearn.config_context(enable_metadata_routing=True):
        model = MultiTaskClassifier(**SETTINGS).set_fit_request(task=True).set_score_request(task=True)
        model.set_predict_request(task=True)
        folds = KFold(2, shuffle=True, random_state=0)
        pipeline = Pipeline([("scale", StandardScaler()), ("model", model)]).fit(X, y, task=task)
        np.testing.assert_array_equal(
            pipeline.predict(X, task=task), MultiTaskClassifier(**SETTINGS).fit(X, y, task=task).predict(X, task)
        )
        routed = cross_val_score(model, X, y, params={"task": task}, cv=folds)
        search = GridSearchCV(model, {"l2": [1e-3, 3.0]}, cv=folds).fit(X, y, task=task)
        space = SharedSpace(**SETTINGS).set_fit_request(task=True)
        chained = Pipeline([("space", space), ("model", model)]).fit(X, y, task=task)
        assert chained.score(X, y, task=task) > 0.8
    column = MultiTaskClassifier(task_column=-1, **SETTINGS)
    np.testing.assert_array_equal(routed, cross_val_score(column, with_column(X, task), y, cv=folds))
    assert search.best_params_ == {"l2": 1e-3}


# The space.


def test_the_space_is_what_tasks_can_be_told_from(space):
    X, y, task = class_data()
    z = space.transform(X)
    assert z.shape == (60, 2) and space.get_feature_names_out().tolist() == ["sharedspace0", "sharedspace1"]
    own = task == "b"
    assert LogisticRegression().fit(z[own], y[own]).score(z[own], y[own]) > 0.85
    X, y, task = number_data()
    z = SharedSpace(**SETTINGS).fit(X, y, task=task).transform(X)
    assert LinearRegression().fit(z, X[:, 0] - X[:, 1]).score(z, X[:, 0] - X[:, 1]) > 0.9


def test_whole_numbers_are_classes_unless_said():
    X, _, task = number_data()
    counts = np.arange(60) % 4
    classes = SharedSpace(**SETTINGS).fit(X, counts, task=task)
    np.testing.assert_allclose(classes.loss_curve_[0], np.log(4), rtol=0.5)
    numbers = SharedSpace(targets="numbers", **SETTINGS).fit(X, counts, task=task)
    np.testing.assert_allclose(numbers.loss_curve_[0], 1, rtol=0.9)
    assert np.abs(numbers.loss_curve_[0] - classes.loss_curve_[0]).min() > 0.01


# Names.


def test_rules_by_name():
    assert set(names.weighting_names()) == set(weightings.__all__) - {"fixed", "lookahead"} - {
        name for name in weightings.__all__ if name.endswith("State")
    }
    assert {"pcgrad", "mgda", "cagrad", "upgrad"} <= set(names.aggregator_names())
    for name in names.weighting_names():
        assert callable(names.weighting_named(name).weigh)
    jacobian = jnp.array([[1.0, 0.0], [0.0, 1.0]])
    for name in names.aggregator_names():
        assert callable(names.aggregator_named(name))
    np.testing.assert_allclose(names.aggregator_named("mgda")(jacobian), [0.5, 0.5], atol=1e-4)
    with pytest.raises(ValueError, match=r"no weighting 'unifrom' that has defaults: did you mean 'uniform'\?"):
        names.weighting_named("unifrom")
    with pytest.raises(ValueError, match=r"there is no aggregator 'zzz' that has defaults: choose one of .*pcgrad"):
        names.aggregator_named("zzz")


# What is refused.

BAD_PARAMETERS = [
    ({"hidden": 64}, r"hidden must be the units of each layer, such as \(64,\), got 64"),
    ({"hidden": (0,)}, "each of hidden must be a whole number from 1 to 2147483647, got 0"),
    ({"hidden": None}, r"hidden must be the units of each layer, such as \(64,\), got None"),
    ({"hidden": (2**31,)}, "each of hidden must be a whole number from 1 to 2147483647, got 2147483648"),
    ({"hidden": (2**31 - 1,)}, "a network of this size needs .* bytes, and .* of memory are at hand: ask for less"),
    ({"steps": 0}, "steps must be a whole number from 1 to 2147483647, got 0"),
    ({"steps": True}, "steps must be a whole number from 1 to 2147483647, got True"),
    ({"steps": 10**20}, "steps must be a whole number from 1 to 2147483647, got 10+$"),
    ({"batch_size": 2.5}, "batch_size must be a whole number from 1 to 2147483647, got 2.5"),
    ({"batch_size": 2**31}, "batch_size must be a whole number from 1 to 2147483647, got 2147483648"),
    ({"batch_size": 2**31 - 1}, "a network of this size needs .* bytes, and .* of memory are at hand: ask for less"),
    ({"learning_rate": 0.0}, r"learning_rate must be a number from 1.2e-38 to 3.4e\+38, got 0.0"),
    ({"learning_rate": 10**400}, r"learning_rate must be a number from 1.2e-38 to 3.4e\+38, got 10+$"),
    ({"learning_rate": 1e-60}, r"learning_rate must be a number from 1.2e-38 to 3.4e\+38, got 1e-60"),
    ({"l2": -1.0}, r"l2 must be a number from 0 to 3.4e\+38, got -1.0"),
    ({"l2": float("nan")}, r"l2 must be a number from 0 to 3.4e\+38, got nan"),
    ({"adapt_l2": 0.0}, r"adapt_l2 must be a number from 1.2e-38 to 3.4e\+38, got 0.0"),
    ({"hidden": map(int, "88")}, "hidden must be the units of each layer"),  # which is empty after a look at it
    ({"weighting": "unifrom"}, "did you mean 'uniform'"),
    ({"weighting": 3}, "weighting must be a name or a jmeta.mtl.Weighting, got 3"),
    ({"aggregate": 3}, "aggregate must be a name, an aggregator or None, got 3"),
    ({"aggregate": "pcgrda"}, "did you mean 'pcgrad'"),
    ({"task_column": "task"}, "task_column='task' is a name, and X is no data frame"),
    ({"task_column": 4}, "X has 4 columns, and no column 4"),
    ({"task_column": 0}, "tasks are given twice, by task and by task_column=0"),
    ({"learning_rate": 1e30}, r"training has diverged at learning_rate=1e\+30: try a smaller one"),
]


@pytest.mark.parametrize(("parameters", "message"), BAD_PARAMETERS)
def test_parameters_that_make_no_sense(parameters, message):
    X, y, task = class_data()
    given = None if parameters.get("task_column") in ("task", 4) else task
    with pytest.raises(ValueError, match=message):
        MultiTaskClassifier(**(SETTINGS | parameters)).fit(X, y, task=given)


BAD_FITS = [
    (lambda X, y, task: (X, y[:-1], task), "inconsistent numbers of samples"),
    (lambda X, y, task: (X, y, task[:-1]), "one for each of the 60 rows of X, got an array of shape"),
    (lambda X, y, task: (np.where(np.eye(60, 4) > 0, np.nan, X), y, task), "contains NaN"),
    (lambda X, y, task: (X, np.where(task == "a", "yes", y), task), "task 'a' has examples of one class alone, 'yes'"),
    (lambda X, y, task: (X, y, np.where(task == "a", 0.5, 1.0)), "by a string or a whole number, got 0.5"),
    (lambda X, y, task: (X, y, np.where(task == "a", np.nan, 1.0)), "by a string or a whole number, got nan"),
    (lambda X, y, task: (X, y, [None] * 60), "by a string or a whole number, got None"),
    (lambda X, y, task: (X, X[:, 0], task), "Unknown label type"),
    (lambda X, y, task: (X, None, task), "requires y to be passed"),
    (lambda X, y, task: (X[:, 0], y, task), "Expected 2D array"),
]


@pytest.mark.parametrize(("change", "message"), BAD_FITS)
def test_data_that_can_not_be_fitted(change, message):
    X, y, task = change(*class_data())
    with pytest.raises(ValueError, match=message):
        MultiTaskClassifier(**SETTINGS).fit(X, y, task=task)


def test_before_fit():
    X, y, _ = class_data()
    for call in (
        lambda: MultiTaskClassifier().predict(X),
        lambda: MultiTaskClassifier().predict_proba(X),
        lambda: MultiTaskClassifier().adapt(X, y),
        lambda: MultiTaskClassifier().evaluate(X, y),
        lambda: MultiTaskRegressor().predict(X),
        lambda: MultiTaskRegressor().adapt(X, X[:, 0]),
        lambda: SharedSpace().transform(X),
    ):
        with pytest.raises(NotFittedError):
            call()


def test_rows_that_can_not_be_predicted(classifier, regressor):
    X, y, task = class_data()
    for call, message in (
        (lambda: classifier.predict(X), "by a column of X that task_column= names: the tasks are 'a', 'b', 'c'"),
        (lambda: classifier.predict(X, "d"), "task 'd' was not fitted: the tasks are 'a', 'b', 'c'"),
        (lambda: regressor.predict(X, [1] * 60), "task 1 was not fitted"),
        (lambda: classifier.predict(X, task[:5]), r"one for each of the 60 rows of X, got an array of shape \(5,\)"),
        (lambda: classifier.predict(X[:, :3], task), "X has 3 features, but MultiTaskClassifier is expecting 4"),
        (lambda: classifier.predict(np.full_like(X, np.nan), task), "contains NaN"),
        (
            lambda: classifier.evaluate(X, y, task, metric="r2"),
            "no metric 'r2' here: choose one of accuracy, precision",
        ),
        (lambda: regressor.evaluate(X, X[:, 0], task, metric="recall"), "choose one of r2, mse"),
        (lambda: classifier.evaluate(X, y[:5], task), "inconsistent numbers of samples"),
        (lambda: classifier.adapt(X, y, task="a"), "task 'a' is fitted already"),
        (lambda: classifier.adapt(X, y, task=np.where(task == "a", "p", "q")), "one new task at a time, got 'p', 'q'"),
        (lambda: classifier.adapt(X, np.full(60, "yes"), task="d"), "task 'd' has examples of one class alone, 'yes'"),
        (lambda: classifier.adapt(X, y[:5], task="d"), "inconsistent numbers of samples"),
        (lambda: classifier.adapt(X, np.arange(60) % 2, task="d"), "classes of the new task are int64"),
        (lambda: classifier.adapt(X, None, task="d"), "requires y to be passed"),
        (lambda: regressor.adapt(X, np.full(60, np.nan), task="d"), "Input y contains NaN"),
        (lambda: regressor.adapt(X, X[:5, 0], task="d"), "inconsistent numbers of samples"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    assert classifier.tasks_ == ["a", "b", "c"] and list(classifier.heads_) == classifier.tasks_


def test_a_column_too_few_is_told():
    X, y, task = class_data()
    model = MultiTaskClassifier(task_column=-1, **SETTINGS).fit(with_column(X, task), y)
    with pytest.raises(ValueError, match=r"X has 4 columns, that of the task included, but .* is expecting 5"):
        model.predict(X)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_components": 0}, "n_components must be a whole number from 1 to 2147483647, got 0"),
        ({"n_components": True}, "n_components must be a whole number from 1 to 2147483647, got True"),
        ({"targets": "words"}, "targets must be one of auto, classes, numbers, got 'words'"),
    ],
)
def test_spaces_that_make_no_sense(parameters, message):
    X, y, _ = class_data()
    with pytest.raises(ValueError, match=message):
        SharedSpace(**parameters).fit(X, y)


def test_losses_are_the_librarys():
    assert network.cross_entropy is cross_entropy and network.squared_error is squared_error


# Rows that count unlike.


@pytest.mark.parametrize("batch_size", [None, 8])
def test_a_row_of_weight_2_is_two_rows_and_one_of_weight_0_is_none(batch_size):
    """Catches weights that miss the moments of inputs or targets, the losses, the draws, or the standardization."""
    X, y, task = number_data()
    weight = np.random.default_rng(1).integers(0, 3, len(X)).astype(float)
    weight[:12] = [0, 2, 1] * 4
    odd = np.where(weight == 0, 1e6, y)
    options = {**SETTINGS, "batch_size": batch_size, "steps": 200 if batch_size is None else 1500}
    found = MultiTaskRegressor(**options).fit(X, odd, task=task, sample_weight=weight)
    rows = np.repeat(np.arange(len(X)), weight.astype(int))
    right = MultiTaskRegressor(**options).fit(X[rows], y[rows], task=task[rows])
    np.testing.assert_allclose(found.mean_, right.mean_)
    np.testing.assert_allclose(
        found.representation_scale_, right.representation_scale_, rtol=0.5 if batch_size else 1e-3
    )
    unit = np.select([task == "a", task == "b"], [1.0, 1000.0], 0.001)
    error = np.abs((found.predict(X, task) - right.predict(X, task)) / unit).max()
    assert error < (0.3 if batch_size else 1e-3)
    rows = slice(0, 12)
    new = found.adapt(X[rows], odd[rows], task="new", sample_weight=weight[rows])
    kept = np.repeat(np.arange(12), weight[rows].astype(int))
    z = (found._represent(X[kept]) - found.representation_mean_) / found.representation_scale_
    np.testing.assert_allclose(new.predict(X[kept], "new"), Ridge(alpha=1.0).fit(z, y[kept]).predict(z), rtol=1e-6)


def test_class_weights_count_within_each_task():
    X, y, task = class_data()
    values = np.unique(y)
    by_hand = np.where(y == values[0], 3.0, 1.0)
    one = MultiTaskClassifier(class_weight={values[0]: 3.0}, **SETTINGS).fit(X, y, task=task)
    other = MultiTaskClassifier(**SETTINGS).fit(X, y, task=task, sample_weight=by_hand)
    for name in one.tasks_:
        np.testing.assert_allclose(one.heads_[name][0], other.heads_[name][0], atol=1e-5)
    balanced = MultiTaskClassifier(class_weight="balanced", **SETTINGS).fit(X, y, task=task)
    weight = np.concatenate([compute_sample_weight("balanced", y[task == name]) for name in np.unique(task)])
    order = np.argsort(np.concatenate([np.flatnonzero(task == name) for name in np.unique(task)]))
    same = MultiTaskClassifier(**SETTINGS).fit(X, y, task=task, sample_weight=weight[order])
    np.testing.assert_allclose(balanced.loss_curve_, same.loss_curve_, rtol=1e-5)


@pytest.mark.parametrize(
    ("weight", "message"),
    [([1.0], "expected"), (-1.0, "Negative values in data passed"), (0.0, "at least one non-zero"), (np.nan, "NaN")],
)
def test_weights_that_can_not_be_used(weight, message):
    X, y, task = number_data()
    with pytest.raises(ValueError, match=message):
        MultiTaskRegressor(**SETTINGS).fit(X, y, task=task, sample_weight=weight)


@pytest.mark.parametrize("factor", [1e200, 1e-200, 1e-300])
def test_numbers_whose_squares_are_out_of_range_are_learned(factor):
    """Of a standard deviation that is infinite or 0, by which inputs are all alike and predictions NaN."""
    X, y, task = number_data()
    model = MultiTaskRegressor(steps=60, random_state=0)
    expected = model.fit(X, y, task).predict(X, task)
    np.testing.assert_allclose(
        clone(model).fit(X * factor, y, task).predict(X * factor, task), expected, rtol=1e-3, atol=1e-3
    )
    got = clone(model).fit(X, y * factor, task).predict(X, task)
    np.testing.assert_allclose(got / factor, expected, rtol=1e-3, atol=1e-3)
    same = clone(model).fit(X, np.full(len(X), 1e300), task).predict(X, task)
    np.testing.assert_allclose(same, 1e300)
