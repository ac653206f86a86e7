"""Several seeds and rates in one program: each is its own single run, and what becomes of them together."""

import importlib
import json
import os
import shutil
import signal
from pathlib import Path

import jax
import numpy as np
import pytest
from small_runs import TINY, arrays_of, assert_same_run, poisoned, rows_of

from jmeta.cli import main
from jmeta.errors import RunError
from jmeta.runs.engine import checkpoints, programs
from jmeta.runs.engine.area import load_group
from jmeta.runs.engine.folder import read_rows
from jmeta.runs.engine.members import members, swept
from jmeta.runs.engine.options import Options, Place
from jmeta.runs.few_shot import AREA, load_trained, settings_of, train
from jmeta.runs.few_shot.plot import group_curves

pytestmark = pytest.mark.standard_promotion
group_file = importlib.import_module("jmeta.runs.engine.train")


@pytest.fixture(scope="session")
def seeds(shapes, places, tmp_path_factory) -> Path:
    """Two finished seeds; not to be changed."""
    run_dir = tmp_path_factory.mktemp("group") / "seeds"
    assert main(["train", "--dataset", shapes, *TINY, "--seeds", "2", "--run-dir", str(run_dir)]) == 0
    return run_dir


def read(path):
    return json.loads(Path(path).read_text())


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_each_seed_is_its_single_run(cli, seeds, finished, shapes, tmp_path):
    assert names_in(seeds) == ["group.json", "seed0", "seed1", "summary.json"]
    other = tmp_path / "other"
    assert cli("train", "--dataset", shapes, *TINY, "--seed", 1, "--run-dir", other).code == 0
    for member, single in ((seeds / "seed0", finished), (seeds / "seed1", other)):
        assert_same_run(member, single)
        assert read(member / "config.json") == {**read(single / "config.json"), "run_dir": str(member)}
        assert names_in(member / "checkpoints") == names_in(single / "checkpoints")
    assert rows_of(finished) != rows_of(other)


def test_compiling_is_timed_apart_from_the_steps(seeds):
    for name in ("seed0", "seed1"):
        rows = read_rows(seeds / name / "metrics.jsonl")
        assert ["compile_seconds" in row for row in rows] == [True, False, False, False]
        assert rows[0]["seconds"] < rows[0]["compile_seconds"]


def test_each_rate_is_its_single_run_to_rounding(cli, finished, shapes, tmp_path):
    words = ("train", "--dataset", shapes, *TINY, "--run-dir", tmp_path / "g")
    result = cli(*words, "--sweep", "inner-lr=0.5,0.05", "outer_lr=1e-2")
    assert result.code == 0, result.err
    own = tmp_path / "g" / "inner_lr0.5-outer_lr0.01"
    assert names_in(tmp_path / "g") == ["group.json", "inner_lr0.05-outer_lr0.01", own.name, "summary.json"]
    for ours, single in zip(rows_of(own), rows_of(finished), strict=True):
        assert ours.keys() == single.keys()
        np.testing.assert_allclose(list(ours.values()), list(single.values()), rtol=1e-4)
    for ours, single in zip(arrays_of(own), arrays_of(finished), strict=True):
        np.testing.assert_allclose(ours, single, rtol=1e-3, atol=1e-4)
    slow = tmp_path / "g" / "inner_lr0.05-outer_lr0.01"
    assert read(slow / "config.json")["inner_lr"] == 0.05
    assert abs(rows_of(slow)[0]["loss"] - rows_of(own)[0]["loss"]) > 1e-3
    assert "inner_lr 0.05 outer_lr 0.01: accuracy" in result.out


def test_seeds_together_are_their_single_runs_to_rounding(cli, seeds, shapes, tmp_path, monkeypatch):
    """As accelerators compute them."""
    used = []
    monkeypatch.setattr(programs, "over_runs", lambda: lambda fun: used.append(fun) or jax.vmap(fun))
    assert cli("train", "--dataset", shapes, *TINY, "--seeds", 2, "--run-dir", tmp_path / "g").code == 0
    assert used
    for name in ("seed0", "seed1"):
        for ours, single in zip(rows_of(tmp_path / "g" / name), rows_of(seeds / name), strict=True):
            np.testing.assert_allclose(list(ours.values()), list(single.values()), rtol=1e-4)


def test_the_summary_has_mean_and_interval(seeds):
    summary = read(seeds / "summary.json")
    values = [rows_of(seeds / name)[-1]["val_accuracy"] for name in ("seed0", "seed1")]
    (setting,) = summary["settings"]
    assert summary["step"] == 20 and [m["val_accuracy"] for m in summary["members"].values()] == values
    assert setting["seeds"] == 2 and setting["mean"] == pytest.approx(np.mean(values))
    assert setting["ci95"] == pytest.approx(12.706 * abs(values[0] - values[1]) / 2, rel=1e-4)


def test_a_signal_saves_all_and_a_resumed_group_is_the_same(cli, seeds, shapes, tmp_path, monkeypatch):
    rounds = group_file._round

    def interrupted(group, states, step, diverged):
        if step == 15:
            os.kill(os.getpid(), signal.SIGTERM)
        return rounds(group, states, step, diverged)

    monkeypatch.setattr(group_file, "_round", interrupted)
    result = cli("train", "--dataset", shapes, *TINY, "--seeds", 2, "--run-dir", tmp_path / "g")
    assert result.code == 143 and "saved at step 15" in result.err
    assert all((tmp_path / "g" / name / "checkpoints" / "15").is_dir() for name in ("seed0", "seed1"))
    monkeypatch.undo()
    resumed = cli("train", "--run-dir", tmp_path / "g", "--resume")
    assert resumed.code == 0 and "step 15 of 20: going on" in resumed.out
    for name in ("seed0", "seed1"):
        assert_same_run(tmp_path / "g" / name, seeds / name)
    assert read(tmp_path / "g" / "summary.json") == read(seeds / "summary.json")


@pytest.mark.parametrize("at", [pytest.param(10, marks=pytest.mark.long), 20])
def test_a_kill_between_two_saves_leaves_a_step_that_all_have(cli, seeds, shapes, tmp_path, monkeypatch, at):
    saves, saved = checkpoints.save, []

    def rising(kept, state, score):  # so that no earlier one stays as the best
        saves(kept, state, None if score is None else float(state.step))

    def killed(kept, state, score):
        if int(state.step) == at and saved.count(at):
            raise KeyboardInterrupt
        rising(kept, state, score)
        saved.append(int(state.step))

    monkeypatch.setattr(checkpoints, "save", killed)
    assert cli("train", "--dataset", shapes, *TINY, "--seeds", 2, "--run-dir", tmp_path / "g").code == 130
    assert (tmp_path / "g" / "seed0" / "checkpoints" / str(at)).is_dir()
    assert not (tmp_path / "g" / "seed1" / "checkpoints" / str(at)).is_dir()
    monkeypatch.setattr(checkpoints, "save", rising)
    assert cli("train", "--run-dir", tmp_path / "g", "--resume").code == 0
    for name in ("seed0", "seed1"):
        assert rows_of(tmp_path / "g" / name) == rows_of(seeds / name)
        for ours, theirs in zip(arrays_of(tmp_path / "g" / name), arrays_of(seeds / name), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        assert names_in(tmp_path / "g" / name / "checkpoints") == ["10", "20"]


def test_one_that_diverges_keeps_its_checkpoint_and_the_others_go_on(cli, seeds, shapes, tmp_path, monkeypatch):
    rounds = group_file._round

    def interrupted(group, states, step, diverged):
        if step == 15:
            os.kill(os.getpid(), signal.SIGINT)
        return rounds(group, states, step, diverged)

    monkeypatch.setattr(group_file, "_round", interrupted)
    monkeypatch.setattr(programs, "compiled", poisoned(programs.compiled, 13))
    result = cli("train", "--dataset", shapes, *TINY, "--seeds", 2, "--run-dir", tmp_path / "g")
    assert result.code == 130 and "seed0 has diverged at step 13" in result.out
    monkeypatch.undo()
    assert cli("train", "--run-dir", tmp_path / "g", "--resume").code == 0
    assert_same_run(tmp_path / "g" / "seed1", seeds / "seed1")
    assert names_in(tmp_path / "g" / "seed0" / "checkpoints") == ["10"]
    assert rows_of(tmp_path / "g" / "seed0")[-1]["step"] == 10
    summary = read(tmp_path / "g" / "summary.json")
    assert summary["members"]["seed0"] == {"seed": 0, "diverged_at": 13}
    assert summary["settings"][0] == {
        "seeds": 1, "mean": rows_of(seeds / "seed1")[-1]["val_accuracy"], "ci95": None,
    }  # fmt: skip
    evaluated = cli("evaluate", "--run-dir", tmp_path / "g", "--episodes", 10)
    assert evaluated.code == 0 and "diverged at step 13" in evaluated.out and "(1 seed)" in evaluated.out


def test_a_group_of_which_all_diverge_stops(refused, shapes, tmp_path):
    message = refused("train", "--dataset", shapes, *TINY, "--sweep", "inner_lr=1e37,1e38", "--run-dir", tmp_path / "g")
    assert "diverged in all 2 runs" in message
    assert "have diverged" in refused("evaluate", "--run-dir", tmp_path / "g")


def test_every_member_is_evaluated(cli, seeds, shapes, tmp_path):
    group = tmp_path / "g"
    shutil.copytree(seeds, group)
    result = cli("evaluate", "--run-dir", group, "--episodes", 20)
    assert result.code == 0, result.err
    summary = read(group / "evaluation.json")
    each = [read(group / name / "evaluation.json") for name in ("seed0", "seed1")]
    assert summary["episodes"] == 20 and summary["shot"] == 1
    assert [m["accuracy"] for m in summary["members"].values()] == [own["accuracy"] for own in each]
    mean = summary["settings"][0]["mean"]
    assert mean == pytest.approx(np.mean([own["accuracy"] for own in each]))
    assert f"accuracy {100 * mean:.2f} % +- " in result.out and "(2 seeds)" in result.out
    np.savez(tmp_path / "other.npz", images=255 - np.load(shapes)["images"][:, :6])
    assert cli("evaluate", "--run-dir", group, "--episodes", 20, "--dataset", tmp_path / "other.npz").code == 0
    assert read(group / "evaluation.json") == summary
    for folder in (group, group / "seed0", group / "seed1"):
        assert read(folder / "evaluation-other.json")["dataset"] == "other"


def test_the_curves_of_all_are_drawn(cli, seeds, tmp_path):
    pytest.importorskip("matplotlib")
    shutil.copytree(seeds, tmp_path / "g")
    result = cli("plot", "--run-dir", tmp_path / "g")
    assert result.code == 0 and result.out.strip() == str(tmp_path / "g" / "training.png")
    settings, options, _ = load_group(AREA, seeds)
    rows = {name: rows_of(seeds / name) for name in ("seed0", "seed1")}
    losses, scores = group_curves(settings, members(settings, options), rows).axes
    for axes, key in ((losses, "loss"), (scores, "val_accuracy")):
        for line, own in zip(axes.get_lines(), rows.values(), strict=True):
            drawn = [(row["step"], row[key]) for row in own if key in row]
            scale = 1 if key == "loss" else 100
            np.testing.assert_allclose(line.get_xydata(), [(step, scale * value) for step, value in drawn])


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--seeds", "0"], "--seeds must be 1 to 10000, got 0"),
        (["--seeds", "2147483647"], "--seeds must be 1 to 10000, got 2147483647"),
        (["--features", "2000000", "2000000"], "the parameters and what the outer rule remembers take"),
        (["--seeds", "2", "--seed", str(2**32 - 1)], "--seed must be below 2^32"),
        (["--sweep", "shot=1,2"], "--sweep takes inner_lr and outer_lr, as in inner_lr=0.1,0.4, got 'shot=1,2'"),
        (["--sweep", "inner_lr"], "--sweep inner_lr must be numbers above 0 with commas between, got ''"),
        (["--sweep", "inner_lr=0.1,x"], "must be numbers above 0 with commas between, got '0.1,x'"),
        (["--sweep", "outer_lr=0.1,-1"], "must be numbers above 0"),
        (["--sweep", "outer_lr=0.1,inf"], "must be numbers above 0"),
        (["--sweep"], "--sweep has no values: give some"),
        (["--sweep", "inner_lr=0.1,1e-1"], "--sweep has '0.1,1e-1' more than once"),
        (["--sweep", "inner_lr=0.1", "inner-lr=0.2"], "--sweep has 'inner_lr' more than once"),
    ],
)
def test_groups_that_make_no_sense(refused, shapes, tmp_path, words, part):
    assert part in refused("train", "--dataset", shapes, *TINY, "--run-dir", tmp_path / "g", *words)
    assert not list(tmp_path.iterdir())


def test_folders_of_others_are_refused(refused, seeds, finished, shapes, tmp_path):
    words = ("train", "--dataset", shapes, *TINY, "--run-dir")
    assert "already holds a run" in refused(*words, seeds, "--seeds", 2)
    assert "--seeds 2, not 3" in refused(*words, seeds, "--seeds", 3, "--resume")
    assert "holds a group of runs" in refused(*words, seeds)
    assert "holds a single run" in refused(*words, finished, "--seeds", 2)
    with pytest.raises(RunError, match=f"name one of them, such as {seeds / 'seed0'}"):
        load_trained(seeds)
    (tmp_path / "thesis.tex").write_text("x")
    assert "is no run folder" in refused(*words, tmp_path, "--seeds", 2)


def test_a_member_that_went_on_alone_is_named(refused, seeds, tmp_path):
    group = tmp_path / "g"
    shutil.copytree(seeds, group)
    shutil.rmtree(group / "seed1" / "checkpoints")
    message = refused("train", "--run-dir", group, "--resume")
    assert "seed1: none" in message and (group / "seed0" / "checkpoints" / "20").is_dir()


def test_a_group_is_for_a_single_process(tmp_path):
    options = Options(str(tmp_path), seeds=2, meeting=Place("localhost:1234", 2, 0))
    with pytest.raises(RunError, match="for a single process"):
        train(settings_of(), options)


def test_members_are_every_combination():
    settings, options = settings_of(), Options(seed=3, seeds=2, sweep=("inner_lr=0.1,4", "outer-lr=1e-3"))
    assert swept(settings, options) == {"inner_lr": (0.1, 4.0), "outer_lr": (0.001,)}
    found = members(settings, options)
    assert list(found) == [f"seed{s}-inner_lr{r}-outer_lr0.001" for r in ("0.1", "4.0") for s in (3, 4)]
    last = found["seed4-inner_lr4.0-outer_lr0.001"]
    assert (last.options.seed, last.options.seeds, last.options.sweep) == (4, None, ())
    assert (last.settings.learner.inner.inner_lr, last.settings.outer.outer_lr) == (4.0, 0.001)
    assert last.varied == {"seed": 4, "inner_lr": 4.0, "outer_lr": 0.001}
