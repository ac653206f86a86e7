"""The comparison of all learners: budgets, tables, what is kept and what is refused."""

import dataclasses
from pathlib import Path

import jax
import pytest

from jmeta.errors import DivergedError, RunError
from jmeta.runs.engine.progress import silent
from jmeta.runs.engine.train import Result
from scripts.few_shot import compare, compare_settings
from scripts.few_shot import compare_report as report
from scripts.few_shot import compare_training as training
from scripts.study import run


def row(algorithm, accuracy):
    return {
        "algorithm": algorithm, "way": 5, "shot": 1, "accuracy": accuracy, "tasks": 20_000,
        "log_likelihood": -0.5, "calibration": [[0, 0, 0]] * 14 + [[10, 9.8, 9]], "foreign_auroc": 0.91,
        "train_seconds": 61.2, "adapt_milliseconds": 3.04, "train_mebibytes": 17.6,
    }  # fmt: skip


def test_compare_shows_the_best_first_and_differences_in_pairs():
    hard = [0.5, 0.7, 0.9, 0.6]
    better = [a + 0.1 for a in hard]
    lines = report.tables([row("maml", hard), row("prototypical", better)], "prototypical")
    table = [line for line in lines.splitlines() if line.startswith("| ") and "learner" not in line][1:]
    assert table[0].startswith(
        "| prototypical | 77.5 +- 27.2 | - | -0.500 | 8.0 (3.3) | 91.0 | 20,000 | 61 | 3.0 | 18 |"
    )
    assert table[1].startswith("| maml | 67.5 +- 27.2 | -10.0 +- 0.0 |")
    # Without the reference there is nothing to compare with.
    assert "| maml | 67.5 +- 27.2 | - |" in report.tables([row("maml", hard)], "prototypical")


def test_compare_stops_when_the_seconds_of_all_starts_are_over(tmp_path):
    metrics, told = tmp_path / "metrics.jsonl", []
    report = silent._replace(row=told.append)

    def until(seconds, stop=lambda: None):
        return training.until(seconds, metrics, stop, report)

    asks, report_to = until(10.0)
    assert asks() is None
    report_to.row({"seconds": 4.0, "compile_seconds": 30.0})
    assert asks() is None and told == [{"seconds": 4.0, "compile_seconds": 30.0, "spent": 4.0}]
    report_to.row({"seconds": 6.5})
    assert asks() == training.OUT_OF_TIME
    metrics.write_text('{"step": 5, "seconds": 4.0, "compile_seconds": 30.0}\n{"step": 10, "seconds": 5.0}\n')
    asks, report_to = until(10.0)
    assert asks() is None
    report_to.row({"seconds": 1.5})
    assert asks() == training.OUT_OF_TIME
    assert until(5.0)[0]() == training.OUT_OF_TIME
    assert until(50.0, lambda: 15)[0]() == 15


def test_compare_says_now_and_then_how_much_time_is_over(capsys):
    report = training.countdown(5.0)
    for spent in (0.5, 1.5, 2.6, 3.0, 5.1):
        report.row({"step": 10, "loss": 1.0, "accuracy": 0.5, "tasks_per_second": 70.0, "spent": spent})
    assert [line.partition(" of")[0] for line in capsys.readouterr().out.splitlines()] == ["0", "3", "5"]


def small(run_dir, **settings):
    given = {
        "algorithms": ("prototypical", "baseline"), "tasks": 128, "dataset": "glyphs:60", "features": (4,),
        "query_shot": 2, "episodes": 20, "run_dir": str(run_dir),
    }  # fmt: skip
    return compare_settings.configured(**{**given, **settings})


@pytest.mark.long
def test_compare_trains_judges_and_resumes(tmp_path, monkeypatch):
    config = small(tmp_path)
    rows = run(compare.study, config)["rows"]
    found = list(rows.values())
    assert [(r["algorithm"], r["tasks"], len(r["accuracy"])) for r in found] == [
        ("prototypical", 128, 20), ("baseline", 128, 20)
    ]  # fmt: skip
    for r in found:
        assert r["adapt_milliseconds"] > 0 and r["train_mebibytes"] > 0 and 0.3 < r["foreign_auroc"] < 1
        assert sum(number for number, _, _ in r["calibration"]) == 20 * 5 * 2 and -3 < r["log_likelihood"] < 0
    assert {p.name for p in tmp_path.glob("*.*")} >= {"results.json", "table.md", "accuracy.png", "reliability.png"}
    fewer = dataclasses.replace(config, episodes=10)  # the same runs, judged by other episodes
    again = run(compare.study, fewer)["rows"]
    assert len(again) == 4 and rows.items() < again.items()
    monkeypatch.setattr(training, "train", lambda *_, **__: pytest.fail("trained again"))
    assert run(compare.study, config)["rows"] == again
    for settings in ({"dataset": "glyphs:70"}, {"features": (8,)}, {"query_shot": 3}):
        with pytest.raises(RunError, match="another --run-dir") as caught:
            run(compare.study, small(tmp_path, **settings))
        assert f"--{next(iter(settings)).replace('_', '-')} " in str(caught.value)


@pytest.mark.long
def test_compare_does_not_count_what_a_kill_has_lost(tmp_path):
    config = small(tmp_path, algorithms=("prototypical",), budget="seconds", seconds=0.1, draw=False)
    (first,) = run(compare.study, config)["rows"].values()
    assert 0.1 <= first["train_seconds"] < 10 and first["tasks"] > 0
    run_dir = next(tmp_path.glob("prototypical-*"))
    (tmp_path / "results.json").unlink()
    with open(run_dir / "metrics.jsonl", "a") as file:
        file.write('{"step": 1000000, "seconds": 1000.0}\n')  # after the last checkpoint
    (again,) = run(compare.study, config)["rows"].values()
    for name in ("tasks", "train_seconds", "accuracy"):
        assert again[name] == first[name]


@pytest.mark.long
def test_compare_goes_on_where_a_learner_diverges(tmp_path, monkeypatch, capsys):
    train = training.train

    def diverges(settings, options, **how):
        if settings.algorithm == "baseline":
            raise DivergedError("training has diverged at step 7; the checkpoint of step 5 is kept: try.")
        return train(settings, options, **how)

    monkeypatch.setattr(training, "train", diverges)
    config = small(tmp_path, algorithms=("baseline",))  # the reference comes by itself
    rows = run(compare.study, config)["rows"]
    one, other = rows.values()
    assert (one["algorithm"], other["algorithm"]) == ("baseline", "prototypical")
    assert one["failed"] == "training has diverged at step 7" and "failed" not in other
    assert f"| baseline | failed: {one['failed']}{' | -' * 6} |" in capsys.readouterr().out
    monkeypatch.setattr(training, "train", lambda *_, **__: pytest.fail("trained again"))
    assert run(compare.study, config)["rows"] == rows


def test_compare_refuses_before_it_trains(tmp_path):
    config = small(tmp_path / "new", algorithms=("prototypical", "reptile"), ways=(5, 20), query_shot=20)
    with pytest.raises(RunError, match="prototypical, 5-way 1-shot: an episode of 1 support and 20 query examples"):
        run(compare.study, config)
    with pytest.raises(RunError, match="40-way 1-shot: 40-way episodes need 40 classes"):
        run(compare.study, small(tmp_path / "new", ways=(5, 40)))
    assert not (tmp_path / "new").exists()


def test_compare_gives_all_learners_one_network_and_as_many_pictures_of_a_task():
    config = compare_settings.configured(query_shot=15)
    runs = {name: compare.settings(config, name, 5, 1).settings for name in compare_settings.ALGORITHMS}
    networks = {(run.network.network, run.network.features, run.network.norm) for run in runs.values()}
    assert networks == {("conv4", (64,), "batch")}
    tasks = {name: run.tasks for name, run in runs.items()}
    assert (tasks["reptile"].train_shot, tasks["reptile"].shot) == (16, 1)
    assert {(own.train_shot or own.shot) + own.query_shot for own in tasks.values()} == {16, 17}
    problem = compare.load_problem(dataclasses.replace(tasks["maml"], dataset="glyphs:60"))
    text = report.footer(config, list(runs.values()), problem)
    for part in (
        "glyphs, split classes " + problem.split_hash, "conv4 64 with batch", "20,000 tasks", "seed 0", "1000 test",
        "15 queries of each class", "transductive", "1 and 3 of maml, ", "3 and 5 of reptile", "Memory: ",
        "Calibration error: ", "reptile adapts in training to all pictures of a task", "maml++ leaves second",
    ):  # fmt: skip
        assert part in text, part


def test_compare_estimates_the_schedule_of_maml_plus_plus(tmp_path, monkeypatch):

    def train(settings, options, stop):
        rows = []
        while stop() is None:
            rows.append({"step": 5 * (len(rows) + 1), "seconds": 1.0})
        return Result(tmp_path, rows[-1]["step"], training.OUT_OF_TIME, {}, rows, {})

    monkeypatch.setattr(training, "train", train)
    config = compare_settings.configured(budget="seconds", seconds=300.0, run_dir=str(tmp_path))
    run = compare.settings(config, "maml++", 5, 1)
    # 5 steps a second are 1,500 in all.
    assert training.annealed(config, run).settings.learner.anneal_steps == 150
    maml = compare.settings(config, "maml", 5, 1)
    assert training.annealed(config, maml) == maml
    by_tasks = compare.settings(compare.Config(), "maml++", 5, 1)
    assert training.annealed(compare.Config(), by_tasks) == by_tasks
    assert by_tasks.settings.learner.anneal_steps is None
    folder = Path(run.options.run_dir)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"anneal_steps": 99}')
    assert training.annealed(config, compare.settings(config, "maml++", 5, 1)).settings.learner.anneal_steps == 99


def test_compare_starts_from_quick_where_it_is_asked_to():
    words = ["--ways", "20", "--quick"]
    assert compare.start(words) == compare.QUICK and words == ["--ways", "20"]
    assert compare.start(words) == compare.Config()
    assert compare.QUICK.training.budget == "seconds" and compare.QUICK.learned.network == "mlp"


@pytest.mark.parametrize(
    "algorithm", ["relation", *(pytest.param(name, marks=pytest.mark.long) for name in ("maml", "baseline"))]
)
def test_memory_is_planned_alike_without_optimized_code(algorithm):
    config = compare_settings.configured(features=(8,), dataset="glyphs:60")
    run = compare.settings(config, algorithm, 5, 1).settings
    problem = compare.load_problem(run.tasks)
    learner = compare.training_learner(run, problem.train_classes)
    data = compare.drawn(run.tasks, problem, compare.LEARNERS.get(algorithm).ordinary)
    episode = jax.eval_shape(data.training, jax.random.key(0))
    params = jax.eval_shape(learner.init, jax.random.key(0), episode.support.x)
    planned = jax.jit(jax.grad(learner.loss, has_aux=True)).lower(params, episode).compile().memory_analysis()
    assert compare.memory_of_training(learner, params, episode) == planned.temp_size_in_bytes / 2**20 > 0


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"algorithms": ("mammal",)}, "maml"),
        ({"budget": "money"}, "tasks"),
        ({"seconds": 0.0}, "--seconds must be a number above 0"),
        ({"reference": "protonet"}, "prototypical"),
        ({"episodes": 0}, "--episodes must be 2 or more, got 0"),
        ({"ways": ()}, "there must be --ways"),
        ({"dataset": "sinusoid"}, "sinusoid has no pictures"),
        ({"dataset": "linear"}, "linear has no pictures"),
        ({"query_shot": 0}, "--query-shot must be 1 or more, got 0"),
        ({"meta_batch_size": 0}, "--meta-batch-size must be 1 or more, got 0"),
    ],
)
def test_compare_refuses_what_is_not_there(settings, says):
    with pytest.raises(RunError, match=says):
        run(compare.study, compare_settings.configured(**settings))
