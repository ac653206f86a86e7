"""Digits to objects: learners trained on Omniglot, shown MNIST's digits and CIFAR-10's objects.

    python scripts/transfer.py --run-dirs runs/proto runs/maml runs/r2d2

Each learner meets the same episodes: of the test classes of its own data, and of all classes of the others, whose
pictures are made gray, resized and if need be inverted. The nearest neighbour between raw pixels meets them too, as the
floor; what a learner is above it is a mean of differences, with its own interval. Started again, it goes on where it
stopped.
"""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import tyro

from jmeta import evaluation
from jmeta.errors import RunError
from jmeta.evaluation import summarise
from jmeta.runs.engine.checkpoints import digest_of
from jmeta.runs.engine.compile_cache import use_compile_cache
from jmeta.runs.engine.folder import write_json, write_text
from jmeta.runs.few_shot import Trained, load_trained
from jmeta.runs.few_shot.experiment import eval_chunk_size, eval_steps
from jmeta.runs.few_shot.floor import nearest_pixels
from jmeta.runs.few_shot.sources import is_turned
from jmeta.runs.few_shot.trained import at_way
from jmeta.runs.few_shot.transfer import Shown, show
from jmeta.settings import replaced
from jmeta.types import Learner, Params

FLOOR = "nearest neighbour between raw pixels"
RESULTS, TABLE = "transfer.json", "transfer.md"


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        run_dirs: folders of runs that were trained on the same data and split.
        datasets: what else they are shown.
        way: classes in an episode.
        shots: support examples of each class.
        query_shot: query examples of each class.
        episodes: of each measurement.
        seed: decides the episodes.
        inner_steps: inner steps; otherwise each run's for evaluation.
        checkpoint: best (by validation) or newest.
        transductive: whether queries are predicted together where batch statistics let them see each other, or one by
            one, which takes several times as long.
        output: the folder that transfer.json and transfer.md are written to.
        data_dir: the folder of data sets; otherwise each run's, or $JMETA_DATA.
    """

    run_dirs: tuple[str, ...]
    datasets: tuple[str, ...] = ("mnist28.npz", "cifar10_32.npz")
    way: int = 5
    shots: tuple[int, ...] = (1, 5)
    query_shot: int = 15
    episodes: int = 600
    seed: int = 0
    inner_steps: int | None = None
    checkpoint: str = "best"
    transductive: bool = True
    output: str = "runs/transfer"
    data_dir: str | None = None


class Cell(NamedTuple):
    """A learner on a data set at a shot.

    Attributes:
        name: of the run folder, or `FLOOR`.
        run_dir: the run folder's whole path; empty for the floor.
        algorithm: of the learner.
        step: of the checkpoint; 0 for the floor.
        digest: of its parameters.
        inner_steps: that it adapts by.
        dataset: the name of the data.
        shot: support examples of each class.
        protocol: of the split.
        split_hash: of its classes.
        checksum: of the data.
        changes: what was done to the pictures.
        accuracy: of each episode.
    """

    name: str
    run_dir: str
    algorithm: str
    step: int
    digest: str
    inner_steps: int
    dataset: str
    shot: int
    protocol: str
    split_hash: str
    checksum: str
    changes: str
    accuracy: list[float]


class Entry(NamedTuple):
    """What is measured in a row: a learner that is ready for episodes, and its data by name."""

    name: str
    run_dir: str
    algorithm: str
    step: int
    inner_steps: int
    learner: Learner
    params: Params
    chunk_size: int
    data: dict[str, Shown]


def entry_of(config: Config, run_dir: str) -> Entry:
    """A trained learner, ready."""
    trained = load_trained(run_dir, config.checkpoint)
    steps = eval_steps(trained.settings.learner) if config.inner_steps is None else config.inner_steps
    params = at_way(trained.params, trained.settings.tasks.way, config.way)
    return Entry(
        Path(run_dir).name,
        str(Path(run_dir).resolve()),
        trained.settings.algorithm,
        trained.step,
        steps,
        trained.learner_of(steps, config.way),
        params,
        eval_chunk_size(trained.settings.tasks),
        data_for(config, trained),
    )


def data_for(config: Config, trained: Trained) -> dict[str, Shown]:
    """Its own data, then the others. Omniglot's classes are turned for all, whether they were in training or not."""
    own = replaced(trained.settings, {"rotations": is_turned(trained.settings.tasks.dataset)})
    shown = [show(trained._replace(settings=own), data_dir=config.data_dir)]
    shown += [show(trained, name, data_dir=config.data_dir) for name in config.datasets]
    return {one.problem.name: one for one in shown}


def check_sizes(config: Config) -> None:
    """Refuse numbers that make no sense.

    Raises:
        RunError: saying what they must be.
    """
    if not config.run_dirs or not config.shots or min(config.way, config.query_shot, *config.shots) < 1:
        raise RunError("there must be run folders and shots, and all sizes must be 1 or more: correct them.")
    if config.episodes < 2:
        raise RunError(f"--episodes must be 2 or more, got {config.episodes}: choose another.")
    if config.inner_steps is not None and config.inner_steps < 0:
        raise RunError(f"--inner-steps must be 0 or more, got {config.inner_steps}: choose another.")


def check(config: Config, entries: list[Entry]) -> None:
    """Refuse runs whose numbers could not be in one table.

    Raises:
        RunError: naming them.
    """
    if len({entry.name for entry in entries}) < len(entries):
        raise RunError("the run folders need different names, as the table has them: rename one.")
    own = [next(iter(entry.data.values())).problem for entry in entries]
    for entry, problem in zip(entries, own, strict=True):
        if problem.split_hash != own[0].split_hash:
            raise RunError(
                f"{entry.name} was trained on {problem.name} ({problem.protocol}) and {entries[0].name} on "
                f"{own[0].name} ({own[0].protocol}): give runs of the same data and split."
            )
        for name, shown in entry.data.items():
            if shown.seen:
                raise RunError(f"{entry.name} was trained on {shown.seen} of the classes of {name}: choose other data.")


def measure(config: Config, entry: Entry, name: str, shot: int, kept: list[Cell]) -> Cell:
    """One cell of the table, if it isn't among those that are kept."""
    problem = entry.data[name].problem
    data = (problem.protocol, problem.split_hash, problem.checksum, ", ".join(problem.changes))
    learner = (entry.name, entry.run_dir, entry.algorithm, entry.step, digest_of(entry.params), entry.inner_steps)
    cell = Cell(*learner, name, shot, *data, [])
    for old in kept:
        if old._replace(accuracy=[]) == cell:
            return old
    found = evaluation.evaluate(
        entry.learner,
        entry.params,
        problem.sampler("test", config.way, shot, config.query_shot),
        jax.random.key(config.seed),
        episodes=config.episodes,
        predict=evaluation.transductive if config.transductive else evaluation.inductive,
        chunk_size=entry.chunk_size,
    )
    return cell._replace(accuracy=[round(float(value), 6) for value in found.accuracy])


def markdown(config: Config, cells: list[Cell]) -> str:
    """Accuracy of each learner, and how far each is above the floor, in %."""
    columns = list(dict.fromkeys((cell.dataset, cell.shot) for cell in cells))
    found = {(cell.name, cell.dataset, cell.shot): np.array(cell.accuracy) for cell in cells}
    labels = {cell.name: cell.name if cell.name in (FLOOR, cell.algorithm) else f"{cell.algorithm} ({cell.name})"
              for cell in cells}  # fmt: skip

    def table(first: str, values: Any) -> list[str]:
        head = [f"{dataset}, {config.way}-way {shot}-shot" for dataset, shot in columns]
        lines = [f"| {first} | {' | '.join(head)} |", "|---" * (len(head) + 1) + "|"]
        for name, label in labels.items():
            row = [values(name, *column) for column in columns]
            if any(row):
                lines.append(f"| {label} | {' | '.join(row)} |")
        return lines

    def accuracy(name: str, dataset: str, shot: int) -> str:
        return _percent(found[name, dataset, shot]) if (name, dataset, shot) in found else "-"

    def above(name: str, dataset: str, shot: int) -> str:
        if name == FLOOR or (name, dataset, shot) not in found:
            return ""
        return _percent(found[name, dataset, shot] - found[FLOOR, dataset, shot])

    reading = "together" if config.transductive else "one by one"
    lines = [*table("accuracy, %", accuracy), "", *table("above the floor, %", above), ""]
    lines.append(
        f"{config.episodes} episodes each, the same for all; queries of learners with batch statistics {reading}."
    )
    changes = {cell.dataset: cell.changes for cell in cells if cell.changes}
    lines += [f"Pictures of {dataset}: {done}." for dataset, done in changes.items()]
    return "\n".join(lines) + "\n"


def _percent(values: np.ndarray) -> str:
    result = summarise(values)
    return f"{100 * result.mean:.1f} +- {100 * result.ci95:.1f}"


def settings_of(config: Config) -> dict[str, Any]:
    """What decides the numbers, beside the runs and the data."""
    names = ("way", "query_shot", "episodes", "seed", "inner_steps", "transductive")
    return {name: getattr(config, name) for name in names}


def kept_in(config: Config) -> list[Cell]:
    """What an earlier start with these settings has measured."""
    path = Path(config.output) / RESULTS
    if not path.exists():
        return []
    try:
        before = json.loads(path.read_text())
        return [Cell(**cell) for cell in before["cells"]] if before["settings"] == settings_of(config) else []
    except (ValueError, KeyError, TypeError):
        return []


def write(config: Config, cells: list[Cell], kept: list[Cell]) -> None:
    """The results, with those of an earlier start that are still to come, and the table, each whole or not at all."""
    done = {(cell.name, cell.dataset, cell.shot) for cell in cells}
    later = [cell for cell in kept if (cell.name, cell.dataset, cell.shot) not in done]
    record = {"settings": settings_of(config), "cells": [cell._asdict() for cell in [*cells, *later]]}
    write_json(Path(config.output) / RESULTS, record)
    write_text(Path(config.output) / TABLE, markdown(config, cells))


def main(config: Config) -> list[Cell]:
    """Measure what is missing, then print and write the table.

    Raises:
        RunError: for run folders that can't be used, or that can't be in one table.
        DataError: for data that are missing or damaged.
    """
    check_sizes(config)
    use_compile_cache(True)
    entries = [entry_of(config, run_dir) for run_dir in config.run_dirs]
    check(config, entries)
    floor = Entry(FLOOR, "", "-", 0, 0, nearest_pixels(), (), entries[0].chunk_size, entries[0].data)
    kept = kept_in(config)
    Path(config.output).mkdir(parents=True, exist_ok=True)
    cells: list[Cell] = []
    for entry in (floor, *entries):
        for name in entry.data:
            for shot in config.shots:
                cells.append(measure(config, entry, name, shot, kept))
                write(config, cells, kept)
        print(f"{entry.name}: done", flush=True)
    print(markdown(config, cells))
    return cells


def run() -> None:
    """As a program."""
    try:
        main(tyro.cli(Config))
    except RunError as error:
        print(f"transfer: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("transfer: stopped; the same command goes on.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    run()
