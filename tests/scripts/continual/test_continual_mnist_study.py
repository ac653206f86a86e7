"""The study of split and permuted digits, small."""

import numpy as np
import pytest

from jmeta.continual.metrics import task_metrics
from jmeta.errors import RunError
from scripts.continual.mnist import Config, Training, study
from scripts.study import run


def config(tmp_path, **values):
    small = Training(hidden=(4,), steps=2, batch_size=4, fisher_examples=2, memory_size=4)
    sizes = {"dataset": "glyphs:4", "sizes": (4, 2, 2), "seeds": 2, "tune_seeds": 1, "tasks": 2, "draw": False}
    return Config(run_dir=str(tmp_path / "study"), training=small, **sizes | values)


@pytest.mark.parametrize(
    "values",
    [
        {"scenarios": ("class",), "methods": ("none",)},
        pytest.param({"scenarios": ("task", "domain", "class")}, marks=pytest.mark.long),
        pytest.param({"sequence": "permuted", "scenarios": ("domain",)}, marks=pytest.mark.long),
    ],
)
def test_rows_have_each_seed_and_what_was_chosen(tmp_path, values):
    """Catches a row whose seeds are alike, a table with other rows' numbers, and a setting that no candidate is."""
    found = run(study, config(tmp_path, **values))
    for name, row in found["rows"].items():
        r = np.array(row["accuracy"])
        assert r.shape == (2, 2, 2) and np.shape(row["before"]) == (2, 2)
        np.testing.assert_allclose(found["summary"][name]["retained"]["mean"], task_metrics(r).retained.mean())
        assert bool(row["chosen"]) == (name.split()[1] in ("ewc", "la-maml"))
    table = (tmp_path / "study/table.md").read_text()
    assert table.count("\n") == 2 + len(found["rows"])


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"methods": ("non",)}, "--methods must be of none, ewc"),
        ({"scenarios": ()}, "--scenarios must be of task, domain, class, got none"),
        ({"sizes": (4000, 1, 1)}, "--sizes add up to 4002"),
        ({"dataset": "glyphs:3"}, "take another --dataset"),
    ],
)
def test_what_can_not_be_measured_is_refused(tmp_path, values, said):
    with pytest.raises(RunError, match=said):
        study(config(tmp_path, **values))
