"""The programs of scripts/, run small: their numbers move the way the published ones do."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from jmeta.runs.engine.progress import silent
from jmeta.runs.engine.train import Result
from jmeta.runs.few_shot.settings import check

SCRIPTS = Path(__file__).parents[1] / "scripts"


def load(name):
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where the source of a class is looked for
    spec.loader.exec_module(module)
    return module


@pytest.mark.standard_promotion
def test_sinusoid_learns_to_learn_and_keeps_its_record(tmp_path):
    sinusoid, output = load("sinusoid"), tmp_path / "sinusoid.json"
    config = sinusoid.Config(algorithms=("fomaml",), outer_steps=2000, seeds=2, tasks=300, output=str(output))
    result = sinusoid.main(config)["fomaml"]
    after_1, after_5, after_10 = result["median"]
    # The mean curve, which is the best answer without a look at the support set, has a median of 1.9.
    # It was trained for one step: the next ones still help, and whether the tenth does is left to rounding.
    assert after_1 > 1.2 * max(after_5, after_10)
    assert after_10 < 1.2
    assert len(result["mean_of_seed"]) == 2
    assert result["mean_of_seed"][0] != result["mean_of_seed"][1]
    assert json.loads(output.read_text())["results"]["fomaml"]["median"] == result["median"]


def test_sinusoid_refuses_an_unknown_learner():
    sinusoid = load("sinusoid")
    with pytest.raises(SystemExit, match="choose from maml"):
        sinusoid.main(sinusoid.Config(algorithms=("mammal",)))


def test_sinusoid_summary_counts_divergence():
    errors = np.array([[[1.0, 3.0], [1.0, 3.0], [1e6, 1.0]]])
    result = load("sinusoid").summary(errors, 1.0)
    assert result["mean"][0] == 2.0
    np.testing.assert_allclose(result["ci95"][0], 1.96 * np.sqrt(2.0) / np.sqrt(2))
    assert result["diverged"] == [0.0, 0.0, 0.5]


@pytest.mark.parametrize("script", ["environment.sh", "quickstart.sh", "test.sh"])
def test_shell_scripts_parse(script):
    checked = subprocess.run(["bash", "-n", SCRIPTS / script], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_omniglot_settings_are_the_preset_shortened_or_whole():
    omniglot = load("omniglot")
    short = omniglot.settings(omniglot.Config(), "fomaml", 5, 1, 3)
    whole = omniglot.settings(omniglot.Config(published=True), "fomaml", 5, 1, 3)
    outer = short.settings.outer
    assert (outer.outer_steps, outer.outer_schedule, short.options.seed) == (6000, "cosine", 3)
    outer = whole.settings.outer
    assert (outer.outer_steps, outer.outer_schedule, outer.outer_lr) == (60_000, "constant", 1e-3)
    assert short.options.run_dir != whole.options.run_dir


def test_omniglot_trains_once_for_all_sizes_that_a_run_can_serve():
    omniglot = load("omniglot")

    def runs(algorithm, **settings):
        config = omniglot.Config(**settings)
        found = {size: omniglot.settings(config, algorithm, *size, 0) for size in ((5, 1), (5, 5), (20, 1), (20, 5))}
        for run in found.values():
            check(run.settings, run.options)
        sizes = {size: (run.settings.tasks.way, run.settings.tasks.shot) for size, run in found.items()}
        return sizes, {run.options.run_dir for run in found.values()}

    once = dict.fromkeys(((5, 1), (5, 5), (20, 1), (20, 5)), (5, 1))
    assert runs("prototypical") == (once, {"runs/omniglot/preset-prototypical-seed0"})
    assert runs("cavia")[0] == {(5, 1): (5, 1), (5, 5): (5, 1), (20, 1): (20, 1), (20, 5): (20, 1)}
    assert runs("maml")[0] == {(5, 1): (5, 1), (5, 5): (5, 5), (20, 1): (20, 1), (20, 5): (20, 1)}
    assert runs("maml", published=True)[0] == {size: size for size in once}
    assert len(runs("maml", published=True)[1]) == 4
    assert {name for name, _, _ in omniglot.PUBLISHED} | {name for name, _, _ in omniglot.SHORT} < set(
        omniglot.ALGORITHMS
    )


def test_omniglot_table_shows_intervals_of_episodes_or_of_seeds():
    omniglot = load("omniglot")
    one = {"accuracy": 0.975, "ci95": 0.004, "inductive_accuracy": None}
    assert omniglot.cell([one], "accuracy", "ci95") == "97.5 +- 0.4"
    assert omniglot.cell([one], "inductive_accuracy", "inductive_ci95") == "-"
    two = [{"accuracy": 0.97, "ci95": 0.1}, {"accuracy": 0.99, "ci95": 0.1}]
    # Student's t of one degree of freedom, 12.706, times a standard deviation of sqrt(2), over sqrt(2)
    assert omniglot.cell(two, "accuracy", "ci95") == "98.0 +- 12.7 (2 seeds)"


def test_omniglot_table_has_a_line_for_each_learner_best_first():
    omniglot = load("omniglot")

    def cell(algorithm, size, trained, accuracy, minutes):
        found = {"accuracy": accuracy, "ci95": 0.004, "inductive_accuracy": accuracy - 0.1, "inductive_ci95": 0.005}
        return omniglot.Row(algorithm, *size, trained, 600, [60 * minutes], [found])

    rows = [
        cell("maml", (5, 1), (5, 1), 0.9, 2),
        cell("maml", (20, 1), (20, 1), 0.8, 3),
        cell("matching", (5, 1), (5, 1), 0.95, 4),
        cell("matching", (20, 1), (5, 1), 0.85, 4),
        cell("ridge", (20, 1), (5, 1), 0.7, 1),
    ]
    head, _, *lines = omniglot.markdown(rows).splitlines()
    assert head == "| learner | 5-way 1-shot | published | 20-way 1-shot | published | minutes |"
    assert lines[:3] == [
        "| matching | 95.0 +- 0.4 | 98.1 | 85.0 +- 0.4 | 93.8 | 4 |",
        "| maml | 90.0 +- 0.4 | 98.7 +- 0.4 | 80.0 +- 0.4 | 95.8 +- 0.3 | 5 |",
        "| ridge | - | - | 70.0 +- 0.4 | - | 1 |",
    ]
    assert "| maml | 80.0 +- 0.5 | 70.0 +- 0.5 |" in lines
    assert "- maml: 600 steps of 5-way 1-shot, 600 steps of 20-way 1-shot." in lines
    assert "- matching: 600 steps." in lines


def test_omniglot_takes_no_evaluation_of_anything_else(tmp_path):
    omniglot = load("omniglot")
    run = omniglot.settings(omniglot.Config(), "maml", 20, 1, 0).settings
    facts = {"split_hash": "s", "checksum": "d", "protocol": "finn"}
    trained = omniglot.Trained(run, facts, 500, None, None)
    wanted = omniglot.test_of(omniglot.Config(), run, tmp_path, 20, 5)
    assert omniglot.evaluated(wanted, trained) is None
    kept = {
        "episodes": 1000, "way": 20, "shot": 5, "query_shot": 5, "inner_steps": 5, "part": "test", "seed": 0,
        "rotations": True, "split_hash": "s", "data_checksum": "d", "reading": "transductive", "checkpoint_step": 500,
        "accuracy": 0.9,
    }  # fmt: skip
    path = tmp_path / "evaluation-20w5s.json"
    path.write_text(json.dumps(kept))
    assert omniglot.evaluated(wanted, trained) == kept
    for name, other in (("data_checksum", "e"), ("way", 5), ("shot", 1), ("checkpoint_step", 1000), ("episodes", 600)):
        path.write_text(json.dumps({**kept, name: other}))
        assert omniglot.evaluated(wanted, trained) is None, name


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
    omniglot = load("omniglot")
    with pytest.raises(omniglot.RunError, match=words):
        omniglot.main(omniglot.Config(**settings))


def row(compare, algorithm, accuracy, way=5):
    return compare.Row(algorithm, way, 1, accuracy, 0.021, 20_000, 61.2, 3.04, 17.6)


def test_compare_shows_the_best_first_and_differences_in_pairs():
    compare = load("compare")
    hard = [0.5, 0.7, 0.9, 0.6]
    better = [a + 0.1 for a in hard]
    lines = compare.markdown([row(compare, "maml", hard), row(compare, "prototypical", better)], "prototypical")
    table = [line for line in lines.splitlines() if line.startswith("| ") and "learner" not in line]
    assert table[0].startswith("| prototypical | 77.5 +- 27.2 | - | 2.1 | 20,000 | 61 | 3.0 | 18 |")
    assert table[1].startswith("| maml | 67.5 +- 27.2 | -10.0 +- 0.0 |")
    # Without the reference there is nothing to compare with.
    assert "| maml | 67.5 +- 27.2 | - |" in compare.markdown([row(compare, "maml", hard)], "prototypical")


def test_compare_stops_when_the_seconds_of_all_starts_are_over(tmp_path):
    compare = load("compare")
    metrics, told = tmp_path / "metrics.jsonl", []
    report = silent._replace(row=told.append)

    def until(seconds, stop=lambda: None):
        return compare.until(seconds, metrics, stop, report)

    asks, report_to = until(10.0)
    assert asks() is None
    report_to.row({"seconds": 4.0, "compile_seconds": 30.0})
    assert asks() is None and told == [{"seconds": 4.0, "compile_seconds": 30.0, "spent": 4.0}]
    report_to.row({"seconds": 6.5})
    assert asks() == compare.OUT_OF_TIME
    metrics.write_text('{"step": 5, "seconds": 4.0, "compile_seconds": 30.0}\n{"step": 10, "seconds": 5.0}\n')
    asks, report_to = until(10.0)
    assert asks() is None
    report_to.row({"seconds": 1.5})
    assert asks() == compare.OUT_OF_TIME
    assert until(5.0)[0]() == compare.OUT_OF_TIME
    assert until(50.0, lambda: 15)[0]() == 15


def test_compare_says_now_and_then_how_much_time_is_over(capsys):
    report = load("compare").countdown(5.0)
    for spent in (0.5, 1.5, 2.6, 3.0, 5.1):
        report.row({"step": 10, "loss": 1.0, "accuracy": 0.5, "tasks_per_second": 70.0, "spent": spent})
    assert [line.partition(" of")[0] for line in capsys.readouterr().out.splitlines()] == ["0", "3", "5"]


def small(compare, run_dir, **settings):
    given = {"algorithms": ("prototypical", "baseline"), "tasks": 128, "dataset": "glyphs:60", "features": (4,)}
    return compare.configured(**{**given, "query_shot": 2, "episodes": 20, "run_dir": str(run_dir), **settings})


@pytest.mark.long
@pytest.mark.standard_promotion
def test_compare_trains_judges_and_resumes(tmp_path, capsys):
    compare = load("compare")
    config = small(compare, tmp_path)
    rows = compare.main(config)
    assert [(r.algorithm, r.tasks, len(r.accuracy)) for r in rows] == [("prototypical", 128, 20), ("baseline", 128, 20)]
    assert all(0 < r.calibration_error < 1 and r.adapt_milliseconds > 0 and r.train_mebibytes > 0 for r in rows)
    assert {p.name for p in tmp_path.glob("*.*")} >= {"results.json", "table.md", "accuracy.png"}
    capsys.readouterr()
    assert compare.main(config) == rows
    assert "baseline-5w1s" not in capsys.readouterr().out  # nothing was trained again
    assert json.loads((tmp_path / "results.json").read_text())[0]["accuracy"] == rows[0].accuracy
    for settings in ({"dataset": "glyphs:70"}, {"features": (8,)}, {"query_shot": 3}):
        with pytest.raises(compare.RunError, match="another --run-dir") as caught:
            compare.main(small(compare, tmp_path, **settings))
        assert f"--{next(iter(settings)).replace('_', '-')} " in str(caught.value)


@pytest.mark.long
@pytest.mark.standard_promotion
def test_compare_does_not_count_what_a_kill_has_lost(tmp_path):
    compare = load("compare")
    config = small(compare, tmp_path, algorithms=("prototypical",), budget="seconds", seconds=0.1)
    rows = compare.main(config)
    assert 0.1 <= rows[0].train_seconds < 10 and rows[0].tasks > 0
    run_dir = next(tmp_path.glob("prototypical-*"))
    (run_dir / "comparison.json").unlink()
    with open(run_dir / "metrics.jsonl", "a") as file:
        file.write('{"step": 1000000, "seconds": 1000.0}\n')  # after the last checkpoint
    again = compare.main(config)
    assert (again[0].tasks, again[0].train_seconds) == (rows[0].tasks, rows[0].train_seconds)
    np.testing.assert_array_equal(again[0].accuracy, rows[0].accuracy)


@pytest.mark.long
@pytest.mark.standard_promotion
def test_compare_goes_on_where_a_learner_diverges(tmp_path, monkeypatch, capsys):
    compare = load("compare")
    train = compare.train_run

    def diverges(settings, options, **how):
        if settings.algorithm == "baseline":
            raise compare.DivergedError("training has diverged at step 7; the checkpoint of step 5 is kept: try.")
        return train(settings, options, **how)

    monkeypatch.setattr(compare, "train_run", diverges)
    config = small(compare, tmp_path, algorithms=("baseline",))  # the reference comes by itself
    rows = compare.main(config)
    assert [row.algorithm for row in rows] == ["baseline", "prototypical"]
    assert rows[0].failed == "training has diverged at step 7" and not rows[1].failed
    assert f"| baseline | failed: {rows[0].failed}{' | -' * 6} |" in capsys.readouterr().out
    monkeypatch.setattr(compare, "train_run", lambda *_, **__: pytest.fail("trained again"))
    assert compare.main(config) == rows


def test_compare_asks_for_matplotlib_first(tmp_path, monkeypatch):
    compare = load("compare")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(compare.RunError, match=r"pip install 'jmeta\[plots\]'"):
        compare.main(small(compare, tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_compare_refuses_before_it_trains(tmp_path):
    compare = load("compare")
    config = small(compare, tmp_path / "new", algorithms=("prototypical", "reptile"), ways=(5, 20), query_shot=20)
    with pytest.raises(compare.RunError, match="prototypical, 5-way 1-shot: 1 support and 20 query examples"):
        compare.main(config)
    with pytest.raises(compare.RunError, match="40-way 1-shot: 40-way episodes need 40 classes"):
        compare.main(small(compare, tmp_path / "new", ways=(5, 40)))
    assert not (tmp_path / "new").exists()


def test_compare_gives_all_learners_one_network_and_as_many_pictures_of_a_task():
    compare = load("compare")
    config = compare.configured(query_shot=15)
    runs = {name: compare.settings(config, name, 5, 1).settings for name in compare.ALGORITHMS}
    networks = {(run.network.network, run.network.features, run.network.norm) for run in runs.values()}
    assert networks == {("conv4", (64,), "batch")}
    tasks = {name: run.tasks for name, run in runs.items()}
    assert (tasks["reptile"].train_shots, tasks["reptile"].shot) == (16, 1)
    assert {(own.train_shots or own.shot) + own.query_shot for own in tasks.values()} == {16, 17}
    problem = compare.load_problem(compare.dataclasses.replace(tasks["maml"], dataset="glyphs:60"))
    text = compare.footer(config, list(runs.values()), problem)
    for part in (
        "glyphs, split classes " + problem.split_hash, "conv4 64 with batch", "20,000 tasks", "seed 0", "1000 test",
        "15 queries of each class", "transductive", "1 and 3 of maml, ", "3 and 5 of reptile", "Memory: ",
        "Calibration error: ", "reptile adapts in training to all pictures of a task", "maml++ leaves second",
    ):  # fmt: skip
        assert part in text, part


def test_compare_estimates_the_schedule_of_maml_plus_plus(tmp_path, monkeypatch):
    compare = load("compare")

    def train(settings, options, stop):
        rows = []
        while stop() is None:
            rows.append({"step": 5 * (len(rows) + 1), "seconds": 1.0})
        return Result(tmp_path, rows[-1]["step"], compare.OUT_OF_TIME, {}, rows, {})

    monkeypatch.setattr(compare, "train_run", train)
    config = compare.configured(budget="seconds", seconds=300.0, run_dir=str(tmp_path))
    run = compare.settings(config, "maml++", 5, 1)
    # 5 steps a second are 1,500 in all.
    assert compare.annealed(config, run).settings.learner.anneal_steps == 150
    maml = compare.settings(config, "maml", 5, 1)
    assert compare.annealed(config, maml) == maml
    by_tasks = compare.settings(compare.Config(), "maml++", 5, 1)
    assert compare.annealed(compare.Config(), by_tasks) == by_tasks
    assert by_tasks.settings.learner.anneal_steps is None
    folder = Path(run.options.run_dir)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"anneal_steps": 99}')
    assert compare.annealed(config, compare.settings(config, "maml++", 5, 1)).settings.learner.anneal_steps == 99


def test_compare_lets_flags_win_over_those_of_quick():
    compare = load("compare")
    assert compare.parsed([]) == compare.Config()
    assert compare.parsed(["--quick"]) == compare.QUICK
    given = compare.parsed(["--ways", "20", "--quick", "--episodes", "50"])
    assert given == compare.dataclasses.replace(compare.QUICK, ways=(20,), episodes=50)


@pytest.mark.parametrize(
    "algorithm", ["maml", *(pytest.param(name, marks=pytest.mark.long) for name in ("relation", "baseline"))]
)
@pytest.mark.standard_promotion
def test_memory_is_planned_alike_without_optimized_code(algorithm):
    compare = load("compare")
    config = compare.configured(features=(8,), dataset="glyphs:60")
    run = compare.settings(config, algorithm, 5, 1).settings
    problem = compare.load_problem(run.tasks)
    learner = compare.training_learner(run, problem.train_classes)
    data = compare.drawn(run.tasks, problem, compare.LEARNERS[algorithm].ordinary)
    episode = jax.eval_shape(data.training, jax.random.key(0))
    params = jax.eval_shape(learner.init, jax.random.key(0), episode.support.x)
    planned = jax.jit(jax.grad(learner.loss, has_aux=True)).lower(params, episode).compile().memory_analysis()
    assert compare.memory_of_training(learner, params, episode) == planned.temp_size_in_bytes / 2**20 > 0


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"algorithms": ("mammal",)}, "maml"),
        ({"budget": "money"}, "tasks"),
        ({"seconds": 0.0}, "above 0"),
        ({"reference": "protonet"}, "prototypical"),
        ({"episodes": 0}, "2 or more --episodes, got 0"),
        ({"ways": ()}, "there must be ways"),
        ({"dataset": "sinusoid"}, "sinusoid has no pictures"),
        ({"dataset": "linear"}, "linear has no pictures"),
        ({"query_shot": 0}, "--query-shot must be 1 or more, got 0"),
        ({"meta_batch_size": 0}, "--meta-batch-size must be 1 or more, got 0"),
    ],
)
def test_compare_refuses_what_is_not_there(settings, says):
    compare = load("compare")
    with pytest.raises(compare.RunError, match=says):
        compare.main(compare.configured(**settings))
