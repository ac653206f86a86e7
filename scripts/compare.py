"""All learners in one table: same network, same budget of training, same frozen test episodes.

    python scripts/compare.py --quick                             # ten minutes on two CPU cores
    python scripts/compare.py                                     # 5-way 1-shot, 20,000 tasks of training each
    python scripts/compare.py --budget seconds --seconds 300      # as much as each can do in the same time
    python scripts/compare.py --ways 5 20 --shots 1 5 --algorithms maml prototypical

Every run is a folder like those of `jmeta train`. Started again, it goes on where it stopped.
"""

import dataclasses
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import tyro

from jmeta import evaluation
from jmeta.datasets import DataError
from jmeta.runs import RunError, TrainConfig, defaults, learners, load_trained, rounds, train
from jmeta.runs.compile_cache import use_compile_cache
from jmeta.runs.config import ALGORITHMS
from jmeta.runs.devices import use_cores
from jmeta.runs.errors import unknown
from jmeta.runs.figures import figure_maker, save
from jmeta.runs.folder import METRICS, read_json, read_rows, write_json, write_text
from jmeta.runs.judge import judge, memory_of_training
from jmeta.runs.problems import load_problem
from jmeta.runs.progress import shown
from jmeta.runs.signals import Stop, asked_to_stop

BUDGETS = ("tasks", "seconds")
JUDGED = "comparison.json"
OUT_OF_TIME = -1
"""What stops a run whose seconds are over, in place of a signal's number."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        algorithms: which learners.
        ways: classes of an episode, in training and in the test.
        shots: support examples of each class, in training and in the test.
        budget: what all learners have the same of: tasks to train on, or seconds of training (compiling not counted).
        tasks: how many, where that is the budget. For Baseline and Baseline++ a task is a batch of as many pictures.
        seconds: how many, where that is the budget.
        quick: 5-way 1-shot, 32 channels, 15 seconds of training and 200 episodes, to have a table soon.
        dataset: what is learned from.
        split: its split.
        features: channels of the convolutions.
        query_shot: query examples of each class.
        episodes: of the test, the same for all.
        reference: the learner that the others are compared with, episode by episode.
        seed: of the runs and of the test episodes.
        run_dir: the folder of all runs, of results.json, table.md and accuracy.png.
        data_dir: the folder of data sets; otherwise $JMETA_DATA.
    """

    algorithms: tuple[str, ...] = ALGORITHMS
    ways: tuple[int, ...] = (5,)
    shots: tuple[int, ...] = (1,)
    budget: str = "tasks"
    tasks: int = 20_000
    seconds: float = 300.0
    quick: bool = False
    dataset: str = "omniglot"
    split: str = "default"
    features: int = 64
    query_shot: int = 5
    episodes: int = 1000
    reference: str = "prototypical"
    seed: int = 0
    run_dir: str = "runs/compare"
    data_dir: str | None = None


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


def made_quick(config: Config) -> Config:
    """The settings of `--quick`, in a folder of their own."""
    if not config.quick:
        return config
    run_dir = config.run_dir if config.run_dir != Config.run_dir else f"{Config.run_dir}-quick"
    return dataclasses.replace(
        config, ways=(5,), shots=(1,), budget="seconds", seconds=15.0, features=32, episodes=200, run_dir=run_dir
    )


def check(config: Config) -> None:
    """Refuse what isn't there.

    Raises:
        RunError: naming it.
    """
    for algorithm in (*config.algorithms, config.reference):
        if algorithm not in ALGORITHMS:
            raise unknown("algorithm", algorithm, ALGORITHMS)
    if config.budget not in BUDGETS:
        raise unknown("budget", config.budget, BUDGETS)
    if config.tasks < 1 or not config.seconds > 0:
        raise RunError(f"a budget must be above 0, got {config.tasks} tasks and {config.seconds} seconds: give more.")


def settings(config: Config, algorithm: str, way: int, shot: int) -> TrainConfig:
    """A run's settings: the learner's defaults, with Adam at a constant rate for those that have a gradient."""
    start = defaults(algorithm, config.dataset)
    steps = -(-config.tasks // start.meta_batch_size) if config.budget == "tasks" else 1_000_000
    budget = f"{config.tasks}tasks" if config.budget == "tasks" else f"{config.seconds:g}s"
    return dataclasses.replace(
        start,
        way=way,
        shot=shot,
        query_shot=config.query_shot,
        split=config.split,
        features=(config.features,),
        outer_steps=steps,
        outer_schedule="constant",
        log_every=5,
        save_every=steps + 5 - steps % 5,
        seed=config.seed,
        data_dir=config.data_dir,
        run_dir=str(Path(config.run_dir) / f"{algorithm}-{way}w{shot}s-{budget}-seed{config.seed}"),
        resume=True,
    )


def until(seconds: float, stop: Stop, clock: Callable[[], float] = time.perf_counter) -> Stop:
    """`stop`, or `OUT_OF_TIME` so many seconds after the first piece has been compiled and begun."""
    begun: list[float] = []
    asked = 0

    def asks() -> int | None:
        nonlocal asked
        asked += 1
        if seconds <= 0:
            return OUT_OF_TIME
        if asked == 2:
            begun.append(clock())
        if begun and clock() - begun[0] > seconds:
            return OUT_OF_TIME
        return stop()

    return asks


def trained_seconds(rows: list[dict[str, Any]]) -> float:
    """Of rows of `metrics.jsonl`; compiling, which the first one contains, is replaced by the mean of the others."""
    later = [row["seconds"] for row in rows[1:]]
    return sum(later) * len(rows) / len(later) if later else 0.0


def measure(config: Config, run: TrainConfig) -> Row:
    """Train within the budget, or go on, and judge; a run that was judged is not trained again."""
    path = Path(str(run.run_dir)) / JUDGED
    if path.exists() and (kept := read_json(path))["episodes"] == config.episodes:
        return Row(**kept["row"])
    print(f"{run.run_dir}", flush=True)
    left = config.seconds - trained_seconds(read_rows(Path(str(run.run_dir)) / METRICS))
    with asked_to_stop() as stop, shown(run) as report:
        result = train(run, report=report, stop=until(left, stop) if config.budget == "seconds" else stop)
    if result.stopped_by not in (None, OUT_OF_TIME):
        sys.exit(f"stopped and saved at step {result.step}; the same command goes on.")
    problem = load_problem(result.config)
    trained = load_trained(result.run_dir, "newest")
    sample = problem.sampler("test", run.way, run.shot, run.query_shot)
    learner = learners.training_learner(result.config, problem.train_classes)
    learner = learner if not callable(learner) else learner(jax.numpy.int32(0))
    training = rounds.samplers(result.config, problem)[0]
    memory = memory_of_training(learner, trained.params, training(jax.random.key(0)))
    judged = judge(trained, sample, run.way, seed=config.seed, episodes=config.episodes, train_mebibytes=memory)
    row = Row(
        run.algorithm, run.way, run.shot, judged.accuracy.tolist(), judged.calibration_error,
        result.step * run.meta_batch_size, trained_seconds(result.rows),
        judged.adapt_milliseconds, judged.train_mebibytes,
    )  # fmt: skip
    write_json(path, {"episodes": config.episodes, "split_hash": problem.split_hash, "row": row._asdict()})
    return row


def markdown(rows: list[Row], reference: str) -> str:
    """A table for each way and shot, the best learner first."""
    lines = []
    for way, shot in sorted({(row.way, row.shot) for row in rows}):
        group = [row for row in rows if (row.way, row.shot) == (way, shot)]
        base = next((row for row in group if row.algorithm == reference), None)
        lines += [
            f"{way}-way {shot}-shot",
            "",
            f"| learner | accuracy, % | minus {reference}, paired | calibration error, % | tasks | training, s "
            "| adapting, ms | memory, MiB |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for row in sorted(group, key=lambda row: -np.mean(row.accuracy)):
            lines.append(
                f"| {row.algorithm} | {percent(evaluation.summarise(np.array(row.accuracy)))} | {beside(row, base)} "
                f"| {100 * row.calibration_error:.1f} | {row.tasks:,} | {row.train_seconds:.0f} "
                f"| {row.adapt_milliseconds:.1f} | {row.train_mebibytes:.0f} |"
            )
        lines.append("")
    return "\n".join(lines)


def percent(value: evaluation.Evaluation, sign: str = "") -> str:
    """`98.1 +- 0.3`."""
    return f"{100 * value.mean:{sign}.1f} +- {100 * value.ci95:.1f}"


def beside(row: Row, base: Row | None) -> str:
    """The mean difference to the reference on the same episodes, with its own interval."""
    if base is None or base is row:
        return "-"
    return percent(evaluation.paired_difference(np.array(row.accuracy), np.array(base.accuracy)), "+")


def picture(rows: list[Row], path: Path) -> Path:
    """Accuracy with intervals, best at the top, a panel for each way and shot."""
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
    config = made_quick(config)
    check(config)
    use_compile_cache(True)
    folder = Path(config.run_dir)
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    for way in config.ways:
        for shot in config.shots:
            for algorithm in config.algorithms:
                rows.append(measure(config, settings(config, algorithm, way, shot)))
                write_text(folder / "results.json", json.dumps([row._asdict() for row in rows]) + "\n")
                write_text(folder / "table.md", markdown(rows, config.reference))
    print(markdown(rows, config.reference))
    print(f"kept in {folder}: results.json, table.md and {picture(rows, folder / 'accuracy.png').name}")
    return rows


def run() -> None:
    """As a program."""
    use_cores()
    try:
        main(tyro.cli(Config))
    except (RunError, DataError) as error:
        print(f"compare: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    run()
