"""The Omniglot study: its runs, its table, and what has no place in it."""

from pathlib import Path

import pytest

from jmeta.algorithms.settings import inner_steps
from jmeta.errors import RunError
from jmeta.runs.few_shot.settings import check
from jmeta.settings import replaced
from scripts.few_shot import omniglot
from scripts.study import run


def test_omniglot_settings_are_the_preset_shortened_or_whole():
    short = omniglot.settings(omniglot.Config(), "fomaml", 5, 1, 3)
    whole = omniglot.settings(omniglot.Config(published=True), "fomaml", 5, 1, 3)
    outer = short.settings.outer
    assert (outer.outer_steps, outer.outer_schedule, short.options.seed) == (1500, "cosine", 3)
    outer = whole.settings.outer
    assert (outer.outer_steps, outer.outer_schedule, outer.outer_lr) == (60_000, "constant", 1e-3)
    assert short.options.run_dir != whole.options.run_dir


def test_omniglot_trains_once_for_all_sizes_that_a_run_can_serve():

    def runs(algorithm, **settings):
        config = omniglot.Config(**settings)
        found = {size: omniglot.settings(config, algorithm, *size, 0) for size in ((5, 1), (5, 5), (20, 1), (20, 5))}
        for own in found.values():
            check(own.settings, own.options)
        sizes = {size: (run.settings.tasks.way, run.settings.tasks.shot) for size, run in found.items()}
        return sizes, {run.options.run_dir for run in found.values()}

    for name, way, shot in omniglot.SHORT:
        learner = omniglot.settings(omniglot.Config(), name, way, shot, 0).settings.learner
        assert inner_steps(learner, training=False) >= inner_steps(learner, training=True), name
    once = dict.fromkeys(((5, 1), (5, 5), (20, 1), (20, 5)), (5, 1))
    assert runs("matching") == (once, {"runs/omniglot/preset-matching-seed0"})
    assert runs("prototypical")[1] == {"runs/omniglot/start-seed0"}
    assert runs("cavia")[0] == {(5, 1): (5, 1), (5, 5): (5, 1), (20, 1): (20, 1), (20, 5): (20, 1)}
    assert runs("maml")[0] == {size: size for size in once}
    assert runs("maml", published=True)[0] == {size: size for size in once}
    assert len(runs("maml", published=True)[1]) == 4
    assert {name for name, _, _ in omniglot.PUBLISHED} | {name for name, _, _ in omniglot.SHORT} < set(
        omniglot.ALGORITHMS
    )


def test_omniglot_says_which_runs_start_from_another():
    """Catches a start that the folder's name hides, a start of another seed, and one of the paper's own setting."""
    warm = omniglot.settings(omniglot.Config(), "anil", 20, 1, 3)
    begun = omniglot.beginning(omniglot.Config(), 3)
    assert Path(str(warm.options.run_dir)).name == "warm-anil-20w1s-seed3"
    assert warm.options.init_from == begun.options.run_dir == "runs/omniglot/start-seed3"
    assert begun.options.seed == 3 and begun.settings.network == warm.settings.network
    for cold in (
        omniglot.settings(omniglot.Config(), "maml", 5, 1, 3),
        omniglot.settings(omniglot.Config(), "matching", 20, 1, 3),
        omniglot.settings(omniglot.Config(published=True), "anil", 20, 1, 3),
    ):
        assert cold.options.init_from is None and "warm" not in str(cold.options.run_dir)


def rows_of(accuracy, trained, seconds=60.0, steps=600):
    found = {"accuracy": accuracy, "ci95": 0.004, "inductive_accuracy": accuracy - 0.1, "inductive_ci95": 0.005}
    return [{"trained": list(trained), "steps": steps, "seconds": seconds, "evaluation": found}]


def test_omniglot_table_shows_intervals_of_episodes_or_of_seeds():
    one = rows_of(0.975, (5, 1))
    assert omniglot._cell(one) == "97.5 +- 0.4"
    one[0]["evaluation"]["inductive_accuracy"] = None
    assert omniglot._cell(one, "inductive_") == "-"
    # Student's t of one degree of freedom, 12.706, times a standard deviation of sqrt(2), over sqrt(2)
    assert omniglot._cell([*rows_of(0.97, (5, 1)), *rows_of(0.99, (5, 1))]) == "98.0 +- 12.7 (2 seeds)"


def test_omniglot_table_has_a_line_for_each_learner_best_first():
    cells = {
        ("maml", 5, 1): rows_of(0.9, (5, 1), 120),
        ("maml", 20, 1): rows_of(0.8, (20, 1), 180),
        ("matching", 5, 1): rows_of(0.95, (5, 1), 240),
        ("matching", 20, 1): rows_of(0.85, (5, 1), 240),
        ("ridge", 20, 1): rows_of(0.7, (5, 1), 60),
    }
    head, _, *lines = omniglot.show(cells).table.splitlines()
    assert head == "| learner | 5-way 1-shot | published | 20-way 1-shot | published | minutes |"
    cells["maml", 5, 1][0]["evaluation"] |= {"floor_accuracy": 0.4, "floor_ci95": 0.002}
    *_, floor = (line for line in omniglot.show(cells).table.splitlines() if line.startswith("| nearest"))
    assert floor == "| nearest class mean of pixels | 40.0 +- 0.2 | - | - | - | - |"
    assert lines[:3] == [
        "| matching | 95.0 +- 0.4 | 98.1 | 85.0 +- 0.4 | 93.8 | 4 |",
        "| maml | 90.0 +- 0.4 | 98.7 +- 0.4 | 80.0 +- 0.4 | 95.8 +- 0.3 | 5 |",
        "| ridge | - | - | 70.0 +- 0.4 | - | 1 |",
    ]
    assert "| maml | 80.0 +- 0.5 | 70.0 +- 0.5 |" in lines
    assert "- maml: 600 steps of 5-way 1-shot, 600 steps of 20-way 1-shot." in lines
    assert "- matching: 600 steps." in lines


@pytest.mark.long
def test_omniglot_trains_a_run_once_and_tests_it_at_each_size(tmp_path, monkeypatch):
    """Catches a run that is trained for each cell, a test at another size, and rows that a second start measures."""
    made = omniglot.settings
    small = {
        "dataset": "glyphs:60", "split": "default", "network": "mlp", "features": (4,), "outer_steps": 2, "way": 5,
        "train_way": None, "query_shot": 2, "val_episodes": 5, "devices": 1, "log_every": 1, "save_every": 2,
    }  # fmt: skip
    monkeypatch.setattr(omniglot, "settings", lambda *args: replaced(made(*args), small))
    config = omniglot.Config(algorithms=("matching",), ways=(5,), episodes=4, run_dir=str(tmp_path))
    rows = run(omniglot.study, config)["rows"]
    assert list(rows) == [f"preset-matching-seed0, 5-way {shot}-shot, 4 episodes" for shot in (1, 5)]
    assert [row["evaluation"]["shot"] for row in rows.values()] == [1, 5]
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["preset-matching-seed0"]
    monkeypatch.setattr(omniglot, "measure", lambda *_: pytest.fail("measured again"))
    assert run(omniglot.study, config)["rows"] == rows


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"shots": (3,)}, "there is no column for shot 3: choose from 1 and 5"),
        ({"ways": (10,)}, "there is no column for way 10: choose from 5 and 20"),
        ({"algorithms": ("mammal",)}, "did you mean 'maml'"),
        ({"seeds": ()}, "give at least one of each"),
    ],
)
def test_omniglot_refuses_what_has_no_place_in_its_table(settings, words):
    with pytest.raises(RunError, match=words):
        run(omniglot.study, omniglot.Config(**settings))
