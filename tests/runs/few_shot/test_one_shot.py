import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fake_omniglot import write_runs
from small_runs import TINY

from jmeta import Learner
from jmeta.datasets.omniglot_runs import OneShotRuns
from jmeta.evaluation import inductive
from jmeta.runs.few_shot.one_shot import episodes_of, errors
from jmeta.runs.few_shot.readings import VIEWS

pytestmark = pytest.mark.standard_promotion


def test_errors_of_each_run_are_counted():
    """Classes differ in their shade; a quarter of the queries of run 1 and all of run 2 have that of another."""
    labels = np.stack([np.random.default_rng(run).permutation(20) for run in range(3)])
    shown = labels.copy()
    shown[1, :5] = np.roll(labels[1, :5], 1)
    shown[2] = np.roll(labels[2], 1)
    shades = np.arange(0, 200, 10, dtype=np.uint8)
    support, query = (np.tile(x[..., None, None, None], (4, 4, 1)) for x in (np.stack([shades] * 3), shades[shown]))
    learner = Learner(
        lambda key, x: (),
        lambda params, support: support.y.T @ jnp.mean(support.x, axis=(1, 2)),
        lambda adapted, x: -jnp.abs(jnp.mean(x, axis=(1, 2)) - adapted.T),
        lambda params, episode: None,
    )
    episodes = episodes_of(OneShotRuns(support, query, labels))
    for found in (errors(learner, (), episodes), errors(learner, (), episodes, inductive)):
        np.testing.assert_allclose(found, [0, 0.25, 1], atol=1e-6)


def test_each_query_is_judged_alone(cli, shapes, tmp_path):
    write_runs(tmp_path / "data" / "omniglot" / "all_runs.zip")
    run_dir = tmp_path / "run"
    assert cli("train", "--dataset", shapes, *TINY, "--norm", "batch", "--run-dir", run_dir).code == 0
    words = ("evaluate", "--run-dir", run_dir, "--dataset", "omniglot-runs", "--data-dir", tmp_path / "data")
    result = cli(*words)
    assert result.code == 0 and "transductive accuracy" in result.out, result
    found = json.loads((run_dir / "evaluation-omniglot-runs.json").read_text())
    assert found["reading"] == "inductive" and "transductive_accuracy" in found
    assert not (run_dir / "evaluation.json").exists()


def test_several_views_of_each_drawing():
    """Catches views that differ from call to call, and changes that are none, or so large that nothing is left."""
    image = jnp.zeros((28, 28, 1)).at[8:20, 12:15].set(1.0)
    views = VIEWS["affine"]
    assert len(views) == 9
    seen = np.stack([view(image) for view in views])
    np.testing.assert_array_equal(seen, np.stack([jax.jit(view)(image) for view in VIEWS["affine"]]))
    np.testing.assert_array_equal(seen[0], image)
    apart = np.abs(seen[:, None] - seen[None]).mean((2, 3, 4))
    assert (apart[~np.eye(9, dtype=bool)] > 0.002).all() and (np.abs(seen.sum((1, 2, 3)) / image.sum() - 1) < 0.5).all()


def test_the_official_test_from_the_command_line(cli, refused, finished, tmp_path):
    write_runs(tmp_path / "data" / "omniglot" / "all_runs.zip")
    words = ("evaluate", "--run-dir", finished, "--dataset", "omniglot-runs", "--data-dir", tmp_path / "data")
    words = (*words, "--output", tmp_path / "e.json")
    result = cli(*words)
    assert result.code == 0, result
    found = json.loads((tmp_path / "e.json").read_text())
    assert (found["way"], found["shot"], found["episodes"], found["dataset"]) == (20, 1, 20, "omniglot-runs")
    assert found["seen_classes"] == 0 and found["changes"].startswith("resized from 28 x 28 to 8 x 8, not inverted")
    assert len(found["errors"]) == 20 and np.mean(found["errors"]) == pytest.approx(1 - found["accuracy"], abs=1e-6)
    assert 0 < found["accuracy"] < 1 and found["ci95"] > 0
    assert "wrong in each run, %: " in result.out and result.out.splitlines()[-1].endswith(
        "(20 episodes, one query at a time)"
    )
    result = cli(*words, "--views", "affine")
    seen = json.loads((tmp_path / "e.json").read_text())
    assert result.code == 0 and "in 9 views (affine)" in result.out + result.err, result
    assert seen["views"] == "affine" and seen["errors"] != found["errors"]
    assert "letters are others in a mirror: take --views affine" in refused(*words, "--views", "mirror")
    assert "--way 20, got 5: leave it out" in refused(*words, "--way", 5)
    assert "--shot 1, got 5: leave it out" in refused(*words, "--shot", 5)
    for flag, value in (("--episodes", 100), ("--part", "val"), ("--split", "lake"), ("--seed", 1)):
        assert f"omniglot-runs is 20 fixed episodes: leave {flag} out" in refused(*words, flag, value)
    assert "judged one query at a time anyway: leave --no-transductive out" in refused(*words, "--no-transductive")
    assert "needs all_runs.zip" in refused(*words[:-4], "--data-dir", tmp_path)
