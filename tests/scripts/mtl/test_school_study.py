"""The School data and the program that compares methods on it."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.io

from jmeta.datasets import DataError
from jmeta.errors import RunError
from jmeta.mtl.relatedness import explained_variance, fold_numbers, task_covariance, task_ridge
from scripts.mtl import school as program
from scripts.mtl.school_data import load_school
from scripts.study import run

ROOT = Path(__file__).parents[3]
SIZES = (60, 80, 50, 70)


def column(tables):
    """A row of MATLAB cells."""
    cells = np.empty((1, len(tables)), object)
    for i, table in enumerate(tables):
        cells[0, i] = table
    return cells


def write(folder, tables, scores):
    scipy.io.savemat(folder / "school.mat", {"X": column(tables), "Y": column(scores)})


@pytest.fixture
def small(tmp_path):
    """Four schools in the form of the real file: bytes, with two percentages and a constant last."""
    rng = np.random.default_rng(0)
    tables = [rng.integers(0, 2, (n, 28)).astype(np.uint8) for n in SIZES]
    for table in tables:
        table[:, 3:5] = rng.integers(0, 100, (len(table), 2))
        table[:, -1] = 1
    scores = [(20 + 10 * t[:, :1] + 5 * t[:, 1:2] + rng.integers(0, 4, (len(t), 1))).astype(np.uint8) for t in tables]
    write(tmp_path, tables, scores)
    return tmp_path, tables, scores


def test_bytes_are_cast_padded_and_percentages_made_shares(small):
    folder, tables, scores = small
    found = load_school(folder)
    assert found.x.shape == (4, 80, 28) and found.x.dtype == found.y.dtype == np.float32
    for i, (table, score) in enumerate(zip(tables, scores, strict=True)):
        n = len(score)
        assert found.weight[i].tolist() == [1.0] * n + [0.0] * (80 - n)
        np.testing.assert_allclose(found.x[i, :n, 3:5], table[:, 3:5] / 100, atol=1e-6)
        np.testing.assert_array_equal(found.x[i, :n, 5:], table[:, 5:])
        np.testing.assert_array_equal(found.y[i, :n], score[:, 0])
        assert not found.x[i, n:].any() and not found.y[i, n:].any()
    assert found.x.max() <= 1


def test_data_that_are_missing_damaged_or_others_are_refused_in_a_sentence(tmp_path):
    with pytest.raises(
        DataError, match=r"school\.mat is not there: get data/school\.mat of https://github\.com"
    ) as caught:
        load_school(tmp_path)
    assert "\n" not in str(caught.value)
    for content in (b"", b"not a MATLAB file" * 20):
        (tmp_path / "school.mat").write_bytes(content)
        with pytest.raises(DataError, match="can't be read"):
            load_school(tmp_path)
    scipy.io.savemat(tmp_path / "school.mat", {"other": np.zeros(3)})
    with pytest.raises(DataError, match="can't be read"):
        load_school(tmp_path)
    write(tmp_path, [np.zeros((3, 28), np.uint8)], [np.zeros((2, 1), np.uint8)])
    with pytest.raises(DataError, match="has no 28 features and a score for each pupil"):
        load_school(tmp_path)


def test_a_file_that_was_cut_off_is_refused(small):
    folder, _, _ = small
    whole = (folder / "school.mat").read_bytes()
    for size in (len(whole) // 2, 100, len(whole) - 40):
        (folder / "school.mat").write_bytes(whole[:size])
        with pytest.raises(DataError, match="can't be read"):
            load_school(folder)


def test_the_program(small, monkeypatch, capsys):
    folder, _, _ = small
    monkeypatch.setattr(program, "RELATIONS", (1e-3, 1e-1))
    place = folder / "runs" / "school"
    result = run(program.study, program.Config(str(place), str(folder), splits=2, folds=2, iterations=2, groups=2))
    assert sorted(path.name for path in place.iterdir()) == ["correlations.png", "results.json", "table.md"]
    table = (place / "table.md").read_text()
    assert table in capsys.readouterr().out
    splits = [row["methods"] for row in result["rows"].values()]
    for name, row in result["summary"]["methods"].items():
        for key in ("explained_variance", "at_fixed_penalties"):
            values, first = (np.array([split[n][key] for split in splits]) for n in (name, program.FIRST))
            assert row[key]["mean"] == pytest.approx(values.mean())
            assert row[key]["difference"] == pytest.approx((values - first).mean(), abs=1e-9)
        assert f"| {name} | {row['explained_variance']['mean']:.2f} +- " in table
    # Scores are linear and alike in all schools, but for a little noise.
    assert result["summary"]["methods"][program.LEARNED]["explained_variance"]["mean"] > 85


@pytest.mark.parametrize(
    ("change", "message"),
    [({"splits": 0}, "--splits must be 1 or more, got 0"), ({"folds": 1}, "--folds must be 2 or more, got 1")],
)
def test_settings_that_cannot_be_are_refused(change, message, tmp_path):
    with pytest.raises(RunError, match=message):
        run(program.study, program.Config(str(tmp_path / "run"), str(tmp_path), **change))


def test_learned_relatedness_helps_real_schools(data_root):
    """One split, at the penalties of an earlier study; the program has five, with penalties that are chosen."""
    if not (data_root / "school.mat").is_file():
        pytest.skip(f"needs the School data: {data_root} has no school.mat")
    school = load_school(data_root)
    assert school.x.shape == (139, 251, 28)
    assert school.weight.sum() == 15362
    assert school.x.max() == 1.0 and school.x.min() == 0.0
    assert np.all(school.x[..., -1] == school.weight)
    assert (school.y.max(), school.y[school.weight > 0].min()) == (70.0, 1.0)
    test = school.weight * (fold_numbers(np.random.default_rng(0), school.weight, 4) == 0)
    assert 0.24 < test.sum() / school.weight.sum() < 0.26

    @jax.jit
    def compare(x, y, train, test):
        alone = task_ridge(x, y, ridge=0.03, weight=train)
        learned = task_covariance(x, y, ridge=1e-3, relation=3e-3, weight=train, iterations=10).weights
        return [100 * explained_variance(weights, x, y, weight=test) for weights in (alone, learned)]

    alone, learned = map(float, compare(*map(jnp.asarray, (school.x, school.y, school.weight - test, test))))
    assert 32 < alone < 38
    assert learned > alone + 0.5


def test_the_documentation_says_what_was_measured():
    """Catches a table that is copied wrongly, or a way of showing results that changes them."""
    kept = json.loads((ROOT / "scripts" / "results" / "mtl" / "school.json").read_text())
    shown = program.show(program.Config(), kept["rows"])
    assert shown.summary == kept["summary"]
    readme = (ROOT / "docs" / "results" / "multi_task.md").read_text()
    for name in (program.LEARNED, "pooled ridge"):
        line = next(line for line in shown.table.splitlines() if line.startswith(f"| {name} "))
        assert line.partition(" | ")[2].rsplit(" | ", 2)[0] in readme
