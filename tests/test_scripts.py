"""The programs of scripts/, run small: their numbers move the way the published ones do."""

import importlib.util
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"


def load(name):
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.standard_promotion
def test_sinusoid_learns_to_learn_and_keeps_its_record(tmp_path):
    sinusoid, output = load("sinusoid"), tmp_path / "sinusoid.json"
    config = sinusoid.Config(algorithms=("fomaml",), outer_steps=2000, seeds=2, tasks=300, output=str(output))
    result = sinusoid.main(config)["fomaml"]
    after_1, after_5, after_10 = result["median"]
    # The mean curve, which is the best answer without a look at the support set, has a median of 1.9.
    # It was trained for one step: the next ones still help, and whether the tenth does is left to rounding.
    assert after_1 > 1.2 * max(after_5, after_10)
    assert after_10 < 1.2
    assert len(result["mean_of_seed"]) == 2
    assert result["mean_of_seed"][0] != result["mean_of_seed"][1]
    assert json.loads(output.read_text())["results"]["fomaml"]["median"] == result["median"]


def test_sinusoid_refuses_an_unknown_learner():
    sinusoid = load("sinusoid")
    with pytest.raises(SystemExit, match="choose from maml"):
        sinusoid.main(sinusoid.Config(algorithms=("mammal",)))


def test_sinusoid_summary_counts_divergence():
    errors = np.array([[[1.0, 3.0], [1.0, 3.0], [1e6, 1.0]]])
    result = load("sinusoid").summary(errors, 1.0)
    assert result["mean"][0] == 2.0
    np.testing.assert_allclose(result["ci95"][0], 1.96 * np.sqrt(2.0) / np.sqrt(2))
    assert result["diverged"] == [0.0, 0.0, 0.5]


@pytest.mark.parametrize("script", ["environment.sh", "quickstart.sh", "test.sh"])
def test_shell_scripts_parse(script):
    checked = subprocess.run(["bash", "-n", SCRIPTS / script], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_omniglot_settings_are_the_preset_shortened_or_whole():
    omniglot = load("omniglot")
    short = omniglot.settings(omniglot.Config(), "fomaml", 1, 3)
    whole = omniglot.settings(omniglot.Config(published=True), "fomaml", 1, 3)
    assert (short.outer_steps, short.outer_schedule, short.seed) == (6000, "cosine", 3)
    assert (whole.outer_steps, whole.outer_schedule, whole.outer_lr) == (60_000, "constant", 1e-3)
    assert short.run_dir != whole.run_dir
    assert set(omniglot.SHORT) == {(a, s) for a in omniglot.ALGORITHMS for s in (1, 5)}


def test_omniglot_table_shows_intervals_of_episodes_or_of_seeds():
    omniglot = load("omniglot")
    one = {"accuracy": 0.975, "ci95": 0.004, "inductive_accuracy": None}
    assert omniglot.cell([one], "accuracy", "ci95") == "97.5 +- 0.4"
    assert omniglot.cell([one], "inductive_accuracy", "inductive_ci95") == "-"
    two = [{"accuracy": 0.97, "ci95": 0.1}, {"accuracy": 0.99, "ci95": 0.1}]
    # Student's t of one degree of freedom, 12.706, times a standard deviation of sqrt(2), over sqrt(2)
    assert omniglot.cell(two, "accuracy", "ci95") == "98.0 +- 12.7 (2 seeds)"
    table = omniglot.markdown([omniglot.Row("maml", 1, [one], [90.0, 150.0], 14_000)])
    assert "| maml | 5-way 1-shot | 97.5 +- 0.4 | - | 98.7 +- 0.4 | 14000 | 2 |" in table


def test_omniglot_takes_no_evaluation_of_anything_else(tmp_path):
    omniglot, path = load("omniglot"), tmp_path / "evaluation.json"
    run = omniglot.settings(omniglot.Config(), "maml", 1, 0)
    trained = omniglot.Trained(run, {"split_hash": "s", "data_checksum": "d"}, 500, None, None)
    assert omniglot.evaluated(omniglot.Config(), trained, path) is None
    kept = {
        "episodes": 1000, "way": 5, "shot": 1, "query_shot": 1, "inner_steps": 3, "part": "test", "seed": 0,
        "rotations": True, "split_hash": "s", "data_checksum": "d", "reading": "transductive", "checkpoint_step": 500,
        "accuracy": 0.9,
    }  # fmt: skip
    path.write_text(json.dumps(kept))
    assert omniglot.evaluated(omniglot.Config(), trained, path) == kept
    for name, other in (("data_checksum", "e"), ("way", 20), ("shot", 5), ("checkpoint_step", 1000), ("episodes", 600)):
        path.write_text(json.dumps({**kept, name: other}))
        assert omniglot.evaluated(omniglot.Config(), trained, path) is None, name


def test_omniglot_refuses_rows_that_it_does_not_have():
    omniglot = load("omniglot")
    with pytest.raises(omniglot.RunError, match="choose from maml"):
        omniglot.main(omniglot.Config(shots=(3,)))


def row(compare, algorithm, accuracy, way=5):
    return compare.Row(algorithm, way, 1, accuracy, 0.021, 20_000, 61.2, 3.04, 17.6)


def test_compare_shows_the_best_first_and_differences_in_pairs():
    compare = load("compare")
    hard = [0.5, 0.7, 0.9, 0.6]
    better = [a + 0.1 for a in hard]
    lines = compare.markdown([row(compare, "maml", hard), row(compare, "prototypical", better)], "prototypical")
    table = [line for line in lines.splitlines() if line.startswith("| ") and "learner" not in line]
    assert table[0].startswith("| prototypical | 77.5 +- 16.7 | - | 2.1 | 20,000 | 61 | 3.0 | 18 |")
    assert table[1].startswith("| maml | 67.5 +- 16.7 | -10.0 +- 0.0 |")
    # Without the reference there is nothing to compare with.
    assert "| maml | 67.5 +- 16.7 | - |" in compare.markdown([row(compare, "maml", hard)], "prototypical")


def test_compare_stops_when_the_seconds_are_over_and_not_while_it_compiles():
    compare = load("compare")
    now = [0.0]
    asks = compare.until(10.0, lambda: None, lambda: now[0])
    assert asks() is None
    now[0] = 100.0  # spent on compiling
    assert asks() is None
    now[0] = 109.0
    assert asks() is None
    now[0] = 111.0
    assert asks() == compare.OUT_OF_TIME
    assert compare.until(0.0, lambda: None)() == compare.OUT_OF_TIME
    assert compare.until(5.0, lambda: 15)() == 15


def test_compare_counts_training_without_compiling():
    rows = [{"seconds": 30.0}, {"seconds": 2.0}, {"seconds": 4.0}]
    assert load("compare").trained_seconds(rows) == 9.0
    assert load("compare").trained_seconds(rows[:1]) == 0.0


@pytest.mark.standard_promotion
def test_compare_trains_judges_and_resumes(tmp_path, capsys):
    compare = load("compare")
    config = compare.Config(
        algorithms=("prototypical", "baseline"), tasks=128, dataset="glyphs:60", features=4, query_shot=2, episodes=20,
        run_dir=str(tmp_path),
    )  # fmt: skip
    rows = compare.main(config)
    assert [(r.algorithm, r.tasks, len(r.accuracy)) for r in rows] == [("prototypical", 128, 20), ("baseline", 128, 20)]
    assert all(0 < r.calibration_error < 1 and r.adapt_milliseconds > 0 and r.train_mebibytes > 0 for r in rows)
    assert {p.name for p in tmp_path.glob("*.*")} >= {"results.json", "table.md", "accuracy.png"}
    capsys.readouterr()
    assert compare.main(config) == rows
    assert "baseline-5w1s" not in capsys.readouterr().out  # nothing was trained again
    assert json.loads((tmp_path / "results.json").read_text())[0]["accuracy"] == rows[0].accuracy


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"algorithms": ("mammal",)}, "maml"),
        ({"budget": "money"}, "tasks"),
        ({"seconds": 0.0}, "above 0"),
        ({"reference": "protonet"}, "prototypical"),
    ],
)
def test_compare_refuses_what_is_not_there(settings, says):
    compare = load("compare")
    with pytest.raises(compare.RunError, match=says):
        compare.main(compare.Config(**settings))
