"""`jmeta mtl train TABLE` and `jmeta mtl predict`, from the words to the files."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat
from sklearn.metrics import r2_score

import jmeta
from jmeta import cli
from jmeta.errors import RunError
from jmeta.mtl.estimators import MultiTaskClassifier, MultiTaskRegressor
from jmeta.mtl.tables import held_out
from tests.conftest import REAL_DATA

pytestmark = pytest.mark.standard_promotion  # Adam's own numbers

QUICK = ["--steps", "60", "--hidden", "8", "--learning-rate", "0.03", "--l2", "0.001"]


def write(path, header, rows, delimiter=","):
    with open(path, "w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([header, *rows])
    return str(path)


def read(path):
    with open(path, newline="") as file:
        return list(csv.reader(file))


def school_rows(rows=120, seed=0):
    """Two schools whose scores go opposite ways with x, a column of texts, a name, and a class."""
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=(2, rows)).round(4)
    school = np.arange(rows) % 2
    score = np.where(school == 0, 50 + 10 * x, 20 - 10 * x) + 3 * z
    parts = enumerate(zip(school.tolist(), x.tolist(), z.tolist(), score.round(4).tolist(), strict=True))
    return [(f"s{s}", x, z, "ab"[z > 0], f"pupil{i}", y, "pass" if y > 35 else "fail") for i, (s, x, z, y) in parts]


HEADER = ("school", "x", "z", "city", "name", "score", "passed")
COLUMNS = ["--task", "school", "--ignore", "name"]


@pytest.fixture
def table(tmp_path):
    return write(tmp_path / "pupils.csv", HEADER, school_rows())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that was trained on numbers of two schools."""
    place = tmp_path_factory.mktemp("run")
    path = write(place / "pupils.csv", HEADER, school_rows())
    words = ["mtl", "train", path, *COLUMNS, "passed", "--target", "score", "--run-dir", str(place / "run"), *QUICK]
    assert cli.main(words) == 0
    return place / "run"


def test_a_table_is_trained_on_and_measured_beside_floors(run, capsys, tmp_path):
    assert {path.name for path in run.iterdir()} == {"columns.json", "config.json", "evaluation.json", "model.npz"}
    config, found = (json.loads((run / f"{name}.json").read_text()) for name in ("config", "evaluation"))
    assert config["experiment"] == "table" and config["seed"] == 0 and config["task"] == "school"
    assert config["facts"]["rows"] == 120 and config["facts"]["held_out"] == 24 and config["facts"]["tasks"] == 2
    assert len(config["facts"]["checksum"]) == len(config["facts"]["split_hash"]) == 64
    models = found["models"]
    names = ["this network", "mean of each task", "ridge regression of each task", "one ridge regression of all rows"]
    assert list(models) == names and found["rows"] == 24
    assert models["this network"]["score"] > 0.9 > models["one ridge regression of all rows"]["score"] + 0.2
    floor = models["mean of each task"]
    assert floor["difference"] == pytest.approx(floor["score"] - models["this network"]["score"])
    later = write(tmp_path / "new.csv", HEADER, school_rows(40, seed=1), delimiter=";")
    out = tmp_path / "out.csv"
    assert cli.main(["mtl", "predict", "--run-dir", str(run), "--table", later, "--csv", str(out)]) == 0
    assert "40 rows predicted in" in capsys.readouterr().out
    header, *rows = read(out)
    assert header == ["line", "school", "score"] and rows[0][:2] == ["2", "s0"]
    truth = [row[5] for row in school_rows(40, seed=1)]
    assert r2_score(truth, [float(row[2]) for row in rows]) > 0.9
    model = MultiTaskRegressor.load(run / "model.npz")
    assert model.tasks_ == ["s0", "s1"] and model.n_features_in_ == 4
    assert cli.main(["mtl", "predict", "--run-dir", str(run), "--table", later]) == 0
    assert rows[-1][2] in capsys.readouterr().out.splitlines()[-1]


def test_the_estimator_of_a_run_is_loaded(run):
    found = jmeta.load(run)
    X = np.zeros((2, found.learner.n_features_in_))
    known = MultiTaskRegressor.load(run / "model.npz")
    np.testing.assert_array_equal(found.learner.predict(X, task=["s0", "s1"]), known.predict(X, task=["s0", "s1"]))
    assert found.facts["rows"] == 120 and found.settings["steps"] == 60
    with pytest.raises(RunError, match=r"whose arrays are in .*model.npz already"):
        jmeta.export(run)


def test_nothing_is_learned_of_the_rows_that_are_held_out(run):
    """Catches a network, or the means and texts of columns, that have seen them: it is one fitted to the others."""
    rows = school_rows()
    X = np.array([[row[1], row[2], row[3] == "a", row[3] == "b"] for row in rows], float)
    y, task = np.array([row[5] for row in rows]), np.array([row[0] for row in rows], dtype=object)
    held = held_out(task.tolist(), 0.2, [0])
    settings = {"steps": 60, "hidden": (8,), "learning_rate": 0.03, "l2": 0.001, "random_state": 0}
    expected = MultiTaskRegressor(**settings).fit(X[~held], y[~held], task=task[~held])
    kept = MultiTaskRegressor.load(run / "model.npz")
    np.testing.assert_array_equal(kept.predict(X, task), expected.predict(X, task))
    models = json.loads((run / "evaluation.json").read_text())["models"]
    assert models["this network"]["score"] == pytest.approx(expected.score(X[held], y[held], task[held]))
    columns = json.loads((run / "columns.json").read_text())
    assert columns["fills"] == pytest.approx(X[~held, :2].mean(0).tolist())


def test_a_new_task_is_learned_from_a_few_rows(run, tmp_path, capsys):
    rows = [("s9", *row[1:5], -float(row[5]), row[6]) for row in school_rows(40, seed=1) if row[0] == "s0"]
    few, later = write(tmp_path / "few.csv", HEADER, rows[:12]), write(tmp_path / "new.csv", HEADER, rows[12:])
    words = ["mtl", "predict", "--run-dir", str(run), "--table", later]
    assert cli.main(words) == 2
    assert "line 2, is of the school 's9', which was not trained (there are s0, s1)" in capsys.readouterr().err
    assert cli.main([*words, "--support", few, "--csv", str(tmp_path / "out.csv")]) == 0
    got = [float(row[2]) for row in read(tmp_path / "out.csv")[1:]]
    assert r2_score([row[5] for row in rows[12:]], got) > 0.7
    assert cli.main([*words, "--support", str(write(tmp_path / "old.csv", HEADER, school_rows(8)))]) == 2
    assert "task 's0' is fitted already" in capsys.readouterr().err


def test_classes_without_a_task_and_several_targets(table, tmp_path, capsys):
    """Catches targets that are mixed up, and tasks that are asked for where there is one."""
    header, *rows = read(table)
    rows = [[*row, "tall" if float(row[2]) > 0 else "small"] for row in rows]
    path = write(tmp_path / "two.csv", [*header, "size"], rows)
    words = ["mtl", "train", path, "--ignore", "name", "score", "--target", "passed", "size", *QUICK]
    assert cli.main([*words, "--run-dir", str(tmp_path / "run"), "--balanced"]) == 0
    told = capsys.readouterr().out
    assert "120 rows, 1 task, 6 features, targets that are classes: passed, size" in told
    assert "most frequent class of all rows" in told and "accuracy, %" in told
    out = tmp_path / "out.csv"
    assert cli.main(["mtl", "predict", "--run-dir", str(tmp_path / "run"), "--table", path, "--csv", str(out)]) == 0
    header, *got = read(out)
    assert header == ["line", "passed", "size"]
    assert np.mean([row[1] == true[6] for row, true in zip(got, rows, strict=True)]) > 0.9
    assert np.mean([row[2] == true[7] for row, true in zip(got, rows, strict=True)]) > 0.9
    assert MultiTaskClassifier.load(tmp_path / "run" / "model.npz").class_weight == "balanced"
    columns = tmp_path / "run" / "columns.json"
    columns.write_text(columns.read_text().replace('"size"', '"length"'))
    assert cli.main(["mtl", "predict", "--run-dir", str(tmp_path / "run"), "--table", path]) == 2
    assert "are not of one run" in capsys.readouterr().err


def test_a_penalty_is_chosen_by_rows_that_are_learned_from(table, tmp_path, capsys):
    words = ["mtl", "train", table, *COLUMNS, "passed", "--target", "score", "--steps", "20", "--hidden", "4"]
    assert cli.main([*words, "--run-dir", str(tmp_path / "run"), "--holdout", "0"]) == 0
    told = capsys.readouterr().out
    chosen = json.loads((tmp_path / "run" / "config.json").read_text())["facts"]["l2"]
    assert f"--l2 {chosen:g} predicts 24 of the rows to learn from best, of 0.0001, 0.001, 0.003" in told
    assert MultiTaskRegressor.load(tmp_path / "run" / "model.npz").l2 == chosen
    assert "held out" not in told and json.loads((tmp_path / "run" / "evaluation.json").read_text()) == {}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no target is named: add --target and one or more of school, x, z, city"),
        (["--target", "scor"], "did you mean 'score'"),
        (["--target", "score"], "the column name has 120 different texts"),
        (["--target", "score", "--ignore", "name", "--balanced"], "--balanced is of classes, and targets are numbers"),
        (["--target", "score", "--ignore", "name", "--weighting", "unifrom"], "did you mean 'uniform'"),
        (["--target", "score", "--ignore", "name", "--learning-rate", "1e30"], "training has diverged"),
        (["--target", "score", "--ignore", "name", "--task", "x"], "too few rows of a task to hold some out"),
    ],
)
def test_words_that_make_no_sense_leave_nothing(table, tmp_path, capsys, words, message):
    run_dir = tmp_path / "runs" / "run"
    penalty = [] if "--balanced" in words else ["--l2", "0"]
    assert cli.main(["mtl", "train", table, *words, *penalty, "--run-dir", str(run_dir)]) == 2
    told = capsys.readouterr().err
    assert message in told and len(told.splitlines()) == 1
    assert not run_dir.parent.exists() or not list(run_dir.parent.iterdir())


def test_a_run_folder_is_made_whole_or_not_at_all(table, tmp_path, capsys, monkeypatch):
    words = ["mtl", "train", table, *COLUMNS, "passed", "--target", "score", *QUICK, "--steps", "2", "--run-dir"]

    def broken(path, values):
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr("jmeta.runs.mtl.kept.write_json", broken)
        assert cli.main([*words, str(tmp_path / "runs" / "run")]) == 2
    assert list((tmp_path / "runs").iterdir()) == []
    assert cli.main([*words, str(tmp_path / "runs" / "run")]) == 0
    assert cli.main([*words, str(tmp_path / "runs" / "run")]) == 2
    assert "is there already: choose another --run-dir" in capsys.readouterr().err


def test_run_folders_that_are_damaged_or_of_others(run, tmp_path, capsys):
    later = write(tmp_path / "new.csv", HEADER, school_rows(4))
    words = ["mtl", "predict", "--table", later, "--run-dir"]
    columns = json.loads((run / "columns.json").read_text())
    for name, text, message in (
        ("columns.json", json.dumps({**columns, "fills": ["x"]}), "which must be a list, each a number"),
        ("columns.json", json.dumps({**columns, "values": [["a"]]}), "are not of one run"),
        ("columns.json", json.dumps({**columns, "targets": ["a", "b"]}), "are not of one run"),
        ("columns.json", json.dumps({**columns, "targets": []}), "are not of one run"),
        ("columns.json", json.dumps({**columns, "fills": [1.0, float("nan")]}), "are not of one run"),
        ("columns.json", json.dumps({**columns, "more": 1}), "has more, which is no setting here"),
        ("columns.json", json.dumps({**columns, "classes": True}), "holds a MultiTaskRegressor"),
        ("columns.json", "{", "is damaged"),
        ("model.npz", "no arrays", "is damaged"),
        ("config.json", '{"experiment": "join"}', "is a run of join, and no table was trained on"),
    ):
        place = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        place.mkdir()
        for path in run.iterdir():
            (place / path.name).write_bytes(path.read_bytes())
        (place / name).write_text(text)
        assert cli.main([*words, str(place)]) == 2
        assert message in capsys.readouterr().err
    assert cli.main(["mtl", "evaluate", "--run-dir", str(run)]) == 2
    assert "predict other rows by jmeta mtl predict" in capsys.readouterr().err
    assert cli.main([*words, str(run), "--csv", later]) == 2
    assert "which it would replace" in capsys.readouterr().err


def test_a_table_that_is_named_later_is_told(capsys):
    assert cli.main(["mtl", "train", "--target", "score", "table.csv"]) == 2
    assert capsys.readouterr().err == "jmeta: the table comes first: jmeta mtl train TABLE.csv --target COLUMN.\n"


def test_help_says_how_to_train_on_a_table(capsys):
    for words, said in (
        (["mtl"], "TABLE.csv --task COLUMN --target COLUMN"),
        (["mtl", "train", "--help"], "jmeta mtl train TABLE.csv --help"),
        (["mtl", "train", "table.csv", "--help"], "jmeta mtl predict --run-dir runs/table --table new.csv"),
    ):
        assert cli.main(words) == 0
        assert said in capsys.readouterr().out


@pytest.fixture
def real():
    if REAL_DATA is None or not (Path(REAL_DATA) / "parkinsons.npz").is_file():
        pytest.skip("JMETA_DATA has no parkinsons.npz")
    return Path(REAL_DATA)


def test_patients_with_two_targets(real, tmp_path):
    """Six patients: both targets of each are predicted better than by a ridge regression of each patient alone."""
    with np.load(real / "parkinsons.npz") as file:
        X, Y, task = file["X"], file["Y"], file["task"]
        header = ["patient", *file["features"], *file["targets"]]
    rows = [(t, *x, *y) for t, x, y in zip(task, X.tolist(), Y.tolist(), strict=True) if t <= 6]
    path = write(tmp_path / "patients.csv", header, rows)
    words = ["mtl", "train", path, "--task", "patient", "--target", "motor_UPDRS", "total_UPDRS", "--l2", "0.001"]
    assert cli.main([*words, "--run-dir", str(tmp_path / "run")]) == 0
    models = json.loads((tmp_path / "run" / "evaluation.json").read_text())["models"]
    alone = models["ridge regression of each task"]
    assert models["this network"]["score"] > 0.9 and alone["difference"] + alone["difference_ci95"] < 0
    assert len(alone["rmse"]) == 2


def test_pupils_of_schools(real, tmp_path):
    if not (real / "school.mat").is_file():
        pytest.skip("JMETA_DATA has no school.mat")
    data = loadmat(real / "school.mat")
    rows = [
        (f"school {t}", *x, y)
        for t in range(20)
        for x, (y,) in zip(data["X"][0, t].tolist(), data["Y"][0, t].tolist(), strict=True)
    ]
    path = write(tmp_path / "pupils.csv", ["school", *(f"x{i}" for i in range(28)), "score"], rows)
    words = ["mtl", "train", path, "--task", "school", "--target", "score", "--l2", "0.01", "--hidden", "16"]
    assert cli.main([*words, "--run-dir", str(tmp_path / "run")]) == 0
    models = json.loads((tmp_path / "run" / "evaluation.json").read_text())["models"]
    assert models["this network"]["score"] > models["mean of each task"]["score"] + 0.1
