"""CIFAR-FS and FC100 with four convolutions: raw pixels, prototypes, a classifier's features, and learners after it.

    python -m scripts.few_shot.photographs                            # CIFAR-FS, two hours and a half of one core
    python -m scripts.few_shot.photographs --dataset fc100 --run-dir runs/fc100
    python -m scripts.few_shot.photographs --learners rfs rfs+ridge   # two rows
    python -m scripts.few_shot.photographs --mirror                   # each also with pictures mirrored in the test

A classifier of all training classes learns the most from a picture. `rfs` is its features under a logistic regression,
and what is named `rfs+` starts from its encoder. No query sees another: MAML normalizes by the support set, all others
by training pictures. Every run is a folder like those of `jmeta train`, kept at its best validation.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from jmeta.errors import RunError, unknown
from jmeta.runs.engine.area import Whole
from jmeta.runs.engine.devices import use_cores
from jmeta.runs.engine.folder import METRICS, read_rows
from jmeta.runs.engine.options import Options
from jmeta.runs.few_shot import Data, EvaluateConfig, Size, evaluate, settings_of, train
from jmeta.runs.few_shot.problems import load_problem
from jmeta.runs.few_shot.readings import MIRROR, ONE
from jmeta.runs.few_shot.statistics import SUPPORT, TRAIN
from jmeta.settings import replaced, setting
from scripts.study import Rows, Shown, Study, gone_on, markdown, percent, program

DATA, SHOTS = ("cifar-fs", "fc100"), (1, 5)
WAY, QUERIES = 5, 15


class Row(NamedTuple):
    """A learner of the table.

    Attributes:
        algorithm: its name.
        changes: settings that are not those of all.
        start: the row whose encoder it starts from; None for nothing.
        by_shot: what else it is at some numbers of shots, of what is trained at each, as what adapts by gradients is.
    """

    algorithm: str
    changes: Mapping[str, Any]
    start: str | None = None
    by_shot: Mapping[int, Mapping[str, Any]] | None = None


ALL = {
    "network": "conv4-pool-flat", "norm": "support", "augment": "crop-flip", "way": WAY, "shot": 5,
    "outer_schedule": "cosine", "meta_batch_size": 1, "val_episodes": 100, "log_every": 50,
}  # fmt: skip
MANY = {"train_way": 20, "least_shot": 1, "query_shot": 5}
AFTER = {"outer_lr": 3e-4, "save_every": 100}
ROWS: dict[str, Row] = {
    "prototypical": Row(
        "prototypical", {**MANY, "network": "conv4-pool", "outer_steps": 6000, "save_every": 500, "log_every": 100}
    ),
    "rfs": Row(
        "rfs",
        {
            "train_way": 32, "query_shot": 4, "outer_steps": 4500, "outer_optimizer": "nesterov", "outer_lr": 0.05,
            "weight_decay": 5e-4, "save_every": 500, "log_every": 100,
        },
    ),
    "rfs+prototypical": Row("prototypical", {**MANY, **AFTER, "temperature": 32.0, "outer_steps": 1000}, "rfs"),
    "rfs+ridge": Row("ridge", {**MANY, **AFTER, "l2": 10.0, "outer_steps": 1000}, "rfs"),
    "rfs+maml": Row(
        "maml",
        {
            **AFTER, "query_shot": 5, "outer_steps": 200, "meta_batch_size": 4, "inner_lr": 0.1, "inner_steps": 5,
            "eval_inner_steps": 10,
        },
        "rfs",
        {1: {"outer_steps": 600}},
    ),
}  # fmt: skip
PUBLISHED: dict[tuple[str, str, int], str] = {
    ("cifar-fs", "prototypical", 1): "55.5 +- 0.7",
    ("cifar-fs", "prototypical", 5): "72.0 +- 0.6",
    ("cifar-fs", "rfs+maml", 1): "58.9 +- 1.9",
    ("cifar-fs", "rfs+maml", 5): "71.5 +- 1.0",
    ("fc100", "prototypical", 1): "35.3 +- 0.6",
    ("fc100", "prototypical", 5): "48.6 +- 0.6",
}
"""Accuracy in %, as Lee et al. 2019 report it of four convolutions; MAML's have 32 channels."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        dataset: cifar-fs or fc100.
        learners: which rows; what they start from is trained too.
        shots: support examples of each class in the test.
        mirror: evaluate each row a second time, with each picture seen mirrored too.
        episodes: of each evaluation.
        seed: decides the initial parameters and all that is drawn in training.
        run_dir: the folder of all runs, of results.json and table.md, for one data set.
        data_dir: the folder of data sets; otherwise $JMETA_DATA.
        devices: how many share the work of a run; otherwise as `jmeta train` chooses.
    """

    dataset: str = setting(DATA[0], choices=DATA)
    learners: tuple[str, ...] = setting(tuple(ROWS), place=True)
    shots: tuple[int, ...] = setting(SHOTS, least=1, place=True)
    mirror: bool = setting(False, place=True)
    episodes: int = setting(1000, least=2, place=True)
    seed: int = setting(0, least=0, place=True)
    run_dir: str = setting("runs/photographs", place=True)
    data_dir: str | None = setting(None, place=True)
    devices: int | None = setting(None, least=1, place=True)


def study(config: Config) -> Study:
    """A row for each learner and number of shots: the evaluation, and outer steps and seconds of training.

    Raises:
        RunError: for what has no row.
        DataError: for data that are missing or damaged.
    """
    for name in config.learners:
        if name not in ROWS:
            raise unknown("learner", name, tuple(ROWS))
    if not (config.learners and config.shots):
        raise RunError("there must be --learners and --shots: give at least one of each.")
    rows, cells = {}, {}
    for name in dict.fromkeys(config.learners):
        for shot in config.shots:
            run = whole(config, name, shot)
            for mirror in (False, True) if config.mirror else (False,):
                title = f"{Path(str(run.options.run_dir)).name}, {shot}-shot, {config.episodes} episodes"
                title += ", mirrored" * mirror
                rows[title] = partial(measure, config, name, shot, mirror)
                cells[name, shot, mirror] = title
    problem = load_problem(whole(config, config.learners[0], SHOTS[0]).settings.tasks)
    facts = {"split_hash": problem.split_hash, "checksum": problem.checksum}
    return Study(rows, lambda rows: show(config, {cell: rows[title] for cell, title in cells.items()}), facts)


def whole(config: Config, name: str, shot: int) -> Whole:
    """The run of a row, in which `shot` matters to a learner that is trained at each."""
    row = ROWS[name]
    own = None if row.by_shot is None else {"shot": shot, **row.by_shot.get(shot, {})}
    size = "" if own is None else f"-{shot}s"
    place = Path(config.run_dir) / f"{config.dataset}-{name}{size}-seed{config.seed}"
    changes = {
        **ALL,
        **row.changes,
        **(own or {}),
        "data_dir": config.data_dir,
        "devices": config.devices,
        "seed": config.seed,
        "run_dir": str(place),
        "init_from": None if row.start is None else whole(config, row.start, shot).options.run_dir,
    }
    return replaced(Whole(settings_of(algorithm=row.algorithm, dataset=config.dataset), Options()), changes)


def measure(config: Config, name: str, shot: int, mirror: bool, rows: Rows) -> dict[str, Any]:
    """Train to the end, or go on, from a start that is trained first, and evaluate once."""
    row, run = ROWS[name], whole(config, name, shot)
    if row.start is not None:
        gone_on(train, whole(config, row.start, shot))
    folder = gone_on(train, run)
    found = evaluate(
        EvaluateConfig(
            str(folder),
            config.episodes,
            size=Size(WAY, shot, QUERIES),
            data=Data(data_dir=config.data_dir),
            statistics=TRAIN if row.by_shot is None else SUPPORT,
            views=MIRROR if mirror else ONE,
        )
    )
    return {
        "steps": run.settings.outer.outer_steps,
        "seconds": sum(row["seconds"] for row in read_rows(folder / METRICS)),
        "evaluation": {name: value for name, value in found.items() if name != "values"},
    }


def show(config: Config, cells: Mapping[tuple[str, int, bool], Mapping[str, Any]]) -> Shown:
    """The floor first, then a line a learner, in their order, and one for pictures mirrored too."""
    names, shots, readings = (list(dict.fromkeys(keys)) for keys in zip(*cells, strict=True))
    floor = [_cell(cells[names[0], shot, False]["evaluation"], "floor_") for shot in shots]
    lines: list[Sequence[str]] = [
        ["nearest class mean of pixels", *(part for own in floor for part in (own, "-")), "-"]
    ]
    for name, mirror in itertools.product(names, readings):
        found = {shot: cells[name, shot, mirror] for shot in shots}
        known = ["-" if mirror else PUBLISHED.get((config.dataset, name, shot), "-") for shot in shots]
        measured = [_cell(row["evaluation"]) for row in found.values()]
        pairs = (part for own in zip(measured, known, strict=True) for part in own)
        seconds = [row["seconds"] for row in found.values()]
        minutes = (seconds[0] if ROWS[name].by_shot is None else sum(seconds)) / 60
        lines.append([f"{name}, mirrored too" if mirror else name, *pairs, f"{minutes:.0f}"])
    head = ["learner", *(part for shot in shots for part in (f"{WAY}-way {shot}-shot", "published")), "minutes"]
    return Shown(markdown(head, lines))


def _cell(found: Mapping[str, Any], reading: str = "") -> str:
    return percent({"mean": found[f"{reading}accuracy"], "ci95": found[f"{reading}ci95"]})


if __name__ == "__main__":
    use_cores()
    program("few_shot.photographs", Config, study)
