"""What a comparison of learners says: tables and a picture."""

import datetime
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jmeta import evaluation, uncertainty
from jmeta.algorithms.settings import inner_steps
from jmeta.report.figures import COLORS, FAINT, figure_maker, save
from jmeta.runs.few_shot import Settings
from jmeta.runs.few_shot.experiment import eval_steps
from jmeta.runs.few_shot.problems import Problem
from scripts.few_shot.compare_settings import Config
from scripts.study import markdown, percent, plain_axes

Row = Mapping[str, Any]
"""Of a learner at a way and a shot."""
FEWEST = 20
"""Predictions of an interval of confidence that make a point of `reliability`."""


def tables(rows: Sequence[Row], reference: str) -> str:
    """A table for each way and shot, the best learner first."""
    beside = f"minus {reference}, paired"
    head = [
        "learner",
        "accuracy, %",
        beside,
        "log likelihood",
        "calibration error, % (floor)",
        "foreign AUROC, %",
        "tasks",
        "training, s",
        "adapting, ms",
        "memory, MiB",
    ]
    parts = []
    for way, shot in sorted({(row["way"], row["shot"]) for row in rows}):
        group = [row for row in rows if (row["way"], row["shot"]) == (way, shot)]
        base = next((row for row in group if row["algorithm"] == reference and "failed" not in row), None)
        group.sort(key=lambda row: -np.mean(row.get("accuracy", [-1.0])))
        lines = [[row["algorithm"], *_cells(row, base)] for row in group]
        parts += [f"{way}-way {shot}-shot\n", markdown(head, lines)]
    return "\n".join(parts)


def _cells(row: Row, base: Row | None) -> list[str]:
    if "failed" in row:
        return [f"failed: {row['failed']}", *["-"] * 8]
    accuracy, counts = np.array(row["accuracy"]), np.array(row["calibration"])
    less = None if base is None or base is row else evaluation.summarize(accuracy - np.array(base["accuracy"]))
    return [
        percent(evaluation.summarize(accuracy)),
        "-" if less is None else percent(less, sign="+"),
        f"{row['log_likelihood']:.3f}",
        f"{100 * uncertainty.calibration_error(counts):.1f} ({100 * uncertainty.calibration_floor(counts):.1f})",
        "-" if row["foreign_auroc"] is None else f"{100 * row['foreign_auroc']:.1f}",
        f"{row['tasks']:,}",
        f"{row['train_seconds']:.0f}",
        f"{row['adapt_milliseconds']:.1f}",
        f"{row['train_mebibytes']:.0f}",
    ]


def footer(config: Config, runs: list[Settings], problem: Problem) -> str:
    """What the table is of, and what its columns are."""
    known = {run.algorithm: run for run in runs}
    device, date = jax.devices()[0].device_kind, datetime.datetime.now(datetime.UTC).date()
    learned, training = config.learned, config.training
    budget = f"{training.tasks:,} tasks" if training.budget == "tasks" else f"{training.seconds:g} seconds"
    lines = [
        f"Data: {problem.name}, split {problem.protocol} {problem.split_hash}. {config.episodes} test episodes with "
        f"{learned.query_shot} queries of each class, the same for all; queries see each other (transductive).",
        f"Training: {learned.network} {'-'.join(map(str, learned.features))} with batch normalization, {budget} each, "
        f"compiling not counted, {config.meta_batch_size} tasks a step, seed {config.seed}; {device}, {date}.",
        *_inner_steps(known),
    ]
    if known.keys() & {"baseline", "baseline++"}:
        lines.append("A task of baseline and baseline++ is a batch with as many pictures of all training classes.")
    if "reptile" in known:
        lines.append("reptile adapts in training to all pictures of a task that others have as support and queries.")
    if "maml++" in known:
        estimate = ", as estimated from its first" if config.training.budget == "seconds" else ""
        lines.append(f"maml++ leaves second derivatives out for the first three tenths of its steps{estimate}.")
    lines += [
        "Log likelihood: mean logarithm of the label's probability, in nats.",
        "Calibration error: how far the share of right predictions is from their confidence, on average over intervals "
        "of confidence; a perfectly calibrated learner has the floor, by chance.",
        "Foreign AUROC: how well the largest logit tells queries from those of as many other classes; 50 is chance.",
        "Memory: temporary buffers that the compiler plans for the meta-gradient of one task.",
    ]
    return "\n".join(f"- {line}" for line in lines) + "\n"


def _inner_steps(known: Mapping[str, Settings]) -> list[str]:
    """A line, if there is a learner with inner steps."""
    found: dict[tuple[int, int], list[str]] = {}
    for name, run in known.items():
        if hasattr(run.learner, "inner"):
            found.setdefault((inner_steps(run.learner, training=True), eval_steps(run.learner)), []).append(name)
    each = [f"{steps} and {tested} of {', '.join(names)}" for (steps, tested), names in found.items()]
    return [f"Inner steps in training and in the test: {'; '.join(each)}."] if each else []


def picture(rows: Sequence[Row], path: Path) -> Path:
    """Accuracy with intervals, best at the top, a panel for each way and shot."""
    kinds = sorted({(row["way"], row["shot"]) for row in rows})
    figure = figure_maker()(1 + 4 * len(kinds), 1.2 + 0.28 * len({row["algorithm"] for row in rows}))
    for axes, (way, shot) in zip(figure.subplots(1, len(kinds), squeeze=False)[0], kinds, strict=True):
        group = [row for row in rows if (row["way"], row["shot"]) == (way, shot)]
        group.sort(key=lambda row: np.mean(row["accuracy"]))
        found = [evaluation.summarize(np.array(row["accuracy"])) for row in group]
        axes.errorbar(
            [100 * f.mean for f in found], range(len(group)), xerr=[100 * f.ci95 for f in found],
            fmt="o", color="#1f4e79", markersize=4, capsize=2,
        )  # fmt: skip
        axes.set_yticks(range(len(group)), [row["algorithm"] for row in group])
        axes.set(title=f"{way}-way {shot}-shot", xlabel="test accuracy, %, with 95 % interval")
        plain_axes(axes, grid="x")
    return save(figure, path)


def reliability(rows: Sequence[Row], path: Path) -> Path:
    """The share of right predictions against their confidence, a line for each learner and a panel for each way and
    shot; one that knows how much it knows is on the diagonal."""
    kinds = sorted({(row["way"], row["shot"]) for row in rows})
    figure = figure_maker()(1.8 + 3.6 * len(kinds), 3.8)
    for axes, (way, shot) in zip(figure.subplots(1, len(kinds), squeeze=False)[0], kinds, strict=True):
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1)
        for row, color in zip([r for r in rows if (r["way"], r["shot"]) == (way, shot)], itertools.cycle(COLORS)):
            number, confidence, right = np.array(row["calibration"]).T
            some = number >= FEWEST
            axes.plot(
                confidence[some] / number[some], right[some] / number[some], "o-", color=color, markersize=3,
                label=row["algorithm"],
            )  # fmt: skip
        axes.set(title=f"{way}-way {shot}-shot", xlabel="confidence", ylabel="share that is right", aspect="equal")
        plain_axes(axes)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", fontsize=7, frameon=False)
    return save(figure, path)
