"""The study of estimators: what it finds, what it writes, and what it refuses."""

import dataclasses

import numpy as np
import pytest

from jmeta.errors import RunError
from scripts.rl.estimators import Config, exact, problems, study, summary
from scripts.study import run


@pytest.mark.long
def test_the_table_tells_the_estimators_apart(tmp_path, capsys):
    config = Config(run_dir=str(tmp_path / "run"), sizes=(400,), repetitions=60, states=2, horizon=3)
    result = run(study, config)
    assert (tmp_path / "run" / "table.md").read_text() in capsys.readouterr().out
    assert (tmp_path / "run" / "estimators.png").stat().st_size > 10_000
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["estimators.png", "results.json", "table.md"]
    for name, problem in result["summary"].items():
        rows = problem["estimators"]
        limit = {surrogate: parts["second_order"]["limit"] for surrogate, parts in rows.items()}
        assert limit["dice"] < 1e-4 and limit["reinforce"] > 0.5
        assert limit["lvc"] < 1e-4 if name == "bandit" else 0.01 < limit["lvc"] < 0.5
        for surrogate, parts in rows.items():
            (row,) = parts["second_order"]["sizes"]
            assert row["n"] == 400
            assert abs(row["error"] - limit[surrogate]) < 4 * row["noise"]
            (row,) = parts["meta_gradient"]["sizes"]
            assert row["cosine"] > 0.9
        spread = {surrogate: parts["second_order"]["sizes"][0]["variance"] for surrogate, parts in rows.items()}
        # What LVC leaves out is what makes DiCE noisy, the more so in long episodes: 5 steps here, 3 in the MDP.
        assert spread["lvc"] < (spread["dice"] / 3 if name == "bandit" else 1.2 * spread["dice"])


@pytest.mark.long
def test_a_small_study_from_end_to_end(tmp_path):
    """Catches rows that are put together wrongly: each size's figures in the summary are those of its row."""
    config = Config(str(tmp_path), sizes=(2, 3), repetitions=4, arms=2, pulls=2, states=1, horizon=1, draw=False)
    result = run(study, config)
    for problem, found in result["summary"].items():
        for surrogate, parts in found["estimators"].items():
            for part, estimated in parts.items():
                rows = [result["rows"][f"{problem}, {n} trajectories"][surrogate][part] for n in (2, 3)]
                assert [row.pop("n") for row in estimated["sizes"]] == [2, 3] and estimated["sizes"] == rows
    assert (tmp_path / "table.md").read_text().count("| in the limit |") == 2 * 2 * 3


@pytest.mark.long
def test_the_parts_add_up():
    for problem in problems(Config()).values():
        truth = exact(problem, 0.5, True)
        first = truth.meta_gradient - truth.second_order
        np.testing.assert_allclose(
            truth.limits["lvc"]["meta_gradient"] - truth.limits["lvc"]["second_order"], first, rtol=1e-5
        )
        assert np.linalg.norm(truth.second_order) > 0.05 * np.linalg.norm(truth.meta_gradient)


def test_a_summary_is_relative():
    got = np.array([[3.0, 4.0], [5.0, 4.0]])
    row = summary(got, np.array([4.0, 3.0]))
    cosines = (24 / 25, 32 / (5 * np.sqrt(41)))
    expected = {"error": 0.2, "noise": 1 / 5, "variance": 2 / 25, "cosine": np.mean(cosines)}
    assert row == pytest.approx(expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"repetitions": 1}, "--repetitions must be 2 or more, got 1"),
        ({"arms": 1}, "--arms must be 2 or more, got 1"),
        ({"horizon": 0}, "--horizon must be 1 or more, got 0"),
        ({"sizes": ()}, r"--sizes must be different numbers of trajectories, got \[\]"),
        ({"sizes": (10, 10)}, "--sizes must be different"),
        ({"sizes": (0,)}, "--sizes must be 1 or more, got 0"),
        ({"inner_lr": 0.0}, "--inner-lr must be a number above 0, got 0.0"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_written(change, message, tmp_path):
    place = tmp_path / "run"
    with pytest.raises(RunError, match=message):
        run(study, dataclasses.replace(Config(run_dir=str(place)), **change))
    assert not place.exists()
