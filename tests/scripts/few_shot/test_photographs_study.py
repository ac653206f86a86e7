"""The study of CIFAR-FS and FC100: its runs, and its table."""

import pytest

from jmeta.errors import RunError
from jmeta.runs.few_shot.settings import check
from jmeta.settings import replaced
from scripts.few_shot import photographs
from scripts.few_shot.photographs import ROWS, Config
from scripts.study import run

pytestmark = pytest.mark.standard_promotion


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_a_run_that_can_be_trained(name):
    """Catches settings that a learner does not have, and a start with another network."""
    row = ROWS[name]
    own = {shot: photographs.whole(Config(seed=3), name, shot) for shot in (1, 5)}
    for shot, found in own.items():
        check(found.settings, found.options)
        assert found.options.seed == 3 and found.settings.tasks.dataset == "cifar-fs"
        assert found.settings.tasks.shot == (5 if row.by_shot is None else shot)
        own_steps = (row.by_shot or {}).get(shot, row.changes)["outer_steps"]
        assert found.settings.outer.outer_steps == own_steps
        if row.start is not None:
            begun = photographs.whole(Config(seed=3), row.start, shot)
            assert found.options.init_from == begun.options.run_dir and begun.options.seed == 3
            assert found.settings.network == begun.settings.network
    assert (own[1].options.run_dir != own[5].options.run_dir) == (row.by_shot is not None)


def test_the_table_has_the_floor_first():
    """Catches minutes of a run that are counted for each of its tests, and a floor of other episodes."""
    row = lambda accuracy: {
        "steps": 9, "seconds": 120.0,
        "evaluation": {"accuracy": accuracy, "ci95": 0.01, "floor_accuracy": accuracy / 2, "floor_ci95": 0.02},
    }  # fmt: skip
    cells = {
        (name, shot, mirror): row(0.1 * shot + 0.3 + 0.01 * mirror)
        for name in ("prototypical", "rfs+maml")
        for shot in (1, 5)
        for mirror in (False, True)
    }
    head, _, *lines = photographs.show(Config(), cells).table.splitlines()
    assert head == "| learner | 5-way 1-shot | published | 5-way 5-shot | published | minutes |"
    assert lines == [
        "| nearest class mean of pixels | 20.0 +- 2.0 | - | 40.0 +- 2.0 | - | - |",
        "| prototypical | 40.0 +- 1.0 | 55.5 +- 0.7 | 80.0 +- 1.0 | 72.0 +- 0.6 | 2 |",
        "| prototypical, mirrored too | 41.0 +- 1.0 | - | 81.0 +- 1.0 | - | 2 |",
        "| rfs+maml | 40.0 +- 1.0 | 58.9 +- 1.9 | 80.0 +- 1.0 | 71.5 +- 1.0 | 4 |",
        "| rfs+maml, mirrored too | 41.0 +- 1.0 | - | 81.0 +- 1.0 | - | 4 |",
    ]


def test_a_start_is_trained_once_and_gone_on_from(tmp_path, monkeypatch):
    made = photographs.whole
    small = {
        "dataset": "glyphs:60", "network": "mlp", "features": (4,), "augment": "none", "outer_steps": 2,
        "train_way": None, "val_episodes": 5, "devices": 1, "log_every": 1, "save_every": 2,
    }  # fmt: skip
    monkeypatch.setattr(photographs, "whole", lambda *args: replaced(made(*args), small))
    config = Config(learners=("rfs+ridge", "rfs"), shots=(1,), mirror=True, episodes=4, run_dir=str(tmp_path))
    rows = run(photographs.study, config)["rows"]
    titles = [f"cifar-fs-{name}-seed0, 1-shot, 4 episodes" for name in ("rfs+ridge", "rfs")]
    assert [*rows] == [title + end for title in titles for end in ("", ", mirrored")]
    for title, row in rows.items():
        found = row["evaluation"]
        assert found["views"] == ("mirror" if title.endswith("mirrored") else "one")
        assert (found["way"], found["shot"], found["query_shot"], found["statistics"]) == (5, 1, 15, "train")
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == [
        "cifar-fs-rfs+ridge-seed0",
        "cifar-fs-rfs-seed0",
    ]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"learners": ("rfs+mamml",)}, "did you mean 'rfs\\+maml'"),
        ({"learners": ()}, "give at least one of each"),
        ({"shots": ()}, "give at least one of each"),
    ],
)
def test_what_has_no_row_is_refused(settings, words):
    with pytest.raises(RunError, match=words):
        run(photographs.study, Config(**settings))
