"""Sentences told apart after one or five examples of an intent, without a pretrained model.

    python -m scripts.few_shot.text --data-dir DATA

Each of four data sets is divided into classes for training, validation and test in five ways, those of ProtAugment. All
methods meet the same episodes of the test classes. Three need no training: the nearest class mean, by cosines, of
counts of words, and of TF-IDF of words and of pieces of words. Beside them stand prototypical networks, trained on
episodes of the training classes: on words, and on TF-IDF with a metric that starts as that of TF-IDF. Their rate, their
size and the step that is kept are chosen by episodes of the validation classes, for each division by itself.

DATA holds `text/NAME.jsonl.gz`, lines of `{"text", "label"}`, and `splits/NAME.json`, with divisions `protaugment1` to
`protaugment5`.

Source of the divisions: Dopierre et al. 2021, ProtAugment, https://arxiv.org/abs/2105.12995
"""

import dataclasses
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from jmeta.algorithms.prototypical import prototypical
from jmeta.datasets.cache import data_root
from jmeta.datasets.sentences import Sentences, read_sentences
from jmeta.errors import unknown
from jmeta.report.tables import percent
from jmeta.runs.engine.progress import say
from jmeta.settings import setting
from scripts.few_shot.text_methods import (
    CHECKS,
    FLOOR,
    METHODS,
    Asked,
    Method,
    Part,
    Training,
    judging,
    nearest_means,
    parts_of,
    sampler,
    trained,
)
from scripts.study import Rows, Shown, Study, interval, markdown, program

DATASETS = ("clinc150", "banking77", "hwu64", "liu54")
DIVISIONS = tuple(f"protaugment{k}" for k in range(1, 6))


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        methods: rows of the table.
        datasets: its columns.
        divisions: of the classes of each.
        way: classes in an episode.
        shots: support examples of each class.
        query_shot: query examples of each class.
        episodes: of each division and shot.
        outer_steps: of each training.
        train_way: classes in an episode of training.
        meta_batch_size: episodes in an outer step.
        val_episodes: of one shot, of each validation.
        seed: decides the episodes and how training starts.
        run_dir: where results.json and table.md are kept.
        data_dir: the folder of data sets; otherwise $JMETA_DATA.
    """

    methods: tuple[str, ...] = setting(("counts", "words", "pieces", "bag", "transformer", "metric"), place=True)
    datasets: tuple[str, ...] = setting(DATASETS, place=True)
    divisions: tuple[str, ...] = DIVISIONS
    way: int = setting(5, least=2)
    shots: tuple[int, ...] = setting((1, 5), least=1)
    query_shot: int = setting(5, least=1)
    episodes: int = setting(600, least=2)
    outer_steps: int = setting(120, least=CHECKS)
    train_way: int = setting(15, least=2)
    meta_batch_size: int = setting(4, least=1)
    val_episodes: int = setting(300, least=2)
    seed: int = setting(0, least=0)
    run_dir: str = setting("runs/text", place=True)
    data_dir: str | None = setting(None, place=True)


def places(config: Config, part: Part, shot: int) -> list[np.ndarray]:
    """The rows of the test's sentences: `[episodes, shot, way]` and `[episodes, query_shot, way]`."""
    every = np.arange(len(part.texts), dtype=np.int32)[:, None]
    sample = sampler(part, every, config.way, shot, config.query_shot)
    episodes = jax.jit(jax.vmap(sample))(keys(config))
    return [np.asarray(batch.x).reshape(config.episodes, -1, config.way) for batch in episodes]


def keys(config: Config) -> jax.Array:
    """Of the episodes of the test, the same for all methods."""
    return jax.random.split(jax.random.key(config.seed), config.episodes)


def measured(config: Config, method: Method, sentences: Sentences, protocol: str) -> dict[str, Any]:
    """The accuracy of each episode of a division, by shot, and the seconds that reading and training took."""
    began, parts = time.perf_counter(), parts_of(sentences, protocol)
    read = method.read(parts["train"].texts)
    if not method.candidates:
        rows = read(parts["test"].texts)
        found = {shot: nearest_means(rows, *places(config, parts["test"], shot)) for shot in config.shots}
        return {"values": found, "val": None, "chosen": None, "seconds": time.perf_counter() - began}
    rows, every = {name: read(part.texts) for name, part in parts.items()}, []
    for encoder, rate in method.candidates:
        judge = judging(encoder)
        params, val = trained(training_of(config, rate), prototypical(encoder), judge, parts, rows)
        every.append((val, params, judge))
    vals = [val for val, _, _ in every]
    val, params, judge = every[chosen := int(np.argmax(vals))]
    found, seconds = {}, time.perf_counter() - began
    for shot in config.shots:
        asked = Asked(config.way, shot, config.query_shot, keys(config))
        found[shot] = judge(params, parts["test"], rows["test"], asked)
    return {"values": found, "val": val, "chosen": chosen, "seconds": seconds}


def training_of(config: Config, rate: float) -> Training:
    """How a learner is trained, at one shot."""
    return Training(
        rate, config.outer_steps, config.train_way, config.way, config.query_shot, config.meta_batch_size,
        config.val_episodes, config.seed,
    )  # fmt: skip


def study(config: Config) -> Study:
    """A row for each method on each data set, over all divisions.

    Raises:
        RunError: for a method that is not known.
        DataError: for data that are missing or damaged.
    """
    for name in config.methods:
        if name not in METHODS:
            raise unknown("method", name, METHODS)
    folder = data_root(config.data_dir)
    data = {name: read_sentences(folder / "text" / f"{name}.jsonl.gz") for name in config.datasets}

    def row(method: str, name: str, rows: Rows) -> dict[str, Any]:
        found = []
        for division in config.divisions:
            found.append(measured(config, METHODS[method], data[name], f"{folder / 'splits' / name}.json:{division}"))
            own = " / ".join(f"{100 * values.mean():.1f}" for values in found[-1]["values"].values())
            say(f"{method}, {name}, {division}: {own} %, {found[-1]['seconds']:.0f} s")
        return {
            "shots": {
                str(shot): summary([each["values"][shot] for each in found], _floor(rows, method, name, shot))
                for shot in config.shots
            },
            "val": [each["val"] for each in found],
            "chosen": [each["chosen"] for each in found],
            "seconds": sum(each["seconds"] for each in found),
        }

    rows = {f"{m}, {n}": partial(row, m, n) for m in config.methods for n in config.datasets}
    return Study(rows, partial(show, config), {name: data[name].checksum for name in config.datasets})


def _floor(rows: Rows, method: str, name: str, shot: int) -> list[float] | None:
    """What TF-IDF of pieces has on each division, if it is there."""
    floor = rows.get(f"{FLOOR}, {name}")
    return None if floor is None or method == FLOOR else floor["shots"][str(shot)]["of_division"]


def summary(values: Sequence[np.ndarray], floor: Sequence[float] | None) -> dict[str, Any]:
    """The mean over divisions with its interval, that of each, and how far it is above the floor of each."""
    means = [float(each.mean(dtype=np.float64)) for each in values]
    above = None if floor is None else interval(np.subtract(means, floor))
    return {**interval(means), "of_division": means, "above": above}


def show(config: Config, rows: Rows) -> Shown:
    """A line for each method, with its accuracy on each data set after each number of shots, and seconds in all."""
    lines = []
    for method in config.methods:
        own = [rows[f"{method}, {name}"] for name in config.datasets]
        cells = [_cell(row["shots"][str(shot)]) for row in own for shot in config.shots]
        lines.append([METHODS[method].label, *cells, f"{sum(row['seconds'] for row in own):.0f}"])
    head = [f"{name}, {shot}-shot" for name in config.datasets for shot in config.shots]
    return Shown(markdown([f"{config.way}-way, %", *head, "seconds"], lines), summary=wins(config, rows))


def _cell(found: dict[str, Any]) -> str:
    above = found["above"]
    said = percent(found["mean"], found["ci95"], digits=1)
    return said if above is None else f"{said} ({100 * above['mean']:+.1f})"


def wins(config: Config, rows: Rows) -> dict[str, list[str]]:
    """By learner, the data sets on which its least shot is above the floor by more than the interval of differences."""
    found = {}
    for method in (name for name in config.methods if METHODS[name].candidates):
        above = {name: rows[f"{method}, {name}"]["shots"][str(min(config.shots))]["above"] for name in config.datasets}
        found[method] = [n for n, each in above.items() if each is not None and each["mean"] > (each["ci95"] or 0)]
    return found


if __name__ == "__main__":
    program("few_shot.text", Config, study)
