"""Training that ends with a budget, of tasks or of seconds."""

import math
import tempfile
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from jmeta.algorithms.settings import MamlPlusPlus
from jmeta.runs.engine.area import Whole
from jmeta.runs.engine.folder import METRICS, read_rows
from jmeta.runs.engine.progress import Report, shown, silent
from jmeta.runs.engine.signals import Stop
from jmeta.runs.engine.train import Result
from jmeta.runs.few_shot import train
from jmeta.settings import replaced
from scripts import study
from scripts.few_shot.compare_settings import LOG_EVERY, Config

OUT_OF_TIME = -1
"""What stops a run whose seconds are over, in place of a signal's number."""
SAVE_SECONDS = 20.0
"""Between checkpoints, which is what a kill can cost."""
SAID_SECONDS = 2.0
"""Of training, between two lines."""
TIMED_ROWS = 4
"""Rows that MAML++'s speed is estimated from."""


def until(seconds: float, metrics: Path, stop: Stop, report: Report) -> tuple[Stop, Report]:
    """`stop` and `report` for training, which end it with `OUT_OF_TIME` after so many seconds of training.

    The seconds are those of the rows in `metrics`, which do not contain compiling. Rows of earlier starts count as far
    as training goes on from them: it has dropped the others before it asks.
    """
    spent: float | None = None

    def asks() -> int | None:
        nonlocal spent
        if spent is None:
            spent = trained_seconds(read_rows(metrics))
        return OUT_OF_TIME if spent >= seconds else stop()

    def row(values: Mapping[str, Any]) -> None:
        nonlocal spent
        spent = (spent or 0.0) + values["seconds"]
        report.row({**values, "spent": spent})

    return asks, report._replace(row=row)


def countdown(seconds: float) -> Report:
    """Says now and then how many of the seconds of training are over; rows must have what is `spent`."""
    last = -math.inf

    def row(values: Mapping[str, Any]) -> None:
        nonlocal last
        if values["spent"] >= min(seconds, last + SAID_SECONDS):
            last = values["spent"]
            print(
                f"{last:.0f} of {seconds:g} s  step {values['step']}  loss {values['loss']:.4f}  "
                f"accuracy {100 * values['accuracy']:.1f} %  {values['tasks_per_second']:.0f} tasks/s",
                flush=True,
            )

    return silent._replace(row=row, note=lambda text: print(text, flush=True))


def trained_seconds(rows: list[dict[str, Any]]) -> float:
    """Of rows of `metrics.jsonl`."""
    return sum(row["seconds"] for row in rows)


def annealed(config: Config, run: Whole) -> Whole:
    """The settings with MAML++'s schedule, of a tenth of the training: of as many steps as its seconds are enough for,
    by the speed of the first ones, in a run that is thrown away."""
    learner = run.settings.learner
    if not isinstance(learner, MamlPlusPlus) or config.training.budget == "tasks" or learner.anneal_steps is not None:
        return run
    asked = iter([None] * TIMED_ROWS)
    with tempfile.TemporaryDirectory() as place:
        short = {"anneal_steps": max(1, TIMED_ROWS * LOG_EVERY // 10), "run_dir": f"{place}/run"}
        first = replaced(run, short)
        rows = train(first.settings, first.options, stop=lambda: next(asked, OUT_OF_TIME)).rows
    steps = rows[-1]["step"] * config.training.seconds / trained_seconds(rows)
    return replaced(run, {"anneal_steps": max(1, round(steps / 10))})


def trained(config: Config, run: Whole) -> Result:
    """Train within the budget, or go on."""
    seconds = config.training.seconds if config.training.budget == "seconds" else None

    def within(report: Report, stop: Stop) -> Result:
        if seconds is not None:
            stop, report = until(seconds, Path(str(run.options.run_dir)) / METRICS, stop, report)
        result = train(run.settings, run.options, report=report, stop=stop, save_seconds=SAVE_SECONDS)
        return result._replace(stopped_by=None) if result.stopped_by == OUT_OF_TIME else result

    return study.trained(within, shown(run.settings.algorithm) if seconds is None else nullcontext(countdown(seconds)))
