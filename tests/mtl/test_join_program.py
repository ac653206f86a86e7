"""`jmeta mtl`: the join end to end on a few glyphs."""

import importlib
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from jmeta import cli
from jmeta.runs import active, continual, mtl, optimizers, rl
from jmeta.runs.engine import checkpoints
from jmeta.runs.mtl import PROGRAMS
from jmeta.settings import flag

train_file = importlib.import_module("jmeta.runs.engine.train")
pytestmark = pytest.mark.standard_promotion

VALUES = {
    "dataset": "glyphs:60", "split": "default", "tasks": 2, "query_shot": 2, "network": "mlp", "features": (4,),
    "norm": "none", "outer_steps": 2, "meta_batch_size": 1, "val_problems": 3,
}  # fmt: skip
WORDS = [
    word
    for name, value in VALUES.items()
    for word in (flag(name), *map(str, value if isinstance(value, tuple) else [value]))
]


def test_the_command_lists_its_programs(capsys):
    assert cli.main(["mtl"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in PROGRAMS)
    assert cli.main(["mtl", "evalaute"]) == 2
    assert "did you mean 'evaluate'" in capsys.readouterr().err
    assert cli.main(["mtl", "train", "--shot", "3"]) == 2
    assert "even number" in capsys.readouterr().err


@pytest.mark.parametrize(("area", "study"), [("mtl", "digits"), ("mtl", "join"), ("rl", "estimators")])
def test_a_study_is_shown_its_place_in_a_sentence(area, study, capsys):
    assert cli.main([area, study, "--seeds", "3"]) == 2
    assert capsys.readouterr().err == (
        f"jmeta: jmeta {area} {study} is a study of the repository: "
        f"in a checkout, run python -m scripts.{area}.{study}.\n"
    )


@pytest.mark.parametrize("area", [active, continual, mtl, optimizers, rl])
def test_studies_are_where_it_is_said(area):
    folder = Path(__file__).parents[2] / "scripts" / area.__name__.rpartition(".")[2]
    found = {path.stem for path in folder.glob("*.py") if "\n    program(" in path.read_text()}
    assert found == set(area.STUDIES)


def read(path):
    return json.loads(path.read_text())


TRAIN = ["mtl", "train", *WORDS, "--outer-steps", "4", "--log-every", "1", "--save-every", "2"]


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("join") / "one"
    assert cli.main([*TRAIN, "--run-dir", str(run_dir)]) == 0
    return run_dir


def evaluated(run_dir, runs):
    """The rows that stand beside each other, of so many runs."""
    assert cli.main(["mtl", "evaluate", "--run-dir", str(run_dir), "--problems", "4"]) == 0
    found = read(run_dir / "evaluation.json")
    assert found["runs"] == runs and found["problems"] == 4
    assert set(found["rows"]) == {"the join", "without joint steps", "each task trained on alone"}
    assert all(0 <= row["accuracy"] <= 1 for row in found["rows"].values())


def test_the_join_is_trained_and_evaluated_like_any_experiment(one, capsys, monkeypatch):
    """A run folder with versions, devices and the best checkpoint."""
    rows = [json.loads(line) for line in (one / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4] and "val_accuracy" in rows[1]
    stored = read(one / "config.json")
    assert stored["experiment"] == "join" and stored["devices"] == 1 and stored["joint_steps"] == 1
    assert stored["facts"]["versions"]["jax"] and stored["facts"]["validation"] in ("train", "val")
    again = cli.main(["mtl", "train", "--run-dir", str(one), "--resume"])
    assert again == 0 and "nothing is left to do" in capsys.readouterr().out
    evaluated(one, 1)
    monkeypatch.setattr("jmeta.runs.engine.devices._memory", lambda: 2.0**30)
    assert cli.main(["mtl", "evaluate", "--run-dir", str(one), "--problems", "100000000"]) == 2
    assert "the tasks of --problems 100000000 take 2.24 GiB" in capsys.readouterr().err


@pytest.mark.long
def test_a_join_starts_from_the_parameters_of_another(one, tmp_path):
    started = [*TRAIN, "--outer-lr", "1e-30", "--init-from", str(one), "--run-dir", str(tmp_path / "started")]
    assert cli.main(started) == 0
    mine, theirs = (checkpoints.params_of(path) for path in (tmp_path / "started", one))
    assert all(np.array_equal(mine[name], theirs[name]) for name in theirs) and mine


@pytest.mark.long
def test_seeds_and_a_swept_rate_are_one_program(tmp_path):
    group = tmp_path / "group"
    assert cli.main([*TRAIN, "--seeds", "2", "--sweep", "joint_lr=0.1,0.5", "--run-dir", str(group)]) == 0
    names = ["seed0-joint_lr0.1", "seed0-joint_lr0.5", "seed1-joint_lr0.1", "seed1-joint_lr0.5"]
    assert sorted(path.parent.name for path in group.glob("*/config.json")) == names
    assert set(read(group / "summary.json")["members"]) == set(names)
    evaluated(group, 4)


@pytest.mark.long
def test_two_devices_train_what_one_does(tmp_path):
    words = ["mtl", "train", *WORDS, "--meta-batch-size", "2", "--log-every", "1", "--save-every", "2"]
    losses = []
    for number in (1, 2):
        run_dir = tmp_path / str(number)
        assert cli.main([*words, "--devices", str(number), "--run-dir", str(run_dir)]) == 0
        assert read(run_dir / "config.json")["devices"] == number
        losses.append([json.loads(line)["loss"] for line in (run_dir / "metrics.jsonl").read_text().splitlines()])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.long
def test_a_join_that_is_stopped_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    words = ["mtl", "train", *WORDS, "--outer-steps", "4", "--log-every", "1", "--save-every", "4"]
    assert cli.main([*words, "--run-dir", str(tmp_path / "whole")]) == 0
    rounds = train_file._round

    def interrupted(run, states, step, diverged):
        if step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return rounds(run, states, step, diverged)

    monkeypatch.setattr(train_file, "_round", interrupted)
    assert cli.main([*words, "--run-dir", str(tmp_path / "cut")]) == 143
    monkeypatch.undo()
    assert cli.main(["mtl", "train", "--run-dir", str(tmp_path / "cut"), "--resume"]) == 0
    states = []
    for name in ("whole", "cut"):
        with checkpoints.opened(tmp_path / name / "checkpoints", read_only=True) as kept:
            assert checkpoints.newest(kept) == 4
        stored = read(tmp_path / name / "checkpoints" / "4" / "record" / "metadata")
        states.append(stored["digest"])
    assert states[0] == states[1]
