"""The sinusoid study, run small: its numbers move the way the published ones do."""

import numpy as np
import pytest

from jmeta.errors import RunError
from scripts.few_shot import sinusoid
from scripts.study import run


@pytest.mark.long
def test_sinusoid_learns_to_learn_and_keeps_its_record(tmp_path):
    config = sinusoid.Config(algorithms=("fomaml",), outer_steps=2000, seeds=2, tasks=300, run_dir=str(tmp_path))
    result = run(sinusoid.study, config)["rows"]["fomaml"]
    after_1, after_5, after_10 = result["median"]
    # The mean curve, which is the best answer without a look at the support set, has a median of 1.9.
    # It was trained for one step: the next ones still help, and whether the tenth does is left to rounding.
    assert after_1 > 1.2 * max(after_5, after_10)
    assert after_10 < 1.2
    assert len(result["mean_of_seed"]) == 2
    assert result["mean_of_seed"][0] != result["mean_of_seed"][1]
    table = (tmp_path / "table.md").read_text()
    assert f"| {after_1:.2f} / {after_5:.2f} / {after_10:.2f} |" in table and "| maml (paper) | 0.67 |" in table


def test_sinusoid_refuses_an_unknown_learner():
    with pytest.raises(RunError, match="did you mean 'maml'"):
        run(sinusoid.study, sinusoid.Config(algorithms=("mammal",)))


def test_sinusoid_refuses_more_tasks_than_memory_has_room_for(tmp_path, monkeypatch):
    monkeypatch.setattr("jmeta.runs.engine.devices._memory", lambda: 2.0**30)
    with pytest.raises(RunError, match="the tasks of --tasks 100000000 take 2"):
        run(sinusoid.study, sinusoid.Config(tasks=10**8, run_dir=str(tmp_path / "run")))


def test_sinusoid_summary_counts_divergence():
    errors = np.array([[[1.0, 3.0], [1.0, 3.0], [1e6, 1.0]]])
    result = sinusoid.summary(errors, 1.0)
    assert result["mean"][0] == 2.0
    np.testing.assert_allclose(result["ci95"][0], 12.7062 * np.sqrt(2.0) / np.sqrt(2), rtol=1e-5)
    assert result["diverged"] == [0.0, 0.0, 0.5]
