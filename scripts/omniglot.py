"""The Omniglot table: five learners, 5-way 1-shot and 5-shot, beside what was published.

    python scripts/omniglot.py                                    # lengths for two CPU cores: an hour or two in all
    python scripts/omniglot.py --published --seeds 0 1 2          # the published lengths; meant for a GPU
    python scripts/omniglot.py --algorithms maml --shots 1        # one row of it

Every run is a folder like those of `jmeta train`. Started again, it goes on where it stopped.
"""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tyro

from jmeta.datasets import DataError
from jmeta.runs import EvaluateConfig, RunError, TrainConfig, Trained, evaluate, from_preset, load_trained, train
from jmeta.runs.build import eval_steps
from jmeta.runs.compile_cache import use_compile_cache
from jmeta.runs.folder import EVALUATION, METRICS, read_json, read_rows, write_text
from jmeta.runs.progress import shown
from jmeta.runs.seeds import over_seeds
from jmeta.runs.signals import asked_to_stop

ALGORITHMS = ("maml", "fomaml", "anil", "meta-sgd", "reptile")
SMALLER = {"outer_schedule": "cosine", "outer_lr": 2e-3, "meta_batch_size": 16, "save_every": 500}
SHORT: dict[tuple[str, int], dict[str, Any]] = {
    ("maml", 1): {"outer_steps": 14_000, "outer_schedule": "cosine"},
    ("maml", 5): {"outer_steps": 800, **SMALLER},
    ("fomaml", 1): {"outer_steps": 6000, **SMALLER},
    ("fomaml", 5): {"outer_steps": 2000, **SMALLER},
    ("anil", 1): {"outer_steps": 4000, **SMALLER},
    ("anil", 5): {"outer_steps": 1000, **SMALLER},
    ("meta-sgd", 1): {"outer_steps": 3000, **SMALLER},
    ("meta-sgd", 5): {"outer_steps": 600, **SMALLER},
    ("reptile", 1): {"outer_steps": 2000},
    ("reptile", 5): {"outer_steps": 2000},
}
"""What differs from the presets where an hour has to do."""

PUBLISHED: dict[tuple[str, int], str] = {
    ("maml", 1): "98.7 +- 0.4",
    ("maml", 5): "99.9 +- 0.1",
    ("fomaml", 1): "98.3",
    ("fomaml", 5): "99.2",
    ("meta-sgd", 1): "99.53 +- 0.26",
    ("meta-sgd", 5): "99.93 +- 0.09",
    ("reptile", 1): "97.68",
    ("reptile", 5): "99.48",
}
"""Accuracy in %: MAML from its paper, the other published ones as later papers quote them; ANIL has no 5-way figure."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        algorithms: which learners.
        shots: support examples of each class, 1 or 5.
        seeds: an independent run for each.
        published: train as long as the papers did, with their constant outer rates.
        episodes: of each evaluation.
        run_dir: the folder of all runs, of results.json and table.md.
        data_dir: the folder of data sets; otherwise $JMETA_DATA.
        chunk_size: episodes computed at once; otherwise a good number for the device.
    """

    algorithms: tuple[str, ...] = ALGORITHMS
    shots: tuple[int, ...] = (1, 5)
    seeds: tuple[int, ...] = (0,)
    published: bool = False
    episodes: int = 1000
    run_dir: str = "runs/omniglot"
    data_dir: str | None = None
    chunk_size: int | None = None


class Row(NamedTuple):
    """One line of the table: a learner at a shot, over its seeds."""

    algorithm: str
    shot: int
    evaluations: list[dict[str, Any]]
    seconds: list[float]
    steps: int


def settings(config: Config, algorithm: str, shot: int, seed: int) -> TrainConfig:
    """A run's settings: the preset, shortened or not."""
    preset = from_preset(f"{algorithm}-omniglot-5w{shot}s")
    length = "published" if config.published else "short"
    return dataclasses.replace(
        preset,
        **({} if config.published else SHORT[algorithm, shot]),
        seed=seed,
        chunk_size=config.chunk_size,
        data_dir=config.data_dir,
        run_dir=str(Path(config.run_dir) / f"{length}-{algorithm}-5w{shot}s-seed{seed}"),
        resume=True,
    )


def measure(config: Config, run: TrainConfig) -> tuple[dict[str, Any], float]:
    """Train to the end, or go on, and evaluate once; the evaluation and the seconds of training."""
    print(f"{run.run_dir}: {run.outer_steps} outer steps", flush=True)
    with asked_to_stop() as stop, shown(run) as report:
        result = train(run, report=report, stop=stop)
    if result.stopped_by is not None:
        sys.exit(f"stopped and saved at step {result.step}; the same command goes on.")
    seconds = sum(row["seconds"] for row in read_rows(result.run_dir / METRICS))
    kept = evaluated(config, load_trained(result.run_dir), result.run_dir / EVALUATION)
    if kept is None:
        kept = evaluate(EvaluateConfig(str(result.run_dir), episodes=config.episodes, data_dir=config.data_dir))
    return kept, seconds


def evaluated(config: Config, trained: Trained, path: Path) -> dict[str, Any] | None:
    """What a file holds, if it is the evaluation that the table is of."""
    if not path.exists():
        return None
    default, run = EvaluateConfig(""), trained.config
    wanted = {
        "episodes": config.episodes, "way": run.way, "shot": run.shot, "query_shot": run.query_shot,
        "inner_steps": eval_steps(run), "part": default.part, "seed": default.seed, "rotations": run.rotations,
        "split_hash": trained.stored["split_hash"], "data_checksum": trained.stored["data_checksum"],
        "reading": "transductive" if run.norm == "batch" else "inductive", "checkpoint_step": trained.step,
    }  # fmt: skip
    kept = read_json(path)
    return kept if all(kept.get(name) == value for name, value in wanted.items()) else None


def markdown(rows: list[Row]) -> str:
    """The table, in Markdown."""
    lines = [
        "| learner | episodes | accuracy, % | one query at a time, % | published, % | outer steps | minutes |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        reading = cell(row.evaluations, "accuracy", "ci95")
        alone = cell(row.evaluations, "inductive_accuracy", "inductive_ci95")
        minutes = f"{np.mean(row.seconds) / 60:.0f}"
        known = PUBLISHED.get((row.algorithm, row.shot), "-")
        lines.append(
            f"| {row.algorithm} | 5-way {row.shot}-shot | {reading} | {alone} | {known} | {row.steps} | {minutes} |"
        )
    return "\n".join(lines) + "\n"


def cell(evaluations: list[dict[str, Any]], value: str, interval: str) -> str:
    """Mean over seeds; the interval is over episodes for one seed, and by Student's t over seeds for more."""
    found = [100 * e[value] for e in evaluations if e.get(value) is not None]
    if not found:
        return "-"
    if len(found) == 1:
        return f"{found[0]:.1f} +- {100 * evaluations[0][interval]:.1f}"
    mean, ci95 = over_seeds(found)
    return f"{mean:.1f} +- {ci95:.1f} ({len(found)} seeds)"


def main(config: Config) -> list[Row]:
    """Train and evaluate what is missing, then print and write the table.

    Raises:
        RunError: for a learner or shot that isn't in the table.
        DataError: for data that are missing or damaged.
    """
    for algorithm in config.algorithms:
        for shot in config.shots:
            if (algorithm, shot) not in SHORT:
                raise RunError(
                    f"there is no row for {algorithm} at {shot} shots: choose from {', '.join(ALGORITHMS)}, 1 or 5."
                )
    use_compile_cache(True)
    rows = []
    for shot in config.shots:
        for algorithm in config.algorithms:
            runs = [settings(config, algorithm, shot, seed) for seed in config.seeds]
            measured = [measure(config, run) for run in runs]
            rows.append(Row(algorithm, shot, [m[0] for m in measured], [m[1] for m in measured], runs[0].outer_steps))
            folder = Path(config.run_dir)
            write_text(folder / "results.json", json.dumps([row._asdict() for row in rows], indent=1) + "\n")
            write_text(folder / "table.md", markdown(rows))
    print(markdown(rows))
    return rows


if __name__ == "__main__":
    try:
        main(tyro.cli(Config))
    except (RunError, DataError) as error:
        print(f"omniglot: {error}", file=sys.stderr)
        sys.exit(2)
