"""`--tensorboard`: the numbers of `metrics.jsonl` as events, each step once."""

import struct
import sys

import pytest
from small_runs import TINY

from jmeta.runs.engine.folder import METRICS, read_rows

pytestmark = pytest.mark.standard_promotion


def events_of(run_dir):
    """The steps and scalars of the one file of events, `(step, {tag: value})`, in its order, without its start."""
    proto = pytest.importorskip("tensorboardX.proto.event_pb2")
    (path,) = run_dir.glob("events.out.tfevents.*")
    content, found, place = path.read_bytes(), {}, 0
    while place < len(content):
        (length,) = struct.unpack_from("<Q", content, place)  # and a checksum of each, of four bytes
        event = proto.Event.FromString(content[place + 12 : place + 12 + length])
        place += 16 + length
        for value in event.summary.value:
            assert value.tag not in found.setdefault(event.step, {}), "a step is there twice"
            found[event.step][value.tag] = value.simple_value
    return list(found.items())


def assert_same_numbers(run_dir):
    rows = read_rows(run_dir / METRICS)
    found = events_of(run_dir)
    assert [step for step, _ in found] == [row["step"] for row in rows]
    for (_, scalars), row in zip(found, rows, strict=True):
        assert scalars == pytest.approx({name: value for name, value in row.items() if name != "step"}, rel=1e-6)


def test_each_row_is_there_once_also_of_a_run_that_went_on(cli, shapes, tmp_path):
    """Catches rows of after the checkpoint that are kept, and events that start in the middle."""
    pytest.importorskip("tensorboardX")
    run = tmp_path / "run"
    assert cli("train", "--dataset", shapes, *TINY, "--run-dir", run).code == 0
    assert not list(run.glob("events*"))
    longer = ("--outer-steps", 30, "--run-dir", run, "--resume")
    assert cli("train", *longer, "--tensorboard").code == 0
    assert_same_numbers(run)
    with open(run / METRICS, "a") as file:
        file.write('{"step": 35, "loss": 7.0}\n')  # of a kill before the next checkpoint
    assert cli("train", "--outer-steps", 40, "--run-dir", run, "--resume", "--tensorboard").code == 0
    assert_same_numbers(run)
    assert events_of(run)[-1][0] == 40 and dict(events_of(run))[35]["loss"] != 7.0


def test_each_run_of_a_group_has_its_own(cli, shapes, tmp_path):
    pytest.importorskip("tensorboardX")
    words = ("--dataset", shapes, *TINY, "--seeds", 2, "--tensorboard", "--run-dir", tmp_path / "group")
    assert cli("train", *words).code == 0
    for name in ("seed0", "seed1"):
        assert_same_numbers(tmp_path / "group" / name)
    assert not list((tmp_path / "group").glob("events*"))


def test_without_what_writes_them_it_says_so_before_it_begins(refused, shapes, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    said = refused("train", "--dataset", shapes, *TINY, "--tensorboard", "--run-dir", tmp_path / "run")
    assert "pip install 'jmeta[tensorboard]'" in said and not (tmp_path / "run").exists()
