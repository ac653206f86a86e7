"""The study of tasks of known relatedness."""

import numpy as np
import pytest

from jmeta.errors import RunError
from scripts.mtl import synthetic
from scripts.study import run


@pytest.mark.long
def test_the_synthetic_program(tmp_path, capsys):
    config = synthetic.Config(
        str(tmp_path / "run"), seeds=2, features=20, examples=12, folds=2, iterations=5, width=20, steps=30
    )
    result = run(synthetic.study, config)
    place = tmp_path / "run"
    assert sorted(path.name for path in place.iterdir()) == [
        "affinity_below_own_heads.png", "affinity_in_one_model.png", "correlations_by_evidence.png",
        "gradient_cosines.png", "learned_correlations.png", "results.json", "table.md",
    ]  # fmt: skip
    table = (place / "table.md").read_text()
    assert table in capsys.readouterr().out
    result = {**result, **result["summary"]}
    for name in synthetic.METHODS:
        errors = [draw["methods"][name]["error"] for draw in result["rows"].values()]
        assert result["methods"][name]["mean"] == pytest.approx(np.mean(errors))
        assert f"| {name} | {np.mean(errors):.3f} +- " in table
    told, alone = (result["methods"][name]["mean"] for name in (synthetic.ORACLE, synthetic.ALONE))
    assert told < alone
    assert result["pairs"]["0, 1"]["root of omega"] == pytest.approx(-0.724, abs=1e-3)
    assert result["pairs"]["2, 3"]["root of omega"] == pytest.approx(0.5, abs=1e-3)
    # Opposite tasks hurt each other in one model, and not below heads of their own.
    assert (
        result["pairs"]["0, 1"][synthetic.ONE_MODEL]["mean"] < 0 < result["pairs"]["0, 1"][synthetic.OWN_HEADS]["mean"]
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": 0}, "--seeds must be 1 or more, got 0"),
        ({"folds": 61}, "--folds must be no more than the 60 examples, got 61"),
        ({"noise": float("nan")}, "--noise must be 0 or more, got nan"),
        ({"lr": 0.0}, "--lr must be a number above 0, got 0.0"),
        ({"examples": 10**8}, "100000000 examples and 100 features would have 149 GiB"),
        ({"features": 5000}, "60 examples and 5000 features would have 1.49 GiB"),
    ],
)
def test_settings_that_cannot_be_are_refused(change, message, tmp_path):
    with pytest.raises(RunError, match=message):
        run(synthetic.study, synthetic.Config(str(tmp_path / "run"), **change))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"noise": 1e30}, "the least errors of ridge of each task"),
        pytest.param({"lr": 1e30}, "the affinity in one model", marks=pytest.mark.long),
    ],
)
def test_what_overflows_is_refused(change, what, tmp_path):
    """Catches a choice among penalties, or of groups, where no number is left to choose by: a traceback."""
    small = {"seeds": 1, "features": 3, "examples": 6, "folds": 2, "iterations": 1, "width": 2, "steps": 2}
    with pytest.raises(RunError, match=f"not all of {what} are finite"):
        run(synthetic.study, synthetic.Config(str(tmp_path / "run"), **small, draw=False, **change))


def test_a_summary_of_draws():
    """Catches means over the wrong axis, a pair read from one direction alone, and groups that are counted wrongly."""

    def draw(error, value, groups):
        matrix = [[1.0, value, 0.1, 0.1], [0.0, 1.0, 0.1, 0.1], [0.3, 0.3, 1.0, 2 * value], [0.3, 0.3, 0.0, 1.0]]
        return {
            "methods": {name: {"error": error + i} for i, name in enumerate(synthetic.METHODS)},
            "groups": {synthetic.COSINES: groups},
            **dict.fromkeys(synthetic.MATRICES, matrix),
        }

    found = synthetic._summary([draw(1.0, 0.2, [[0, 1], [2, 3]]), draw(2.0, 0.6, [[0, 2], [1, 3]])])
    learned = found["methods"][synthetic.LEARNED]
    assert (learned["mean"], learned["difference"], learned["difference_ci95"]) == (2.5, 1.0, 0.0)
    pair = {name: row[synthetic.COSINES]["mean"] for name, row in found["pairs"].items()}
    assert pair == pytest.approx({"0, 1": 0.2, "2, 3": 0.4, "between pairs": 0.1})
    assert found["pairs"]["0, 1"]["root of omega"] == pytest.approx(-0.724, abs=1e-3)
    np.testing.assert_allclose(found["matrices"][synthetic.COSINES][0], [1.0, 0.4, 0.1, 0.1])
    assert found["blocks_found"] == {synthetic.COSINES: 1}
