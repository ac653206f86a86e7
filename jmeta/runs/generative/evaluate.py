"""The density of drawings of new classes, after none to ten of each, beside what is known without learning."""

import dataclasses
import datetime
from pathlib import Path
from typing import Any

import numpy as np

from jmeta.errors import RunError, sentence
from jmeta.generative.evaluation import classes_of, floors_of, nats
from jmeta.report.files import write_json
from jmeta.report.statistics import interval
from jmeta.report.tables import markdown, plus_minus
from jmeta.runs.engine import folder
from jmeta.runs.engine.devices import enough_memory
from jmeta.runs.engine.progress import say
from jmeta.runs.generative.trained import Trained, data_of, load_trained
from jmeta.settings import check, setting

LEARNED = "learned"
JUDGED = 200
"""Validation classes by which a blur is chosen."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Measure how likely a trained generator finds drawings of test classes, after some others of each class, beside
    densities that need no learning; in nats a drawing, with a 95 % interval over classes, in evaluation.json.

    Attributes:
        run_dir: the folder of a run of `jmeta generative train`.
        shots: how many drawings of a class are seen, a column each.
        queries: others of each class, whose density is asked for.
        classes: of the test, drawn from its part of the split; otherwise all.
        seed: decides which drawings are seen.
        checkpoint: best (by validation) or newest.
        data_dir: the folder of data sets; otherwise the run's.
    """

    run_dir: str
    shots: tuple[int, ...] = setting((0, 1, 2, 5, 10), least=0)
    queries: int = setting(5, least=1)
    classes: int | None = setting(None, least=2)
    seed: int = setting(0, least=0)
    checkpoint: str = setting("best", choices=("best", "newest"))
    data_dir: str | None = None


def measured(config: Config, trained: Trained) -> dict[str, dict[str, Any]]:
    """By row, `nats` and `ci95` for each number of drawings that were seen: of the learned one, then of the floors."""
    data = data_of(trained, config.run_dir, config.data_dir)
    sizes = {"seen": max(*config.shots, 1), "queries": config.queries, "seed": config.seed}
    try:
        asked = classes_of(data.test, most=config.classes, **sizes)
        judged = classes_of(data.val if len(data.val) else data.train, most=JUDGED, **sizes)
    except ValueError as error:
        raise RunError(f"--shots and --queries: {sentence(error)}") from error
    found: dict[int, np.ndarray] = {}
    for k in config.shots:
        found[k] = nats(trained.generator, trained.params, asked, k)
        say(f"after {k}: {found[k].mean():.2f} nats a drawing")
    each = {LEARNED: found, **dict(floors_of(data.train, judged, asked, config.shots))}
    return {name: row(by_shot) for name, by_shot in each.items()}


def row(by_shot: dict[int, np.ndarray]) -> dict[str, Any]:
    """Means over classes, with intervals."""
    pairs = [interval(values.mean(axis=1)) for values in by_shot.values()]
    return {"shots": [*by_shot], "nats": [mean for mean, _ in pairs], "ci95": [ci95 for _, ci95 in pairs]}


def table(rows: dict[str, dict[str, Any]]) -> str:
    """Nats a drawing by the number of drawings that were seen, in Markdown."""
    shots = next(iter(rows.values()))["shots"]
    cells = [
        [name, *(plus_minus(mean, ci95, digits=1) for mean, ci95 in zip(row["nats"], row["ci95"], strict=True))]
        for name, row in rows.items()
    ]
    return markdown(["nats a drawing, after", *map(str, shots)], cells)


def main(config: Config) -> dict[str, Any]:
    """Measure, print and write evaluation.json."""
    check(config)
    trained = load_trained(Path(config.run_dir), config.checkpoint)
    with enough_memory("a class doesn't fit into the device's memory: ask for fewer --queries."):
        rows = measured(config, trained)
    result = {
        "rows": rows, "step": trained.step, "checkpoint": config.checkpoint, "seed": config.seed,
        "split_hash": trained.facts["split_hash"],
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }  # fmt: skip
    print(table(rows), end="")
    write_json(Path(config.run_dir) / folder.EVALUATION, result)
    return result
