"""The Omniglot table: all learners at 5-way and 20-way, 1-shot and 5-shot, beside what was published.

    python -m scripts.few_shot.omniglot                             # lengths for two CPU cores: some four hours in all
    python -m scripts.few_shot.omniglot --algorithms prototypical   # a line of it, ten minutes
    python -m scripts.few_shot.omniglot --published --seeds 0 1 2   # the published lengths; meant for a GPU

Every run is a folder like those of `jmeta train`. What adapts by gradients starts from the encoder of the
prototypical run and a head of zeros, and its run's name begins with warm; `--published` starts from nothing.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from jmeta.algorithms.catalog import LEARNERS
from jmeta.errors import RunError, unknown
from jmeta.runs.engine.area import Whole
from jmeta.runs.engine.devices import use_cores
from jmeta.runs.engine.folder import METRICS, read_rows
from jmeta.runs.few_shot import Data, EvaluateConfig, Settings, Size, evaluate, from_preset, train
from jmeta.runs.few_shot.problems import load_problem
from jmeta.settings import replaced, setting
from scripts.study import Rows, Shown, Study, gone_on, interval, markdown, percent, program

ALGORITHMS = tuple(name for name, row in LEARNERS.items() if row.paper)
WAYS, SHOTS = (5, 20), (1, 5)
START = "prototypical"
"""The learner whose encoder others start from, which therefore has their network and is trained for longer."""
LONG = {"network": "conv4", "outer_steps": 25_000}
WARM: dict[str, dict[str, Any]] = {
    "maml": {"inner_lr": 1.0},
    "fomaml": {"inner_lr": 1.0},
    "anil": {"inner_lr": 1.2},
    "meta-sgd": {"inner_lr": 1.0, "inner_steps": 5, "eval_inner_steps": 5},
    "reptile": {"inner_optimizer": "sgd", "inner_lr": 0.5, "outer_lr": 0.05},
    "maml++": {"inner_lr": 1.0},
    "imaml": {"inner_lr": 0.5, "regularization": 0.1},
}
"""What starts from another run, and the settings in which it is not its preset; the inner rate is for 20 classes, and
a third of it for 5, whose mean loss has a larger gradient."""
SIZES: dict[tuple[int, int], dict[str, Any]] = {
    (5, 1): {"outer_steps": 1500, "meta_batch_size": 8},
    (5, 5): {"outer_steps": 400, "meta_batch_size": 4},
    (20, 1): {"outer_steps": 800, "meta_batch_size": 4},
    (20, 5): {"outer_steps": 200, "meta_batch_size": 4},
}
"""Outer steps, and tasks in each, after such a start."""
_AFTER = {"network": "conv4", "outer_lr": 3e-4, "outer_schedule": "cosine", "log_every": 50, "save_every": 100}


def _after(name: str, way: int, shot: int) -> dict[str, Any]:
    own = WARM[name]
    return {**_AFTER, **SIZES[way, shot], **own, "inner_lr": own["inner_lr"] / (1 if way == 20 else 3)}


SHORT: dict[tuple[str, int, int], dict[str, Any]] = {
    **{(name, *size): _after(name, *size) for name in WARM for size in SIZES},
    ("maml", 5, 1): {"outer_steps": 14_000, "outer_schedule": "cosine"},
}
"""Which sizes a learner is trained at where minutes have to do, and how; other cells of its line take the run at one
shot. MAML at 5-way 1-shot starts from nothing, as in its paper."""

PUBLISHED: dict[tuple[str, int, int], str] = {
    ("maml", 5, 1): "98.7 +- 0.4",
    ("maml", 5, 5): "99.9 +- 0.1",
    ("maml", 20, 1): "95.8 +- 0.3",
    ("maml", 20, 5): "98.9 +- 0.2",
    ("fomaml", 5, 1): "98.3",
    ("fomaml", 5, 5): "99.2",
    ("fomaml", 20, 1): "89.4",
    ("fomaml", 20, 5): "97.9",
    ("anil", 20, 1): "96.2 +- 0.5",
    ("anil", 20, 5): "98.0 +- 0.3",
    ("meta-sgd", 5, 1): "99.53 +- 0.26",
    ("meta-sgd", 5, 5): "99.93 +- 0.09",
    ("reptile", 5, 1): "97.68",
    ("reptile", 5, 5): "99.48",
    ("reptile", 20, 1): "89.43",
    ("reptile", 20, 5): "97.12",
    ("maml++", 5, 1): "99.47",
    ("maml++", 5, 5): "99.93",
    ("maml++", 20, 1): "97.65",
    ("maml++", 20, 5): "99.33",
    ("imaml", 5, 1): "99.16",
    ("imaml", 5, 5): "99.67",
    ("imaml", 20, 1): "94.46",
    ("imaml", 20, 5): "98.69",
    ("prototypical", 5, 1): "98.8",
    ("prototypical", 5, 5): "99.7",
    ("prototypical", 20, 1): "96.0",
    ("prototypical", 20, 5): "98.9",
    ("matching", 5, 1): "98.1",
    ("matching", 5, 5): "98.9",
    ("matching", 20, 1): "93.8",
    ("matching", 20, 5): "98.5",
    ("siamese", 5, 1): "97.3",
    ("siamese", 5, 5): "98.4",
    ("siamese", 20, 1): "88.2",
    ("siamese", 20, 5): "97.0",
    ("relation", 5, 1): "99.6 +- 0.2",
    ("relation", 5, 5): "99.8 +- 0.1",
    ("relation", 20, 1): "97.6 +- 0.2",
    ("relation", 20, 5): "99.1 +- 0.1",
}
"""Accuracy in %: MAML, ANIL, Prototypical networks from their papers, the others as later papers quote them."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        algorithms: which learners.
        ways: classes of an episode, 5 or 20.
        shots: support examples of each class, 1 or 5.
        seeds: an independent run for each.
        published: train those that have published lengths as long as their papers did, with constant outer rates, and
            at each way and shot.
        episodes: of each evaluation.
        run_dir: the folder of all runs, of results.json and table.md.
        data_dir: the folder of data sets; otherwise $JMETA_DATA.
        chunk_size: episodes computed at once; otherwise a good number for the device.
        devices: how many share the work of a run; otherwise as `jmeta train` chooses.
    """

    algorithms: tuple[str, ...] = setting(ALGORITHMS, place=True)
    ways: tuple[int, ...] = setting(WAYS, place=True)
    shots: tuple[int, ...] = setting(SHOTS, place=True)
    seeds: tuple[int, ...] = setting((0,), least=0, place=True)
    published: bool = setting(False, place=True)
    episodes: int = setting(1000, least=2, place=True)
    run_dir: str = setting("runs/omniglot", place=True)
    data_dir: str | None = setting(None, place=True)
    chunk_size: int | None = setting(None, least=1, place=True)
    devices: int | None = setting(None, least=1, place=True)


def trained_at(config: Config, algorithm: str, way: int, shot: int) -> tuple[int, int]:
    """Way and shot of the run that serves a cell: one for all sizes, where no parameter belongs to a class."""
    if not LEARNERS.get(algorithm).fixed_way:
        return WAYS[0], SHOTS[0]
    whole = config.published and (algorithm, *WAYS[:1], *SHOTS[:1]) in SHORT
    return (way, shot) if whole or (algorithm, way, shot) in SHORT else (way, SHOTS[0])


def settings(config: Config, algorithm: str, way: int, shot: int, seed: int) -> Whole:
    """The settings of the run that serves a cell: the preset, shortened where the papers' length is meant for a GPU."""
    if algorithm == START and not config.published:
        return beginning(config, seed)
    way, shot = trained_at(config, algorithm, way, shot)
    short = {} if config.published else SHORT.get((algorithm, way, shot), {})
    kind = "preset"
    if short:
        kind = "warm" if short.get("network") else "short"
    size = f"-{way}w{shot}s" if LEARNERS.get(algorithm).fixed_way else ""
    begun = {"init_from": beginning(config, seed).options.run_dir} if kind == "warm" else {}
    return _run(config, f"{algorithm}-omniglot-{way}w{shot}s", f"{kind}-{algorithm}{size}", seed, {**short, **begun})


def beginning(config: Config, seed: int) -> Whole:
    """The settings of the run whose encoder others start from."""
    return _run(config, f"{START}-omniglot-20w1s", "start", seed, LONG)


def _run(config: Config, preset: str, name: str, seed: int, changes: Mapping[str, Any]) -> Whole:
    own = {"seed": seed, "chunk_size": config.chunk_size, "devices": config.devices, "data_dir": config.data_dir}
    run_dir = str(Path(config.run_dir) / f"{name}-seed{seed}")
    return replaced(Whole(*from_preset(preset)), {**changes, **own, "run_dir": run_dir})


def study(config: Config) -> Study:
    """A row for each test of a run: the evaluation, and outer steps and seconds of training.

    Raises:
        RunError: for what has no place in the table.
        DataError: for data that are missing or damaged.
    """
    check(config)
    cells: dict[tuple[str, int, int], list[str]] = {}
    rows: dict[str, Any] = {}
    for algorithm in dict.fromkeys(config.algorithms):
        for size in ((way, shot) for way in config.ways for shot in config.shots):
            for seed in config.seeds:
                run = settings(config, algorithm, *size, seed)
                name = "{}, {}-way {}-shot, {} episodes".format(
                    Path(str(run.options.run_dir)).name, *size, config.episodes
                )
                rows[name] = partial(measure, config, run, *size)
                cells.setdefault((algorithm, *size), []).append(name)
    problem = load_problem(settings(config, ALGORITHMS[0], WAYS[0], SHOTS[0], 0).settings.tasks)
    facts = {"split_hash": problem.split_hash, "checksum": problem.checksum}
    return Study(rows, lambda rows: show({cell: [rows[n] for n in names] for cell, names in cells.items()}), facts)


def measure(config: Config, run: Whole, way: int, shot: int, rows: Rows) -> dict[str, Any]:
    """Train to the end, or go on, as other sizes may have trained it by now, and evaluate once."""
    if run.options.init_from is not None:
        gone_on(train, beginning(config, run.options.seed))
    folder = gone_on(train, run)
    found = evaluate(test_of(config, run.settings, folder, way, shot))
    return {
        "trained": trained_at(config, run.settings.algorithm, way, shot),
        "steps": run.settings.outer.outer_steps,
        "seconds": sum(row["seconds"] for row in read_rows(folder / METRICS)),
        "evaluation": {name: value for name, value in found.items() if name != "values"},
    }


def test_of(config: Config, run: Settings, run_dir: Path, way: int, shot: int) -> EvaluateConfig:
    """The test of a cell. A 5-shot test of a run at one shot has as many queries as that of a run at five."""
    queries = shot if LEARNERS.get(run.algorithm).fixed_way else run.tasks.query_shot
    queries = 1 if run.algorithm == "reptile" else queries
    return EvaluateConfig(
        str(run_dir), config.episodes, size=Size(way, shot, queries), data=Data(data_dir=config.data_dir)
    )


Cells = Mapping[tuple[str, int, int], Sequence[Mapping[str, Any]]]
"""By learner, way and shot, the rows of its seeds."""


def show(cells: Cells) -> Shown:
    """A line a learner, best first at the first size, and the floor; below them, what queries cost one at a time."""
    sizes = sorted({(way, shot) for _, way, shot in cells})
    names = sorted({name for name, *_ in cells}, key=lambda name: _order(cells.get((name, *sizes[0]), ())))
    heads = [f"{way}-way {shot}-shot" for way, shot in sizes]
    lines, alone, notes = [], [], []
    for name in dict.fromkeys(name for name, *_ in cells):
        runs = {tuple(row["trained"]): row["steps"] for own, rows in cells.items() if own[0] == name for row in rows}
        of = {size: " of {}-way {}-shot".format(*size) if LEARNERS.get(name).fixed_way else "" for size in runs}
        notes.append(f"- {name}: {', '.join(f'{runs[size]:,} steps{of[size]}' for size in sorted(runs))}.\n")
    for name in names:
        rows = [cells.get((name, *size), ()) for size in sizes]
        known = [PUBLISHED.get((name, *size), "-") for size in sizes]
        pairs = (part for own, value in zip(rows, known, strict=True) for part in (_cell(own), value))
        lines.append([name, *pairs, _minutes(rows)])
        alone.append([name, *(_cell(own, "inductive_") for own in rows)])
    floor = [_floor([row for (_, *own), rows in cells.items() if (*own,) == size for row in rows]) for size in sizes]
    lines.append(["nearest class mean of pixels", *(part for own in floor for part in (own, "-")), "-"])
    head = ["learner", *(part for head in heads for part in (head, "published")), "minutes"]
    tables = markdown(head, lines), markdown(["learner, one query at a time", *heads], alone)
    return Shown("\n".join((*tables, "".join(notes))))


def _order(rows: Sequence[Mapping[str, Any]]) -> float:
    return -float(np.mean([row["evaluation"]["accuracy"] for row in rows])) if rows else 0.0


def _floor(rows: Sequence[Mapping[str, Any]]) -> str:
    """What needs no training, on the episodes that all learners of a size have met."""
    return _cell([row for row in rows if "floor_accuracy" in row["evaluation"]][:1], "floor_")


def _minutes(cells: Sequence[Sequence[Mapping[str, Any]]]) -> str:
    """Of training all runs of a line, of one seed."""
    runs = {tuple(rows[0]["trained"]): float(np.mean([row["seconds"] for row in rows])) for rows in cells if rows}
    return f"{sum(runs.values()) / 60:.0f}"


def _cell(rows: Sequence[Mapping[str, Any]], reading: str = "") -> str:
    """Mean over seeds; the interval is over episodes for one seed, and by Student's t over seeds for more."""
    found = [row["evaluation"] for row in rows if row["evaluation"].get(f"{reading}accuracy") is not None]
    if not found:
        return "-"
    if len(found) == 1:
        return percent({"mean": found[0][f"{reading}accuracy"], "ci95": found[0][f"{reading}ci95"]})
    return f"{percent(interval([own[f'{reading}accuracy'] for own in found]))} ({len(found)} seeds)"


def check(config: Config) -> None:
    """Refuse what has no place in the table.

    Raises:
        RunError: naming it.
    """
    for algorithm in config.algorithms:
        if algorithm not in ALGORITHMS:
            raise unknown("algorithm", algorithm, ALGORITHMS)
    for name, given, known in (("way", config.ways, WAYS), ("shot", config.shots, SHOTS)):
        for size in given:
            if size not in known:
                raise RunError(f"there is no column for {name} {size}: choose from {known[0]} and {known[1]}.")
    if not (config.algorithms and config.ways and config.shots and config.seeds):
        raise RunError("there must be --algorithms, --ways, --shots and --seeds: give at least one of each.")


if __name__ == "__main__":
    use_cores()
    program("few_shot.omniglot", Config, study)
