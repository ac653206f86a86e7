"""Accuracy after streams of more and more new classes, each example seen once, beside class means of raw pixels."""

import dataclasses
import datetime
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.tree_util import Partial

from jmeta.augment import random_affine
from jmeta.continual import encoders, heads
from jmeta.continual.algorithms.catalog import LEARNERS
from jmeta.continual.heads import Candidate
from jmeta.continual.online import experiment as online
from jmeta.errors import RunError
from jmeta.ragged import Ragged
from jmeta.report.files import write_json
from jmeta.report.statistics import interval
from jmeta.report.tables import markdown, plus_minus
from jmeta.runs.continual.trained import Trained, load, load_sequence
from jmeta.runs.engine import folder
from jmeta.runs.engine.devices import enough_memory
from jmeta.settings import check, flag, setting
from jmeta.tasks.streams import stream_sampler

RAW = "class means of raw pixels"
CHOICE_STREAMS, CHOICE_CLASSES = 2, 200
TEST_SEED, CHOICE_SEED = 20_001, 0xC401CE


@dataclasses.dataclass(frozen=True)
class Config:
    """Learn streams of new classes and report the accuracy on held-out examples, in evaluation.json.

    Attributes:
        run_dir: the folder of a run of `jmeta continual train`, or of `jmeta train` with an encoder, such as one of
            prototypical. Normalization by a batch has the statistics of training examples.
        head: what learns the streams on the encoder's features: class-means, gemcl, ridge, or oml; otherwise what was
            trained, and class-means for a run of `jmeta train`. What it can be told, such as a rate, is chosen on
            validation classes.
        classes: of the streams; those of more than the test has are left out.
        shot: examples of each class in a stream.
        query_shot: examples of each class that it is asked for after.
        streams: of each number of classes, the same for all that are compared.
        copies: features are means over so many copies of each picture, changed a little; 1 takes it as it is.
        checkpoint: best (by validation) or newest.
        data_dir: the folder of data sets; otherwise the run's.

    Of a sequence of tasks it is the accuracy on each task, at the checkpoint; take the newest for that at the end.
    """

    run_dir: str
    head: str | None = None
    classes: tuple[int, ...] = setting((10, 50, 100, 200, 600), least=2)
    shot: int = setting(15, least=1)
    query_shot: int = setting(5, least=1)
    streams: int = setting(15, least=2)
    copies: int = setting(1, least=1, most=100)
    checkpoint: str = setting("best", choices=("best", "newest"))
    data_dir: str | None = None


def main(config: Config) -> dict[str, Any]:
    """Measure, print and write evaluation.json."""
    check(config)
    run_dir = Path(config.run_dir)
    if (found := load_sequence(run_dir, config.checkpoint, data_dir=config.data_dir)) is not None:
        return _of_sequence(config, run_dir, *found)
    trained = load(run_dir, config.checkpoint, data_dir=config.data_dir)
    head = config.head or trained.algorithm or "class-means"
    LEARNERS.get(head)
    if not any(n <= len(trained.data.test) for n in config.classes):
        raise RunError(f"the test has {len(trained.data.test)} classes: give fewer --classes.")
    with enough_memory("streams don't fit into the device's memory: give fewer --classes or a smaller --shot."):
        known, val, test = (of_part(trained, part, config.copies) for part in ("train", "val", "test"))
        mine = trained.head if head == trained.algorithm else None
        own = trained.own if head == trained.algorithm else None
        rows = {
            head: measured(heads.candidates(head, known, own, mine), val, test, config),
            RAW: measured(heads.candidates("class-means", known), val, raw(trained.data.test), config),
        }
    result = {
        "rows": rows, "shot": config.shot, "query_shot": config.query_shot, "streams": config.streams,
        "copies": config.copies, "steps": trained.step, "checkpoint": config.checkpoint,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }  # fmt: skip
    print(table(rows))
    write_json(run_dir / folder.EVALUATION, result)
    return result


def _of_sequence(config: Config, run_dir: Path, settings: Any, data: Any, step: int, state: Any) -> dict[str, Any]:
    """Accuracy on test examples of each task at the end, whose mean is the accuracy retained."""
    start = {field.name: field.default for field in dataclasses.fields(Config)}
    if given := [flag(name) for name in ("head", "classes", "shot", "streams") if getattr(config, name) != start[name]]:
        raise RunError(f"{run_dir} is of a sequence of tasks, and no stream: leave {', '.join(given)} out.")
    found = np.asarray(jax.jit(online.judge(settings, data.test))(state.params)["accuracy"], np.float64)
    result = {
        "tasks": found.tolist(), "retained": float(found.mean()), "scenario": settings.sequence.scenario,
        "sequence": settings.sequence.sequence, "steps": step, "checkpoint": config.checkpoint,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }  # fmt: skip
    heads = ("task", *map(str, range(1, len(found) + 1)), "retained")
    print(markdown(heads, [(settings.algorithm, *(f"{100 * value:.1f}" for value in (*found, found.mean())))]))
    write_json(run_dir / folder.EVALUATION, result)
    return result


def of_part(trained: Trained, part: str, copies: int = 1) -> Ragged:
    """Features of all examples of a part: of validation with every turn that training had, of training a few classes.

    So a choice for many classes is made among many, where validation has few of them.
    """
    examples: Ragged = getattr(trained.data, part)
    if part == "train":
        examples = examples[np.random.default_rng(0).permutation(len(examples))[:200]]
    rows, turns = np.asarray(examples.rows), 4 if part == "val" and trained.rotations and len(examples) else 1
    if not len(rows):
        return examples
    warp = None if copies == 1 else random_affine(degrees=5.0, scale=0.1, shear=0.1, shift=0.035)
    whole = np.concatenate([np.rot90(rows, k, axes=(1, 2)) for k in range(turns)]) if turns > 1 else rows
    z = encoders.features(trained.encoder, trained.params, whole, copies=copies, augment=warp)
    return Ragged(z, np.tile(examples.counts, turns))


def raw(examples: Ragged) -> Ragged:
    """Examples as they are, in one row of numbers each."""
    x = np.asarray(encoders.read(examples.rows))
    return Ragged(x.reshape(len(x), -1), examples.counts)


def measured(found: list[Candidate], val: Ragged, test: Ragged, config: Config) -> dict[str, Any]:
    """Accuracy on queries and on what was streamed, for each number of classes that the test has."""
    ordered = LEARNERS.get(found[0].name).ordered
    counts = [n for n in sorted(config.classes) if n <= len(test)]
    largest = chosen(found, val, counts[-1] if ordered else min(counts[-1], CHOICE_CLASSES), config)
    rows: dict[str, Any] = {"classes": counts, "told": [], **{name: [] for name in _NAMES}}
    for n in counts:
        best = chosen(found, val, n, config) if ordered and n != counts[-1] else largest
        sample = streams_of(test, n, config)
        keys = jax.random.split(jax.random.key(TEST_SEED), config.streams)
        queries, streamed = heads.accuracies(*heads.learner_of(best, n), sample, keys)
        rows["told"].append(best.told)
        for name, value in zip(_NAMES, (*interval(queries), *interval(streamed)), strict=True):
            rows[name].append(value)
    return rows


_NAMES = ("accuracy", "ci95", "streamed", "streamed_ci95")


def streams_of(known: Ragged, classes: int, config: Config) -> Partial:
    """Streams of so many classes, of their first examples, which are asked for the next; RunError for too few."""
    try:
        return stream_sampler(known, classes=classes, shot=config.shot, query_shot=config.query_shot, drawn=False)
    except ValueError as error:
        raise RunError(f"{error}.") from error


def chosen(found: list[Candidate], val: Ragged, classes: int, config: Config) -> Candidate:
    """The candidate that is best on streams of validation classes, of which there may be fewer."""
    if len(found) == 1 or len(val) < 2:
        return found[0]
    n = min(classes, len(val))
    sample = streams_of(val, n, config)
    keys = jax.random.split(jax.random.key(CHOICE_SEED), CHOICE_STREAMS)
    return max(found, key=lambda each: heads.accuracies(*heads.learner_of(each, n), sample, keys)[0].mean())


def table(rows: dict[str, Any]) -> str:
    """Accuracy after streams of each number of classes, and of what was streamed in the longest."""
    counts = next(iter(rows.values()))["classes"]
    cells = [
        (name, *(plus_minus(*pair, digits=3) for pair in zip(row["accuracy"], row["ci95"], strict=True)),
         plus_minus(row["streamed"][-1], row["streamed_ci95"][-1], digits=3))
        for name, row in rows.items()
    ]  # fmt: skip
    return markdown(("classes", *map(str, counts), f"streamed, {counts[-1]}"), cells)
