"""Learners of every kind through the command line: trained, resumed, and shown another way and shot."""

import dataclasses
import json
import signal

import pytest
from small_runs import TINY, assert_same_run, rows_of

from jmeta.runs import train
from jmeta.runs.config import from_dict

pytestmark = pytest.mark.standard_promotion


@pytest.mark.parametrize(
    ("algorithm", "flags"),
    [
        ("prototypical", ("--train-way", 4)),
        ("baseline", ()),
        ("baseline++", ("--rotations",)),
        ("maml++", ("--inner-steps", 2, "--inner-lr", 0.1)),
        ("imaml", ("--regularization", 0.5, "--inner-steps", 4)),
    ],
)
def test_a_learner_of_another_kind_trains_and_serves_other_tasks(cli, shapes, tmp_path, algorithm, flags):
    words = ["train", "--dataset", shapes, "--algorithm", algorithm, *TINY, *flags]
    result = cli(*words, "--run-dir", tmp_path / "run")
    assert result.code == 0, result.err
    assert rows_of(tmp_path / "run")[-1]["val_accuracy"] > 0.6
    result = cli("evaluate", "--run-dir", tmp_path / "run", "--way", 3, "--shot", 2, "--episodes", 30)
    assert result.code == 0, result.err
    found = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert found["accuracy"] > 0.45 and (found["way"], found["shot"]) == (3, 2)
    assert found["steps"][-1]["accuracy"] == found["accuracy"]


def test_a_schedule_goes_on_where_it_stopped(cli, shapes, tmp_path):
    words = ["train", "--dataset", shapes, "--algorithm", "maml++", *TINY, "--inner-lr", 0.1, "--inner-steps", 2]
    assert cli(*words, "--run-dir", tmp_path / "whole").code == 0
    stored = from_dict(json.loads((tmp_path / "whole" / "config.json").read_text()))
    config = dataclasses.replace(stored, run_dir=str(tmp_path / "cut"), resume=True)
    asked = iter([None, None])
    assert train(config, stop=lambda: next(asked, signal.SIGTERM)).stopped_by == signal.SIGTERM
    assert 0 < rows_of(tmp_path / "cut")[-1]["step"] < 20
    assert train(config).step == 20
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


def test_a_learner_without_an_inner_loop_refuses_its_settings(refused, shapes):
    words = ("train", "--dataset", shapes, "--algorithm", "prototypical", "--inner-steps", 3)
    assert "prototypical has no inner loop" in refused(*words)
    assert "imaml alone" in refused("train", "--dataset", shapes, "--regularization", 1.0)
    assert "baseline learns from all training classes" in refused(
        "train", "--dataset", "linear", "--algorithm", "baseline"
    )
