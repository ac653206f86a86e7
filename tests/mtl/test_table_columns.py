"""What the columns of a person's own table are: features, tasks, targets, and what is refused by line and column."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, RidgeCV

from jmeta.datasets.tables import read_table
from jmeta.errors import RunError
from jmeta.mtl import tables
from jmeta.mtl.estimators.floors import PENALTIES, floors

TEXT = """school,age,city,score,passed
a,10,Rome,1.5,yes
b,,Oslo,2.5,no
a,12,Rome,3.5,no
b,14,Bonn,4.5,yes
"""


def table(tmp_path, text=TEXT, name="t.csv"):
    (tmp_path / name).write_text(text)
    return read_table(tmp_path / name)


def test_columns_of_a_table(tmp_path):
    found = tables.columns_of(table(tmp_path), targets=["score"], task="school", ignore=["passed"])
    assert found == (("age",), (12.0,), ("city",), (("Bonn", "Oslo", "Rome"),), "school", ("score",), False)
    X, empty, strange = tables.features_of(found, table(tmp_path))
    np.testing.assert_array_equal(X, [[10, 0, 0, 1], [12, 0, 1, 0], [12, 0, 0, 1], [14, 1, 0, 0]])
    assert empty == {"age": 1} and strange == {}
    assert tables.targets_of(found, table(tmp_path)).tolist() == [[1.5], [2.5], [3.5], [4.5]]
    assert tables.tasks_of(found, table(tmp_path)).tolist() == ["a", "b", "a", "b"]
    several = tables.columns_of(table(tmp_path), targets=["passed", "city"], categorical=["age"])
    assert several.classes and several.texts == ("school", "age") and several.values[1] == ("", "10", "12", "14")


def test_what_is_learned_of_columns_is_of_the_rows_that_are_trained_on(tmp_path):
    """Catches means and texts of rows that are held out, and a later table whose columns stand otherwise."""
    whole = table(tmp_path)
    found = tables.of_rows(tables.columns_of(whole, targets=["score"], task="school"), whole.rows[:3])
    assert found.fills == (11.0,) and found.values == (("Oslo", "Rome"), ("no", "yes"))
    later = table(tmp_path, "passed;more;city;age\nno;1;Bonn;\nyes;1;Rome;9\n", "later.csv")
    X, empty, strange = tables.features_of(found, later)
    np.testing.assert_array_equal(X, [[11, 0, 0, 1, 0], [9, 0, 1, 0, 1]])
    assert empty == {"age": 1} and strange == {"city": 1}


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (TEXT, {"targets": ["scor"]}, "no column 'scor': did you mean 'score'"),
        (TEXT, {}, "no target is named: add --target and one or more of school, age, city, score, passed"),
        (TEXT, {"targets": ["score"], "task": "score"}, "the column score is named twice"),
        (TEXT, {"targets": ["score", "passed"]}, "score is of numbers and passed is of classes: train each kind by"),
        (TEXT, {"targets": ["passed"], "kind": "numbers"}, "has texts in the column passed: leave --kind numbers out"),
        (TEXT.replace("12,", "1x,"), {"targets": ["score"]}, "line 4, has '1x' in the column age, which else has num"),
        (TEXT.replace("3.5", '"3,5"'), {"targets": ["score"]}, "line 4, has '3,5' in the column score, which else"),
        (TEXT.replace("3.5", ""), {"targets": ["score"]}, "line 4, has nothing in the column score"),
        (TEXT.replace("3.5", "NA"), {"targets": ["score"]}, "line 4, has 'NA' in the column score, which is no number"),
        (TEXT.replace("b,14", ",14"), {"targets": ["score"], "task": "school"}, "line 5, has nothing in the column sc"),
        ("x,y\n,1\n,2\n", {"targets": ["y"]}, "has nothing in the column x: fill it, or add --ignore x"),
        ("x,y\n", {"targets": ["y"]}, "has no rows below its header"),
        ("", {"targets": ["y"]}, "has no rows below its header"),
        ("x;y\n1,5;2\n2,5;3\n", {"targets": ["y"]}, "line 2, has '1,5' in the column x, .* with a point and no comma"),
        ("y\n1\n", {"targets": ["y"]}, "has no column beside target and task"),
        (
            "name,y\n" + "".join(f"n{i},{i}\n" for i in range(51)),
            {"targets": ["y"]},
            "name has 51 different texts, and up to 50 are taken for categories: add --ignore name, or --categorical n",
        ),
    ],
)
def test_tables_that_can_not_be_learned_from(tmp_path, text, options, message):
    with pytest.raises(RunError, match=message):
        given = table(tmp_path, text)
        found = tables.columns_of(given, **{"targets": [], **options})
        tables.targets_of(found, given)
        tables.tasks_of(found, given)


def test_later_tables_that_do_not_fit(tmp_path):
    found = tables.columns_of(table(tmp_path), targets=["score"], task="school")
    for text, message in (
        (TEXT.replace("age", "aged"), "has no column age, which the run was trained with"),
        (TEXT.replace("14", "old"), "line 5, has 'old' in the column age, which is no number"),
        (TEXT.partition("\n")[0], "has no rows"),
    ):
        with pytest.raises(RunError, match=message):
            tables.features_of(found, table(tmp_path, text))


def test_a_share_of_each_group_is_held_out():
    """Catches a group of which nothing is left to learn from, and one order for all seeds."""
    groups = ["a"] * 10 + ["b"] * 5 + ["c"]
    held = tables.held_out(groups, 0.2, [0])
    assert [int(held[:10].sum()), int(held[10:15].sum()), int(held[15])] == [2, 1, 0]
    assert (held == tables.held_out(groups, 0.2, [0])).all() and (held != tables.held_out(groups, 0.2, [1])).any()
    assert tables.held_out(groups, 0.9, [0]).sum() == 9 + 4 and not tables.held_out(groups, 0.0, [0]).any()


def test_floors_are_of_each_task_alone():
    rng = np.random.default_rng(0)
    X, task = rng.normal(size=(40, 3)), np.array(["a", "b"])[np.arange(40) % 2]
    y = np.stack([X[:, 0] + 5 * (task == "b"), X[:, 1]], axis=1)
    found = floors(X[:30], y[:30], task[:30], X[30:], task[30:])
    assert list(found) == ["mean of each task", "ridge regression of each task", "one ridge regression of all rows"]
    own, new = np.flatnonzero(task[:30] == "b"), np.flatnonzero(task[30:] == "b")
    np.testing.assert_allclose(found["mean of each task"][new], np.tile(y[own].mean(0), (len(new), 1)))
    z = (X - X[own].mean(0)) / X[own].std(0)
    for j in range(2):
        right = RidgeCV(PENALTIES).fit(z[own], y[own, j]).predict(z[30:][new])
        np.testing.assert_allclose(found["ridge regression of each task"][new, j], right)
    one = floors(X[:30], y[:30], np.zeros(30), X[30:], np.zeros(10))
    assert list(one) == ["mean of all rows", "ridge regression of all rows"]
    signs = np.where(y > 0, "yes", "no").astype(object)
    signs[:30][task[:30] == "a"] = "no"  # one class alone
    guess = floors(X[:30], signs[:30], task[:30], X[30:], task[30:])["logistic regression of each task"]
    assert set(guess[task[30:] == "a"].ravel()) == {"no"}
    right = LogisticRegression(max_iter=2000).fit(z[own], signs[own, 1]).predict(z[30:][new])
    assert guess[new, 1].tolist() == right.tolist()


@pytest.mark.parametrize("factor", [1e200, 1e-200])
def test_floors_of_numbers_whose_squares_are_out_of_range(factor):
    rng = np.random.default_rng(0)
    X, task = rng.normal(size=(40, 3)), np.arange(40) % 2
    y = X[:, :1] + rng.normal(size=(40, 1))
    expected = floors(X[:30], y[:30], task[:30], X[30:], task[30:])
    got = floors(factor * X[:30], factor * y[:30], task[:30], factor * X[30:], task[30:])
    for name, guess in got.items():
        np.testing.assert_allclose(guess / factor, expected[name], rtol=1e-9)
