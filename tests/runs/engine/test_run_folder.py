import importlib
import io
import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from small_runs import TINY, assert_same_run, poisoned, rows_of

from jmeta.errors import DivergedError
from jmeta.runs.engine import checkpoints, folder, programs
from jmeta.runs.engine.options import Options
from jmeta.runs.few_shot import settings_of, train
from jmeta.settings import replaced

pytestmark = pytest.mark.standard_promotion
train_file = importlib.import_module("jmeta.runs.engine.train")


def names_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())


def test_a_run_folder_records_the_experiment(finished, shapes):
    stored = json.loads((finished / "config.json").read_text())
    assert stored["dataset"] == shapes and stored["algorithm"] == "maml" and stored["way"] == 2
    facts = stored["facts"]
    assert facts["protocol"] == "classes" and len(facts["split_hash"]) == 16 and len(facts["checksum"]) == 64
    assert facts["parameters"] == 64 * 16 + 16 + 16 * 2 + 2
    assert facts["versions"]["jax"] and facts["device"] and stored["outer_steps"] == 20
    rows = rows_of(finished)
    assert [row["step"] for row in rows] == [5, 10, 15, 20]
    assert all(np.isfinite(row["loss"]) and 0 <= row["accuracy"] <= 1 for row in rows)
    assert ["val_accuracy" in row for row in rows] == [False, True, False, True]
    kept = {int(path.name) for path in (finished / "checkpoints").iterdir()}
    assert 20 in kept and kept <= {10, 20}


def test_training_learns(finished):
    rows = rows_of(finished)
    assert rows[-1]["val_accuracy"] > 0.6


def test_a_run_folder_is_not_trained_in_twice(refused, finished, shapes):
    before = {name: (finished / name).read_bytes() for name in names_in(finished)}
    assert "already holds a run" in refused("train", "--dataset", shapes, *TINY, "--run-dir", finished)
    assert {name: (finished / name).read_bytes() for name in names_in(finished)} == before


def test_resuming_names_what_differs(refused, finished, shapes):
    words = ("train", "--dataset", shapes, *TINY, "--run-dir", finished, "--resume")
    message = refused(*words, "--shot", 2, "--outer-steps", 10)
    assert "--shot 1, not 2" in message and "--outer-steps 20, not 10" in message and "--way" not in message
    assert "--algorithm maml, not fomaml" in refused(
        "train", "--run-dir", finished, "--resume", "--algorithm", "fomaml"
    )


def test_a_finished_run_says_so(cli, finished, shapes):
    for words in (["--dataset", shapes, *TINY], []):
        result = cli("train", *words, "--run-dir", finished, "--resume")
        assert result.code == 0 and "nothing is left to do" in result.out, result


def test_a_folder_of_other_things_is_left_alone(refused, shapes, tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    assert "is no run folder" in refused("train", "--dataset", shapes, *TINY, "--run-dir", tmp_path)
    assert names_in(tmp_path) == ["thesis.tex"]


def test_other_data_under_the_same_name_are_refused(cli, refused, shapes, tmp_path):
    copy = tmp_path / "copy.npz"
    copy.write_bytes(Path(shapes).read_bytes())
    words = ("train", "--dataset", copy, *TINY, "--run-dir", tmp_path / "run")
    assert cli(*words).code == 0
    with np.load(copy) as file:
        np.savez(copy, images=255 - file["images"])
    assert "other data" in refused(*words, "--resume")


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_a_resumed_run_is_the_same(cli, finished, shapes, tmp_path, monkeypatch, asked):
    words = ("train", "--dataset", shapes, *TINY, "--run-dir", tmp_path / "run")
    rounds = train_file._round

    def interrupted(run, states, step, diverged):
        if step == 15:
            os.kill(os.getpid(), asked)
        return rounds(run, states, step, diverged)

    monkeypatch.setattr(train_file, "_round", interrupted)
    result = cli(*words)
    assert result.code == 128 + asked
    assert "step 15" in result.err and "--resume" in result.err
    assert [row["step"] for row in rows_of(tmp_path / "run")] == [5, 10, 15]
    assert (tmp_path / "run" / "checkpoints" / "15").is_dir()
    monkeypatch.undo()
    assert cli("train", "--run-dir", tmp_path / "run", "--resume").code == 0
    assert_same_run(finished, tmp_path / "run")


def test_rows_after_the_last_checkpoint_are_written_again(cli, finished, shapes, tmp_path, monkeypatch):
    words = ("train", "--dataset", shapes, *TINY, "--run-dir", tmp_path / "run")
    saves = checkpoints.save

    def killed(kept, state, score):
        if int(state.step) == 20:
            raise KeyboardInterrupt
        saves(kept, state, score)

    monkeypatch.setattr(checkpoints, "save", killed)
    assert cli(*words).code == 130
    metrics = tmp_path / "run" / "metrics.jsonl"
    assert rows_of(tmp_path / "run")[-1]["step"] == 20
    metrics.write_text(metrics.read_text() + '{"step": 25, "lo')
    (tmp_path / "run" / "checkpoints" / "20.orbax-checkpoint-tmp").mkdir()
    monkeypatch.undo()
    assert cli(*words, "--resume").code == 0
    assert_same_run(finished, tmp_path / "run")
    assert not list((tmp_path / "run").rglob("*tmp*"))


def test_nan_stops_and_names_the_step_and_keeps_the_last_checkpoint(refused, shapes, tmp_path, monkeypatch):
    monkeypatch.setattr(programs, "compiled", poisoned(programs.compiled, 13))
    message = refused("train", "--dataset", shapes, *TINY, "--run-dir", tmp_path / "run")
    assert "at step 13" in message and "checkpoint of step 10 is kept" in message
    assert rows_of(tmp_path / "run")[-1]["step"] == 10
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["10"]


def test_training_that_diverges_stops(refused, shapes, tmp_path):
    message = refused("train", "--dataset", shapes, *TINY, "--inner-lr", 1e38, "--run-dir", tmp_path / "run")
    assert "diverged" in message and "no checkpoint yet" in message
    assert not rows_of(tmp_path / "run")


def test_a_full_disk_leaves_the_rows_whole(refused, shapes, tmp_path, monkeypatch):
    class Full(io.FileIO):
        def write(self, data):
            if self.tell() > 250:
                super().write(bytes(data)[:7])
                raise OSError(28, os.strerror(28), self.name)
            return super().write(data)

    monkeypatch.setattr(folder, "open", lambda path, mode, buffering: Full(path, mode.replace("b", "")), raising=False)
    message = refused("train", "--dataset", shapes, *TINY, "--run-dir", tmp_path / "run")
    assert "No space left on device" in message
    text = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert text.endswith("}\n") and len(rows_of(tmp_path / "run")) == len(text.splitlines()) >= 1


def test_a_full_disk_leaves_the_checkpoint_before(refused, cli, finished, shapes, tmp_path, monkeypatch):
    words = ("train", "--dataset", shapes, *TINY, "--run-dir", tmp_path / "run")
    usage, asked = shutil.disk_usage(tmp_path), []

    def usage_of(path):
        asked.append(path)
        return usage if len(asked) == 1 else usage._replace(free=5000)

    monkeypatch.setattr(shutil, "disk_usage", usage_of)
    message = refused(*words)
    assert "checkpoint of step 20 could not be written" in message and "No space left" in message
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["10"]
    monkeypatch.undo()
    assert cli(*words, "--resume").code == 0
    assert_same_run(finished, tmp_path / "run")


def small(shapes, run_dir, resume=False, **changes):
    values = {
        "dataset": shapes, "way": 2, "query_shot": 2, "network": "mlp", "features": (16,), "norm": "none",
        "inner_lr": 0.5, "meta_batch_size": 4, "outer_steps": 20, "val_episodes": 5,
    }  # fmt: skip
    options = Options(run_dir=str(run_dir), resume=resume, log_every=5, save_every=10)
    return settings_of(**{**values, **changes}), options


def test_training_that_diverges_is_told_from_other_errors(shapes, tmp_path):
    with pytest.raises(DivergedError, match="diverged"):
        train(*small(shapes, tmp_path / "run", inner_lr=1e38))


def test_compiling_is_timed_apart_from_the_steps_at_each_start(shapes, tmp_path):
    run_dir = tmp_path / "run"

    def after_two_rows():
        rows = tmp_path / "run" / "metrics.jsonl"
        return signal.SIGTERM if rows.exists() and len(rows.read_text().splitlines()) == 2 else None

    assert train(*small(shapes, run_dir), stop=after_two_rows).step == 10
    rows = train(*small(shapes, run_dir, resume=True)).rows
    assert ["compile_seconds" in row for row in rows] == [True, False, True, False]
    assert all(row["seconds"] < row["compile_seconds"] for row in rows if "compile_seconds" in row)


def test_a_checkpoint_that_the_clock_asks_for_is_not_validated(shapes, tmp_path, monkeypatch):
    kept, saves = [], checkpoints.save

    def save(folder, state, score):
        kept.append((int(state.step), score is not None))
        saves(folder, state, score)

    monkeypatch.setattr(checkpoints, "save", save)
    rows = train(*small(shapes, tmp_path / "run"), save_seconds=0.0).rows
    assert kept == [(5, False), (10, True), (15, False), (20, True)]
    assert ["val_accuracy" in row for row in rows] == [False, True, False, True]
    kept.clear()
    train(*small(shapes, tmp_path / "seldom"), save_seconds=1e6)
    assert kept == [(10, True), (20, True)]


def test_train_is_a_function(shapes, tmp_path):
    result = train(*small(shapes, tmp_path / "run", outer_steps=3))
    assert result.step == 3 and result.stopped_by is None and len(result.rows) == 1
    assert int(result.states[""].step) == 3 and result.run_dir == tmp_path / "run"


def test_a_run_is_its_own_preset(cli, finished, shapes, tmp_path):
    """`config.json` given back makes the same run, and a flag beside it wins."""
    again = cli("train", "--config", finished / "config.json", "--run-dir", tmp_path / "again")
    assert again.code == 0, again.err
    assert_same_run(finished, tmp_path / "again")
    other = cli("train", "--config", finished / "config.json", "--seed", 1, "--run-dir", tmp_path / "other")
    assert other.code == 0 and rows_of(tmp_path / "other") != rows_of(finished)


def test_a_file_of_settings_is_read(cli, refused, finished, shapes, tmp_path):
    stored = json.loads((finished / "config.json").read_text())
    lines = [f"{name} = {json.dumps(stored[name])}" for name in ("dataset", "way", "query_shot", "network", "features")]
    lines += [f"{name} = {json.dumps(stored[name])}" for name in ("norm", "inner_lr", "outer_lr", "meta_batch_size")]
    lines += ["outer_steps = 20", "log_every = 5", "save_every = 10", "val_episodes = 10", "devices = 1"]
    mine = tmp_path / "mine.toml"
    mine.write_text("\n".join(lines))
    assert cli("train", "--config", mine, "--run-dir", tmp_path / "run").code == 0
    assert_same_run(finished, tmp_path / "run")
    mine.write_text("\n".join([*lines, "inner_setps = 2"]))
    message = refused("train", "--config", mine, "--run-dir", tmp_path / "no")
    assert "inner_setps" in message and "did you mean inner_steps?" in message
    mine.write_text("way = ")
    assert "can't be read" in refused("train", "--config", mine, "--run-dir", tmp_path / "no")
    assert "is not there" in refused("train", "--config", tmp_path / "nowhere.toml", "--run-dir", tmp_path / "no")


@pytest.mark.parametrize("devices", [1, 2])
def test_a_step_is_traced_once(shapes, tmp_path, monkeypatch, devices):
    """Most of a warm start is tracing. Shapes without their devices, or shapes and loop apart, would be four times."""
    traced, steps = [], programs.loop.steps

    def counted(update, state, count):
        def one(state):
            traced.append("step")
            return update(state)

        return steps(one, state, count)

    monkeypatch.setattr(programs.loop, "steps", counted)
    settings, options = small(shapes, tmp_path / "run")
    train(settings, replaced(options, {"devices": devices}))
    assert traced == ["step"]
