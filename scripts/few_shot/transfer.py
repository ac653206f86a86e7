"""Digits to objects: learners trained on Omniglot, shown MNIST's digits and CIFAR-10's objects.

    python -m scripts.few_shot.transfer --learners runs/proto runs/maml runs/r2d2

Each learner meets the same episodes: of the test classes of its own data, and of all classes of the others, whose
pictures are made gray, resized and if need be inverted. The nearest neighbor between raw pixels meets them too, as the
floor; what a learner is above it is a mean of differences, with its own interval.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jmeta import evaluation
from jmeta.errors import RunError
from jmeta.evaluation import summarize
from jmeta.runs.engine.devices import check_number
from jmeta.runs.engine.leaves import digest_of
from jmeta.runs.few_shot import Trained, load_trained, transfer
from jmeta.runs.few_shot.experiment import eval_chunk_size, eval_steps
from jmeta.runs.few_shot.heads import at_way
from jmeta.settings import replaced, setting
from jmeta.tasks import catalog
from jmeta.types import Learner, Params
from scripts.few_shot.floor import FLOOR, nearest_pixels
from scripts.study import Rows, Shown, Study, markdown, percent, program


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        learners: folders of runs that were trained on the same data and split.
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
        run_dir: where results.json and table.md are kept.
        data_dir: the folder of data sets; otherwise each run's, or $JMETA_DATA.
    """

    learners: tuple[str, ...] = setting((), place=True)
    datasets: tuple[str, ...] = setting(("mnist28.npz", "cifar10_32.npz"), place=True)
    way: int = setting(5, least=1)
    shots: tuple[int, ...] = setting((1, 5), least=1, place=True)
    query_shot: int = setting(15, least=1)
    episodes: int = setting(600, least=2)
    seed: int = setting(0, least=0)
    inner_steps: int | None = setting(None, least=0, place=True)
    checkpoint: str = setting("best", choices=("best", "newest"), place=True)
    transductive: bool = True
    run_dir: str = setting("runs/transfer", place=True)
    data_dir: str | None = setting(None, place=True)


class Entry(NamedTuple):
    """What is measured in a row of the table: a learner that is ready for episodes, and its data by name."""

    name: str
    label: str
    inner_steps: int
    learner: Learner
    params: Params
    chunk_size: int
    data: dict[str, transfer.Shown]


def entry_of(config: Config, run_dir: str) -> Entry:
    """A trained learner, ready."""
    trained, name = load_trained(run_dir, config.checkpoint), Path(run_dir).name
    steps = eval_steps(trained.settings.learner) if config.inner_steps is None else config.inner_steps
    algorithm, tasks = trained.settings.algorithm, trained.settings.tasks
    return Entry(
        name,
        name if name == algorithm else f"{algorithm} ({name})",
        steps,
        trained.learner_of(steps, config.way),
        at_way(trained.params, tasks.way, config.way),
        eval_chunk_size(tasks),
        data_for(config, trained),
    )


def data_for(config: Config, trained: Trained) -> dict[str, transfer.Shown]:
    """Its own data, then the others. Omniglot's classes are turned for all, whether they were in training or not."""
    own = replaced(trained.settings, {"rotations": catalog.row(trained.settings.tasks.dataset).turned})
    shown = [transfer.show(trained._replace(settings=own), data_dir=config.data_dir)]
    shown += [transfer.show(trained, name, data_dir=config.data_dir) for name in config.datasets]
    return {one.problem.name: one for one in shown}


def check(entries: list[Entry]) -> None:
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


def study(config: Config) -> Study:
    """A row for each learner, data set and shot, named by the learner's parameters and steps and the data.

    Raises:
        RunError: for run folders that can't be used, or that can't be in one table.
        DataError: for data that are missing or damaged.
    """
    if not config.learners or not config.shots:
        raise RunError("there must be run folders and shots: give at least one of --learners and of --shots.")
    check_number(config.episodes, "--episodes")
    entries = [entry_of(config, run_dir) for run_dir in config.learners]
    check(entries)
    floor = Entry(FLOOR, FLOOR, 0, nearest_pixels(), (), entries[0].chunk_size, entries[0].data)
    rows: dict[str, Callable[[Rows], Any]] = {}
    for entry in (floor, *entries):
        about = f"{entry.label} {digest_of(entry.params)[:12]}, {entry.inner_steps} inner steps"
        for name, shown in entry.data.items():
            problem = shown.problem
            data = ", ".join((name, problem.protocol, problem.split_hash, problem.checksum, *problem.changes))
            for shot in config.shots:
                rows[f"{about}; {data}; {shot}-shot"] = partial(measure, config, entry, name, shot)
    return Study(rows, partial(show, config))


def measure(config: Config, entry: Entry, name: str, shot: int, rows: Rows) -> dict[str, Any]:
    """Accuracy of each episode, and what the table says of it."""
    problem = entry.data[name].problem
    found = evaluation.evaluate(
        entry.learner,
        entry.params,
        problem.sampler("test", config.way, shot, config.query_shot),
        jax.random.key(config.seed),
        episodes=config.episodes,
        predict=evaluation.transductive if config.transductive else evaluation.inductive,
        chunk_size=entry.chunk_size,
    )
    accuracy = [round(float(value), 6) for value in found.accuracy]
    about = {"learner": entry.label, "dataset": name, "shot": shot, "changes": ", ".join(problem.changes)}
    return {**about, "accuracy": accuracy}


def show(config: Config, rows: Rows) -> Shown:
    """Accuracy of each learner, and how far each is above the floor, in %."""
    columns = list(dict.fromkeys((row["dataset"], row["shot"]) for row in rows.values()))
    found = {(row["learner"], row["dataset"], row["shot"]): np.array(row["accuracy"]) for row in rows.values()}
    labels = list(dict.fromkeys(row["learner"] for row in rows.values()))

    def cell(label: str, column: tuple[str, int], above: bool) -> str:
        if (label, *column) not in found:
            return "-"
        own = found[label, *column]
        return percent(summarize(own - found[FLOOR, *column] if above else own))

    def table(first: str, labels: list[str], above: bool) -> str:
        head = [first, *(f"{dataset}, {config.way}-way {shot}-shot" for dataset, shot in columns)]
        return markdown(head, [[label, *(cell(label, column, above) for column in columns)] for label in labels])

    reading = "together" if config.transductive else "one by one"
    notes = [f"{config.episodes} episodes each, the same for all; queries of learners with batch statistics {reading}."]
    changes = {row["dataset"]: row["changes"] for row in rows.values() if row["changes"]}
    notes += [f"Pictures of {dataset}: {done}." for dataset, done in changes.items()]
    tables = table("accuracy, %", labels, False), table("above the floor, %", labels[1:], True)
    return Shown("\n".join((*tables, "".join(f"{note}\n" for note in notes))))


if __name__ == "__main__":
    program("few_shot.transfer", Config, study)
