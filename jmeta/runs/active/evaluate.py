"""How much every rule learns by the same labels on new pools, beside the rule that was learned and an oracle."""

import dataclasses
import datetime
from pathlib import Path
from typing import Any

import numpy as np

from jmeta.active import experiment
from jmeta.report.files import write_json
from jmeta.report.statistics import interval, paired
from jmeta.report.tables import markdown, percent
from jmeta.runs.active.trained import Trained, load_trained
from jmeta.runs.engine import folder
from jmeta.runs.engine.devices import check_number, enough_memory
from jmeta.settings import check, setting


@dataclasses.dataclass(frozen=True)
class Config:
    """Ask by every rule on the same new pools; report the area under accuracy against labels, its mean over labels, and
    its difference to random with a paired 95 % interval, in evaluation.json.

    Attributes:
        run_dir: the folder of a run of `jmeta active train`.
        pools: how many, the same for all rules.
        checkpoint: best (by validation) or newest.
        data_dir: the folder of data sets; otherwise the run's.
    """

    run_dir: str
    pools: int = setting(300, least=2)
    checkpoint: str = setting("best", choices=("best", "newest"))
    data_dir: str | None = None


def compared(trained: Trained, pools: int) -> dict[str, np.ndarray]:
    """Accuracy `[pools, labels + 1]` by rule, on test pools."""
    check_number(pools, "--pools")
    names = experiment.rules_of(trained.settings, trained.params)
    given = trained.params, trained.data.test, experiment.test_key(), pools
    with enough_memory("a pool doesn't fit into the device's memory: train with smaller ones."):
        return {name: experiment.curves(trained.settings, name, *given) for name in names}


def summary(found: dict[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """By rule: the area and its interval, the difference to random and its paired interval, and the mean curve."""
    areas = {name: curve[:, 1:].mean(axis=1, dtype=np.float64) for name, curve in found.items()}
    rows = {}
    for name, values in areas.items():
        mean, ci95 = interval(values)
        more, more_ci95 = paired(values, areas["random"])
        rows[name] = {
            "area": mean, "ci95": ci95, "above_random": more, "above_random_ci95": more_ci95,
            "curve": found[name].mean(axis=0).tolist(),
        }  # fmt: skip
    return rows


def table(rows: dict[str, dict[str, Any]], title: str) -> str:
    """Of `summary`, in Markdown."""
    cells = []
    for name, row in rows.items():
        more = "" if name == "random" else percent(row["above_random"], row["above_random_ci95"], digits=1, sign="+")
        last = percent(row["curve"][-1], digits=1)
        cells.append((name, percent(row["area"], row["ci95"], digits=1), more, last))
    return markdown((title, "area, %", "above random", "at the end, %"), cells)


def verdict(rows: dict[str, dict[str, Any]]) -> str:
    """Which rules are above random by more than their interval, the oracle apart."""
    above = [
        name for name, row in rows.items()
        if name not in ("random", "stratified") and row["above_random"] > (row["above_random_ci95"] or np.inf)
    ]  # fmt: skip
    return f"Above random: {', '.join(above)}." if above else "No rule is above random."


def main(config: Config) -> dict[str, Any]:
    """Measure, print and write evaluation.json."""
    check(config)
    trained = load_trained(Path(config.run_dir), config.checkpoint, data_dir=config.data_dir)
    rows = summary(compared(trained, config.pools))
    result = {
        "rows": rows, "pools": config.pools, "checkpoint": config.checkpoint, "step": trained.step,
        "labels": trained.settings.pools.labels,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }  # fmt: skip
    print(table(rows, f"{config.pools} new pools"), end="")
    print(f"\n{verdict(rows)} stratified is an oracle, which reads labels.")
    write_json(Path(config.run_dir) / folder.EVALUATION, result)
    return result
