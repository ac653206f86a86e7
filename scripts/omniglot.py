"""The Omniglot table: all learners at 5-way and 20-way, 1-shot and 5-shot, beside what was published.

    python scripts/omniglot.py                                    # lengths for two CPU cores: some four hours in all
    python scripts/omniglot.py --algorithms prototypical          # a line of it, ten minutes
    python scripts/omniglot.py --published --seeds 0 1 2          # the published lengths; meant for a GPU

Every run is a folder like those of `jmeta train`. Started again, it goes on where it stopped.
"""

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tyro

from jmeta.algorithms.catalog import LEARNERS
from jmeta.errors import RunError, unknown
from jmeta.report.statistics import over_seeds
from jmeta.runs.engine.area import Whole
from jmeta.runs.engine.compile_cache import use_compile_cache
from jmeta.runs.engine.devices import use_cores
from jmeta.runs.engine.folder import METRICS, read_json, read_rows, write_text
from jmeta.runs.engine.progress import shown
from jmeta.runs.engine.signals import asked_to_stop
from jmeta.runs.few_shot import (
    Data,
    EvaluateConfig,
    Settings,
    Size,
    Trained,
    evaluate,
    from_preset,
    load_trained,
    train,
)
from jmeta.runs.few_shot.evaluate import file_name
from jmeta.runs.few_shot.experiment import eval_steps
from jmeta.settings import replaced

ALGORITHMS = tuple(name for name, row in LEARNERS.items() if row.paper)
WAYS, SHOTS = (5, 20), (1, 5)
SMALLER = {"outer_schedule": "cosine", "outer_lr": 2e-3, "meta_batch_size": 16, "save_every": 500}
SHORT: dict[tuple[str, int, int], dict[str, Any]] = {
    ("maml", 5, 1): {"outer_steps": 14_000, "outer_schedule": "cosine"},
    ("maml", 5, 5): {"outer_steps": 800, **SMALLER},
    ("fomaml", 5, 1): {"outer_steps": 6000, **SMALLER},
    ("fomaml", 5, 5): {"outer_steps": 2000, **SMALLER},
    ("anil", 5, 1): {"outer_steps": 4000, **SMALLER},
    ("anil", 5, 5): {"outer_steps": 1000, **SMALLER},
    ("meta-sgd", 5, 1): {"outer_steps": 3000, **SMALLER},
    ("meta-sgd", 5, 5): {"outer_steps": 600, **SMALLER},
    ("reptile", 5, 1): {"outer_steps": 2000},
    ("reptile", 5, 5): {"outer_steps": 2000},
    ("maml", 20, 1): {"outer_steps": 250, **SMALLER, "meta_batch_size": 4},
    ("fomaml", 20, 1): {"outer_steps": 450, **SMALLER, "meta_batch_size": 4},
    ("anil", 20, 1): {"outer_steps": 1200, **SMALLER, "meta_batch_size": 4},
    ("meta-sgd", 20, 1): {"outer_steps": 900, **SMALLER, "meta_batch_size": 4},
    ("reptile", 20, 1): {"outer_steps": 300, "eval_inner_steps": 20},
}
"""Which sizes a learner with published settings is trained at where minutes have to do, and how; other cells of its
line take the run at one shot."""

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

    algorithms: tuple[str, ...] = ALGORITHMS
    ways: tuple[int, ...] = WAYS
    shots: tuple[int, ...] = SHOTS
    seeds: tuple[int, ...] = (0,)
    published: bool = False
    episodes: int = 1000
    run_dir: str = "runs/omniglot"
    data_dir: str | None = None
    chunk_size: int | None = None
    devices: int | None = None


class Row(NamedTuple):
    """One cell of the table: a learner at a way and a shot, over its seeds.

    Attributes:
        algorithm: its name.
        way: classes of an episode.
        shot: support examples of each class.
        trained: way and shot of its training.
        steps: outer steps of its training.
        seconds: of training, of each seed.
        evaluations: of each seed.
    """

    algorithm: str
    way: int
    shot: int
    trained: tuple[int, int]
    steps: int
    seconds: list[float]
    evaluations: list[dict[str, Any]]


def trained_at(config: Config, algorithm: str, way: int, shot: int) -> tuple[int, int]:
    """Way and shot of the run that serves a cell: one for all sizes, where no parameter belongs to a class."""
    if not LEARNERS.get(algorithm).fixed_way:
        return WAYS[0], SHOTS[0]
    whole = config.published and (algorithm, *WAYS[:1], *SHOTS[:1]) in SHORT
    return (way, shot) if whole or (algorithm, way, shot) in SHORT else (way, SHOTS[0])


def settings(config: Config, algorithm: str, way: int, shot: int, seed: int) -> Whole:
    """The settings of the run that serves a cell: the preset, shortened where the papers' length is meant for a GPU."""
    way, shot = trained_at(config, algorithm, way, shot)
    short = {} if config.published else SHORT.get((algorithm, way, shot), {})
    length = "short" if short else "preset"
    size = f"-{way}w{shot}s" if LEARNERS.get(algorithm).fixed_way else ""
    changes = {
        **short,
        "seed": seed,
        "chunk_size": config.chunk_size,
        "devices": config.devices,
        "data_dir": config.data_dir,
        "run_dir": str(Path(config.run_dir) / f"{length}-{algorithm}{size}-seed{seed}"),
        "resume": True,
    }
    return replaced(Whole(*from_preset(f"{algorithm}-omniglot-{way}w{shot}s")), changes)


def measure(config: Config, run: Whole, way: int, shot: int) -> tuple[dict[str, Any], float]:
    """Train to the end, or go on, and evaluate once; the evaluation and the seconds of training."""
    steps = run.settings.outer.outer_steps
    print(f"{run.options.run_dir}: {steps} outer steps, tested {way}-way {shot}-shot", flush=True)
    with asked_to_stop() as stop, shown(run.settings.algorithm) as report:
        result = train(run.settings, run.options, report=report, stop=stop)
    if result.stopped_by is not None:
        sys.exit(f"stopped and saved at step {result.step}; the same command goes on.")
    seconds = sum(row["seconds"] for row in read_rows(result.run_dir / METRICS))
    wanted = test_of(config, run.settings, result.run_dir, way, shot)
    kept = evaluated(wanted, load_trained(result.run_dir))
    return (evaluate(wanted) if kept is None else kept), seconds


def test_of(config: Config, run: Settings, run_dir: Path, way: int, shot: int) -> EvaluateConfig:
    """The test of a cell. A 5-shot test of a run at one shot has as many queries as that of a run at five."""
    queries = shot if LEARNERS.get(run.algorithm).fixed_way else run.tasks.query_shot
    queries = 1 if run.algorithm == "reptile" else queries
    return EvaluateConfig(
        str(run_dir), config.episodes, size=Size(way, shot, queries), data=Data(data_dir=config.data_dir)
    )


def evaluated(wanted: EvaluateConfig, trained: Trained) -> dict[str, Any] | None:
    """What a run folder holds, if it is the evaluation that the table is of."""
    tasks, facts, size = trained.settings.tasks, trained.facts, wanted.size
    values = {
        "episodes": wanted.episodes, "way": size.way, "shot": size.shot, "query_shot": size.query_shot,
        "inner_steps": eval_steps(trained.settings.learner), "part": wanted.data.part, "seed": wanted.seed,
        "rotations": tasks.rotations, "split_hash": facts["split_hash"], "data_checksum": facts["checksum"],
        "reading": "transductive" if trained.settings.network.norm == "batch" else "inductive",
        "checkpoint_step": trained.step,
    }  # fmt: skip
    named = {**values, "dataset": tasks.dataset, "protocol": facts["protocol"]}
    path = Path(wanted.run_dir) / file_name(named, tasks, facts)
    kept = read_json(path) if path.exists() else {}
    return kept if kept and all(kept.get(name) == value for name, value in values.items()) else None


def markdown(rows: Sequence[Row]) -> str:
    """The table: a line a learner, best first at the first size; below it, what queries cost one at a time."""
    sizes = sorted({(row.way, row.shot) for row in rows})
    found = {(row.algorithm, row.way, row.shot): row for row in rows}
    names = sorted({row.algorithm for row in rows}, key=lambda name: _order(found, name, sizes[0]))
    heads = [f"{way}-way {shot}-shot" for way, shot in sizes]
    lines = [f"| learner | {' | '.join(f'{head} | published' for head in heads)} | minutes |"]
    lines += ["|---" * (2 + 2 * len(sizes)) + "|"]
    for name in names:
        cells = [_cell(found.get((name, *size)), "accuracy", "ci95") for size in sizes]
        known = [PUBLISHED.get((name, *size), "-") for size in sizes]
        pairs = " | ".join(f"{cell} | {value}" for cell, value in zip(cells, known, strict=True))
        lines.append(f"| {name} | {pairs} | {_minutes([row for row in rows if row.algorithm == name])} |")
    lines += ["", f"| learner, one query at a time | {' | '.join(heads)} |", "|---" * (1 + len(sizes)) + "|"]
    for name in names:
        cells = [_cell(found.get((name, *size)), "inductive_accuracy", "inductive_ci95") for size in sizes]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", *_notes(rows)]) + "\n"


def _order(found: dict[tuple[str, int, int], Row], name: str, size: tuple[int, int]) -> float:
    row = found.get((name, *size))
    return 0.0 if row is None else -float(np.mean([e["accuracy"] for e in row.evaluations]))


def _minutes(rows: Sequence[Row]) -> str:
    """Of training all runs of a line, of one seed."""
    runs = {row.trained: float(np.mean(row.seconds)) for row in rows}
    return f"{sum(runs.values()) / 60:.0f}"


def _notes(rows: Sequence[Row]) -> list[str]:
    """How the runs of each line were trained."""
    lines = []
    for name in dict.fromkeys(row.algorithm for row in rows):
        runs = sorted({(row.trained, row.steps) for row in rows if row.algorithm == name})
        sizes = [f" of {way}-way {shot}-shot" if LEARNERS.get(name).fixed_way else "" for (way, shot), _ in runs]
        each = [f"{steps:,} steps{size}" for (_, steps), size in zip(runs, sizes, strict=True)]
        lines.append(f"- {name}: {', '.join(each)}.")
    return lines


def _cell(row: Row | None, value: str, interval: str) -> str:
    return "-" if row is None else cell(row.evaluations, value, interval)


def cell(evaluations: list[dict[str, Any]], value: str, interval: str) -> str:
    """Mean over seeds; the interval is over episodes for one seed, and by Student's t over seeds for more."""
    found = [100 * e[value] for e in evaluations if e.get(value) is not None]
    if not found:
        return "-"
    if len(found) == 1:
        return f"{found[0]:.1f} +- {100 * evaluations[0][interval]:.1f}"
    mean, ci95 = over_seeds(found)
    return f"{mean:.1f} +- {ci95:.1f} ({len(found)} seeds)"


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


def main(config: Config) -> list[Row]:
    """Train and evaluate what is missing, then print and write the table.

    Raises:
        RunError: for a learner, way or shot that isn't in the table.
        DataError: for data that are missing or damaged.
    """
    check(config)
    use_compile_cache(True)
    rows, folder = [], Path(config.run_dir)
    for algorithm in dict.fromkeys(config.algorithms):
        for way, shot in ((way, shot) for way in config.ways for shot in config.shots):
            runs = [settings(config, algorithm, way, shot, seed) for seed in config.seeds]
            measured = [measure(config, run, way, shot) for run in runs]
            evaluations, seconds = [m[0] for m in measured], [m[1] for m in measured]
            trained = trained_at(config, algorithm, way, shot)
            rows.append(Row(algorithm, way, shot, trained, runs[0].settings.outer.outer_steps, seconds, evaluations))
            write_text(folder / "results.json", json.dumps([row._asdict() for row in rows], indent=1) + "\n")
            write_text(folder / "table.md", markdown(rows))
    print(markdown(rows))
    return rows


if __name__ == "__main__":
    use_cores()
    try:
        main(tyro.cli(Config))
    except RunError as error:
        print(f"omniglot: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("omniglot: stopped; the same command goes on.", file=sys.stderr)
        sys.exit(130)
