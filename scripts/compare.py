"""All learners in one table: same network, same budget of training, same frozen test episodes.

    python scripts/compare.py --quick                             # less than ten minutes on two CPU cores
    python scripts/compare.py                                     # 5-way 1-shot, 20,000 tasks of training each
    python scripts/compare.py --budget seconds --seconds 300      # as much as each can do in the same time
    python scripts/compare.py --ways 5 20 --shots 1 5 --algorithms maml prototypical

Every run is a folder like those of `jmeta train`. Started again, it goes on where it stopped.
"""

import dataclasses
import datetime
import json
import math
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import tyro

from jmeta import evaluation
from jmeta.algorithms.catalog import LEARNERS
from jmeta.algorithms.settings import MamlPlusPlus, Nothing, inner_steps
from jmeta.errors import DivergedError, RunError, unknown
from jmeta.report.figures import figure_maker, save
from jmeta.runs.engine import record
from jmeta.runs.engine.area import Whole
from jmeta.runs.engine.compile_cache import use_compile_cache
from jmeta.runs.engine.devices import use_cores
from jmeta.runs.engine.folder import CONFIG, METRICS, read_json, read_rows, write_json, write_text
from jmeta.runs.engine.members import members
from jmeta.runs.engine.progress import Report, shown, silent
from jmeta.runs.engine.signals import Stop, asked_to_stop
from jmeta.runs.engine.train import Result
from jmeta.runs.few_shot import Choice, Settings, defaults, load_trained
from jmeta.runs.few_shot import train as train_run
from jmeta.runs.few_shot.area import KIND
from jmeta.runs.few_shot.experiment import drawn, eval_steps, experiment, training_learner
from jmeta.runs.few_shot.judge import judge, memory_of_training
from jmeta.runs.few_shot.problems import Problem, load_problem
from jmeta.runs.few_shot.settings import check as check_run
from jmeta.settings import check as check_each
from jmeta.settings import replaced, setting
from jmeta.tasks import catalog
from jmeta.training import at_step

ALGORITHMS = tuple(name for name, row in LEARNERS.items() if row.paper)
BUDGETS = ("tasks", "seconds")
JUDGED = "comparison.json"
OUT_OF_TIME = -1
"""What stops a run whose seconds are over, in place of a signal's number."""
SAVE_SECONDS = 20.0
"""Between checkpoints, which is what a kill can cost."""
SAID_SECONDS = 2.0
"""Of training, between two lines."""
LOG_EVERY, TIMED_ROWS = 10, 4
"""Outer steps of a row, after which the budget is looked at; and rows that MAML++'s speed is estimated from."""


@dataclasses.dataclass(frozen=True)
class Budget:
    """What all learners have the same of.

    Attributes:
        budget: tasks to train on, or seconds of training (compiling and saving not counted).
        tasks: how many, where that is the budget. For Baseline and Baseline++ a task is a batch of as many pictures.
        seconds: how many, where that is the budget.
    """

    budget: str = setting("tasks", choices=BUDGETS)
    tasks: int = 20_000
    seconds: float = 300.0


@dataclasses.dataclass(frozen=True)
class Learned:
    """What is learned, and by what network.

    Attributes:
        dataset: what is learned from.
        split: its split.
        query_shot: query examples of each class.
        network: of all learners, one of those of `jmeta train`.
        features: channels of the convolutions, or units of the layers.
        data_dir: the folder of data sets; otherwise $JMETA_DATA.
    """

    dataset: str = "omniglot"
    split: str = "default"
    query_shot: int = 5
    network: str = "conv4"
    features: tuple[int, ...] = (64,)
    data_dir: str | None = None


@dataclasses.dataclass(frozen=True)
class Config:
    """Train all learners and judge them by the same test episodes; results.json, table.md and accuracy.png.

    `--quick` is `--budget seconds --seconds 7 --network mlp --features 128 64 --episodes 200 --run-dir
    runs/compare-quick` to start from: a network that is soon compiled.

    Attributes:
        algorithms: which learners, beside the reference.
        ways: classes of an episode, in training and in the test.
        shots: support examples of each class, in training and in the test.
        training: the budget.
        learned: what is learned, and by what network.
        meta_batch_size: tasks of an outer step; few, since in a short training many steps matter more.
        episodes: of the test, the same for all.
        reference: the learner that the others are compared with, episode by episode.
        seed: of the runs and of the test episodes.
        run_dir: the folder of all runs, of results.json, table.md and accuracy.png.
    """

    algorithms: tuple[str, ...] = ALGORITHMS
    ways: tuple[int, ...] = (5,)
    shots: tuple[int, ...] = (1,)
    training: Budget = Budget()
    learned: Learned = Learned()
    meta_batch_size: int = 4
    episodes: int = 1000
    reference: str = "prototypical"
    seed: int = 0
    run_dir: str = "runs/compare"


def configured(**values: Any) -> Config:
    """The defaults with some settings changed, by their flat names."""
    return replaced(Config(), values)


QUICK = configured(
    budget="seconds", seconds=7.0, network="mlp", features=(128, 64), episodes=200, run_dir="runs/compare-quick"
)


class Row(NamedTuple):
    """A learner at a way and a shot.

    Attributes:
        algorithm: its name.
        way: classes of an episode.
        shot: support examples of each class.
        accuracy: of each test episode.
        calibration_error: expected, over all predictions.
        tasks: that it was trained on.
        train_seconds: of training, compiling not counted.
        adapt_milliseconds: of one task.
        train_mebibytes: temporary memory of the meta-gradient of one task.
        failed: why there are no numbers, which are then 0; else empty.
    """

    algorithm: str
    way: int
    shot: int
    accuracy: list[float]
    calibration_error: float
    tasks: int
    train_seconds: float
    adapt_milliseconds: float
    train_mebibytes: float
    failed: str = ""


def check(config: Config) -> None:
    """Refuse what isn't there, or makes no sense with any data.

    Raises:
        RunError: naming it.
    """
    for algorithm in (*config.algorithms, config.reference):
        if algorithm not in ALGORITHMS:
            raise unknown("algorithm", algorithm, ALGORITHMS)
    check_each(config)
    if config.meta_batch_size < 1:
        raise RunError(f"--meta-batch-size must be 1 or more, got {config.meta_batch_size}: choose another.")
    training = config.training
    if training.tasks < 1 or not training.seconds > 0:
        raise RunError(
            f"a budget must be above 0, got {training.tasks} tasks and {training.seconds} seconds: give more."
        )
    if not (config.ways and config.shots) or config.episodes < 2:
        raise RunError(f"there must be ways, shots and 2 or more --episodes, got {config.episodes}: correct them.")
    if catalog.row(config.learned.dataset).sampler is not None:
        raise RunError(
            f"{config.learned.dataset} has no pictures, which learners are compared on: choose another --dataset."
        )
    figure_maker()


def settings(config: Config, algorithm: str, way: int, shot: int) -> Whole:
    """A run's settings: the learner's defaults, with one network for all, and Adam at a constant rate for those that
    have a gradient. Reptile has no queries to learn from, and gets as many pictures of a task to adapt to."""
    start = Whole(*defaults(Choice(algorithm, config.learned.dataset)))
    steps = -(-config.training.tasks // config.meta_batch_size) if config.training.budget == "tasks" else 1_000_000
    budget = f"{config.training.tasks}tasks" if config.training.budget == "tasks" else f"{config.training.seconds:g}s"
    reptile = {"train_shots": shot + config.learned.query_shot, "query_shot": 1} if algorithm == "reptile" else {}
    changes = {
        "way": way,
        "shot": shot,
        "query_shot": config.learned.query_shot,
        "meta_batch_size": config.meta_batch_size,
        "split": config.learned.split,
        "network": config.learned.network,
        "features": config.learned.features,
        "outer_steps": steps,
        "outer_schedule": "constant",
        "log_every": LOG_EVERY,
        "save_every": -(-steps // LOG_EVERY) * LOG_EVERY,
        "seed": config.seed,
        "data_dir": config.learned.data_dir,
        "run_dir": str(Path(config.run_dir) / f"{algorithm}-{way}w{shot}s-{budget}-seed{config.seed}"),
        "resume": True,
    }
    return begun(replaced(start, {**changes, **reptile}))


def begun(run: Whole) -> Whole:
    """The settings, with what an earlier start has estimated for them."""
    path = Path(str(run.options.run_dir)) / CONFIG
    kept = read_json(path).get("anneal_steps") if path.exists() else None
    return run if kept is None else replaced(run, {"anneal_steps": kept})


def plan(config: Config) -> tuple[list[Whole], Problem]:
    """All runs and their data, once everything is refused that can be before any training.

    Raises:
        RunError: for settings or episodes that make no sense, or a run folder of other settings or data.
        DataError: for data that are missing or damaged.
    """
    algorithms = dict.fromkeys((*config.algorithms, config.reference))
    runs = [settings(config, name, way, shot) for way in config.ways for shot in config.shots for name in algorithms]
    for run in runs:
        check_run(run.settings, run.options)
    problem = load_problem(runs[0].settings.tasks)
    for own, options in ((run.settings, run.options) for run in runs):
        tasks = own.tasks
        try:
            data = drawn(tasks, problem, LEARNERS.get(own.algorithm).ordinary)
            problem.sampler("test", tasks.way, tasks.shot, config.learned.query_shot)
        except RunError as error:
            raise RunError(f"{own.algorithm}, {tasks.way}-way {tasks.shot}-shot: {error}") from error
        run_dir = Path(str(options.run_dir))
        if (run_dir / CONFIG).exists():
            record.open_folder(run_dir, KIND, members(own, options)[""], experiment(own, data).facts)
    return runs, problem


def until(seconds: float, metrics: Path, stop: Stop, report: Report) -> tuple[Stop, Report]:
    """`stop` and `report` for training, which end it with `OUT_OF_TIME` after so many seconds of training.

    The seconds are those of the rows in `metrics`, which do not contain compiling. Rows of earlier starts count as far
    as training goes on from them: it has dropped the others before it asks.
    """
    spent: float | None = None

    def asks() -> int | None:
        nonlocal spent
        if spent is None:
            spent = trained_seconds(read_rows(metrics))
        return OUT_OF_TIME if spent >= seconds else stop()

    def row(values: Mapping[str, Any]) -> None:
        nonlocal spent
        spent = (spent or 0.0) + values["seconds"]
        report.row({**values, "spent": spent})

    return asks, report._replace(row=row)


def countdown(seconds: float) -> Report:
    """Says now and then how many of the seconds of training are over; rows must have what is `spent`."""
    last = -math.inf

    def row(values: Mapping[str, Any]) -> None:
        nonlocal last
        if values["spent"] >= min(seconds, last + SAID_SECONDS):
            last = values["spent"]
            print(
                f"{last:.0f} of {seconds:g} s  step {values['step']}  loss {values['loss']:.4f}  "
                f"accuracy {100 * values['accuracy']:.1f} %  {values['tasks_per_second']:.0f} tasks/s",
                flush=True,
            )

    return silent._replace(row=row, note=lambda text: print(text, flush=True))


def trained_seconds(rows: list[dict[str, Any]]) -> float:
    """Of rows of `metrics.jsonl`."""
    return sum(row["seconds"] for row in rows)


def annealed(config: Config, run: Whole) -> Whole:
    """The settings with MAML++'s schedule, of a tenth of the training: of as many steps as its seconds are enough for,
    by the speed of the first ones, in a run that is thrown away."""
    learner = run.settings.learner
    if not isinstance(learner, MamlPlusPlus) or config.training.budget == "tasks" or learner.anneal_steps is not None:
        return run
    asked = iter([None] * TIMED_ROWS)
    with tempfile.TemporaryDirectory() as place:
        short = {"anneal_steps": max(1, TIMED_ROWS * LOG_EVERY // 10), "run_dir": f"{place}/run", "resume": False}
        first = replaced(run, short)
        rows = train_run(first.settings, first.options, stop=lambda: next(asked, OUT_OF_TIME)).rows
    steps = rows[-1]["step"] * config.training.seconds / trained_seconds(rows)
    return replaced(run, {"anneal_steps": max(1, round(steps / 10))})


def trained(config: Config, run: Whole) -> Result:
    """Train within the budget, or go on."""
    with asked_to_stop() as stop:
        if config.training.budget == "seconds":
            metrics = Path(str(run.options.run_dir)) / METRICS
            stop, report = until(config.training.seconds, metrics, stop, countdown(config.training.seconds))
            result = train_run(run.settings, run.options, report=report, stop=stop, save_seconds=SAVE_SECONDS)
        else:
            with shown(run.settings.algorithm) as report:
                result = train_run(run.settings, run.options, report=report, stop=stop, save_seconds=SAVE_SECONDS)
    if result.stopped_by not in (None, OUT_OF_TIME):
        sys.exit(f"stopped and saved at step {result.step}; the same command goes on.")
    return result


def judged(config: Config, problem: Problem, own: Settings, result: Result) -> Row:
    """The line of a learner that has been trained."""
    tasks, learner = own.tasks, training_learner(own, problem.train_classes)
    newest = load_trained(result.run_dir, "newest")
    sample = drawn(tasks, problem, LEARNERS.get(own.algorithm).ordinary).training
    episode = jax.eval_shape(sample, jax.random.key(0))
    memory = memory_of_training(at_step(learner, jax.numpy.int32(0)), newest.params, episode)
    test = problem.sampler("test", tasks.way, tasks.shot, config.learned.query_shot)
    found = judge(newest, test, tasks.way, seed=config.seed, episodes=config.episodes, train_mebibytes=memory)
    return Row(
        own.algorithm, tasks.way, tasks.shot, found.accuracy.tolist(), found.calibration_error,
        result.step * own.outer.meta_batch_size, trained_seconds(result.rows),
        found.adapt_milliseconds, found.train_mebibytes,
    )  # fmt: skip


def measure(config: Config, run: Whole, problem: Problem) -> Row:
    """Train and judge; what has been judged, or has diverged, is taken as it is."""
    path, own = Path(str(run.options.run_dir)) / JUDGED, run.settings
    kept = read_json(path) if path.exists() else {"row": {}}
    if set(kept["row"]) == set(Row._fields) and kept["episodes"] == config.episodes:
        return Row(**kept["row"])
    print(f"{run.options.run_dir}", flush=True)
    try:
        run = annealed(config, run)
        row = judged(config, problem, run.settings, trained(config, run))
    except DivergedError as error:
        why = str(error).partition(";")[0]
        row = Row(own.algorithm, own.tasks.way, own.tasks.shot, [], 0.0, 0, 0.0, 0.0, 0.0, why)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"episodes": config.episodes, "row": row._asdict()})
    return row


def markdown(rows: list[Row], reference: str) -> str:
    """A table for each way and shot, the best learner first."""
    lines = []
    for way, shot in sorted({(row.way, row.shot) for row in rows}):
        group = [row for row in rows if (row.way, row.shot) == (way, shot)]
        base = next((row for row in group if row.algorithm == reference and not row.failed), None)
        lines += [
            f"{way}-way {shot}-shot",
            "",
            f"| learner | accuracy, % | minus {reference}, paired | calibration error, % | tasks | training, s "
            "| adapting, ms | memory, MiB |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for row in sorted(group, key=lambda row: -np.mean(row.accuracy or [-1.0])):
            lines.append(f"| {row.algorithm} | {_cells(row, base)} |")
        lines.append("")
    return "\n".join(lines)


def _cells(row: Row, base: Row | None) -> str:
    if row.failed:
        return f"failed: {row.failed}" + " | -" * 6
    return (
        f"{percent(evaluation.summarise(np.array(row.accuracy)))} | {beside(row, base)} "
        f"| {100 * row.calibration_error:.1f} | {row.tasks:,} | {row.train_seconds:.0f} "
        f"| {row.adapt_milliseconds:.1f} | {row.train_mebibytes:.0f}"
    )


def footer(config: Config, runs: list[Settings], problem: Problem) -> str:
    """What the table is of, and what its columns are."""
    known = {run.algorithm: run for run in runs}
    device, date = jax.devices()[0].device_kind, datetime.datetime.now(datetime.UTC).date()
    learned, training = config.learned, config.training
    budget = f"{training.tasks:,} tasks" if training.budget == "tasks" else f"{training.seconds:g} seconds"
    lines = [
        f"Data: {problem.name}, split {problem.protocol} {problem.split_hash}. {config.episodes} test episodes with "
        f"{learned.query_shot} queries of each class, the same for all; queries see each other (transductive).",
        f"Training: {learned.network} {'-'.join(map(str, learned.features))} with batch normalisation, {budget} each, "
        f"compiling not counted, {config.meta_batch_size} tasks a step, seed {config.seed}; {device}, {date}.",
        *_inner_steps(known),
    ]
    if known.keys() & {"baseline", "baseline++"}:
        lines.append("A task of baseline and baseline++ is a batch with as many pictures of all training classes.")
    if "reptile" in known:
        lines.append("reptile adapts in training to all pictures of a task that others have as support and queries.")
    if "maml++" in known:
        estimate = ", as estimated from its first" if config.training.budget == "seconds" else ""
        lines.append(f"maml++ leaves second derivatives out for the first three tenths of its steps{estimate}.")
    lines += [
        "Calibration error: how far the share of right predictions is from their confidence, on average over intervals "
        "of confidence; 0 is best.",
        "Memory: temporary buffers that the compiler plans for the meta-gradient of one task.",
    ]
    return "\n".join(f"- {line}" for line in lines) + "\n"


def _inner_steps(known: Mapping[str, Settings]) -> list[str]:
    """A line, if there is a learner with inner steps."""
    found: dict[tuple[int, int], list[str]] = {}
    for name, run in known.items():
        if not isinstance(run.learner, Nothing):
            found.setdefault((inner_steps(run.learner, training=True), eval_steps(run.learner)), []).append(name)
    each = [f"{steps} and {tested} of {', '.join(names)}" for (steps, tested), names in found.items()]
    return [f"Inner steps in training and in the test: {'; '.join(each)}."] if each else []


def percent(value: evaluation.Evaluation, sign: str = "") -> str:
    """`98.1 +- 0.3`."""
    return f"{100 * value.mean:{sign}.1f} +- {100 * value.ci95:.1f}"


def beside(row: Row, base: Row | None) -> str:
    """The mean difference to the reference on the same episodes, with its own interval."""
    if base is None or base is row:
        return "-"
    return percent(evaluation.paired_difference(np.array(row.accuracy), np.array(base.accuracy)), "+")


def picture(rows: list[Row], path: Path) -> Path:
    """Accuracy with intervals, best at the top, a panel for each way and shot; without those that failed."""
    rows = [row for row in rows if not row.failed]
    kinds = sorted({(row.way, row.shot) for row in rows})
    figure = figure_maker()(1 + 4 * len(kinds), 1.2 + 0.28 * len({row.algorithm for row in rows}))
    for axes, (way, shot) in zip(figure.subplots(1, len(kinds), squeeze=False)[0], kinds, strict=True):
        group = sorted((r for r in rows if (r.way, r.shot) == (way, shot)), key=lambda r: np.mean(r.accuracy))
        found = [evaluation.summarise(np.array(row.accuracy)) for row in group]
        axes.errorbar(
            [100 * f.mean for f in found], range(len(group)), xerr=[100 * f.ci95 for f in found],
            fmt="o", color="#1f4e79", markersize=4, capsize=2,
        )  # fmt: skip
        axes.set_yticks(range(len(group)), [row.algorithm for row in group])
        axes.set(title=f"{way}-way {shot}-shot", xlabel="test accuracy, %, with 95 % interval")
        axes.grid(axis="x", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    return save(figure, path)


def main(config: Config) -> list[Row]:
    """Train and judge what is missing, then print and write the tables and the picture.

    Raises:
        RunError: for settings that make no sense.
        DataError: for data that are missing or damaged.
    """
    check(config)
    use_compile_cache(True)
    runs, problem = plan(config)
    folder = Path(config.run_dir)
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    for run in runs:
        rows.append(measure(config, run, problem))
        write_text(folder / "results.json", json.dumps([row._asdict() for row in rows]) + "\n")
        write_text(
            folder / "table.md",
            markdown(rows, config.reference) + "\n" + footer(config, [run.settings for run in runs], problem),
        )
    print((folder / "table.md").read_text())
    print(f"kept in {folder}: results.json and table.md")
    if any(not row.failed for row in rows):
        print(f"drawn in {picture(rows, folder / 'accuracy.png')}")
    return rows


def parsed(words: Sequence[str]) -> Config:
    """The settings that flags give; those of `--quick` are a start that they win over."""
    rest = [word for word in words if word != "--quick"]
    start = QUICK if len(rest) < len(words) else Config()
    return tyro.cli(Config, default=start, args=rest, prog="compare", config=(tyro.conf.OmitArgPrefixes,))


def run() -> None:
    """As a program."""
    use_cores()
    try:
        main(parsed(sys.argv[1:]))
    except RunError as error:
        print(f"compare: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("compare: stopped; the same command goes on.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    run()
