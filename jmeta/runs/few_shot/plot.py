"""Pictures of a run: its training curve, some episodes, and what each inner step brings."""

import dataclasses
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jmeta.errors import RunError
from jmeta.report.figures import BAD, COLORS, FAINT, GOOD, INK, between, figure_maker, marker_of, plain, save
from jmeta.runs.engine import folder
from jmeta.runs.engine.area import load_group
from jmeta.runs.engine.members import Member, members
from jmeta.runs.engine.progress import complain
from jmeta.runs.few_shot.evaluate import Data, EvaluateConfig, evaluate
from jmeta.runs.few_shot.experiment import AREA, measured
from jmeta.runs.few_shot.pages import episodes_page, title
from jmeta.runs.few_shot.settings import Settings
from jmeta.runs.few_shot.trained import Trained, load_trained
from jmeta.settings import check, setting, typed

_DRAWN = {"checkpoint_step": int, "algorithm": str, "dataset": str, "way": int, "shot": int, "episodes": int}
_DRAWN |= {"steps": tuple[dict, ...]}


@dataclasses.dataclass(frozen=True)
class PlotConfig:
    """Draw a run as PNG files in its folder: training.png, episodes.png and, for a learner that takes inner steps,
    inner_steps.png; of a group the first.

    Attributes:
        run_dir: the folder of the run, or of a group of runs.
        checkpoint: best (by validation) or newest.
        episodes: to measure each inner step with, where evaluation.json isn't there, or is of another checkpoint.
        seed: decides the episodes that are drawn.
        data_dir: the folder of data sets; otherwise the run's.
        compile_cache: keep compiled programs for the next start.
    """

    run_dir: str
    checkpoint: str = "best"
    episodes: int = setting(200, least=2)
    seed: int = setting(0, least=0)
    data_dir: str | None = None
    compile_cache: bool = True


def plot(config: PlotConfig) -> list[Path]:
    """Draw a run, or the curves of all runs of a group.

    Returns:
        The files that were written.

    Raises:
        RunError: if matplotlib isn't there, or the run folder can't be used.
        DataError: for data that are missing or damaged.
        OSError: if a file can't be written.
    """
    check(config)
    figure_maker()
    run_dir = Path(config.run_dir)
    if (run_dir / folder.GROUP).exists():
        settings, options, _ = load_group(AREA, run_dir)
        each = members(settings, options)
        kept = {member: folder.read_rows(run_dir / member / folder.METRICS, complain) for member in each}
        return [save(group_curves(settings, each, kept), run_dir / "training.png")]
    trained = load_trained(run_dir, config.checkpoint)
    written = []
    rows = folder.read_rows(run_dir / folder.METRICS, complain)
    if rows:
        written.append(save(training_curve(trained, rows), run_dir / "training.png"))
    page = episodes_page(trained, seed=config.seed, data_dir=config.data_dir)
    if page is not None:
        written.append(save(page, run_dir / "episodes.png"))
    if trained.inner_steps:
        steps = inner_steps_curve(inner_steps_of(config, trained.step))
        written.append(save(steps, run_dir / "inner_steps.png"))
    return written


def evaluation_of(path: Path) -> dict[str, Any]:
    """What `evaluation.json` holds, as it is drawn."""
    kept = folder.read_json(path, _DRAWN, {"accuracy": float, "error": float})
    name = "accuracy" if "accuracy" in kept else "error"
    for row in kept["steps"]:
        for field, kind in {"inner_steps": int, name: float, "ci95": float}.items():
            typed(field, row.get(field), kind, f"a step of {path}")
    if not kept["steps"]:
        raise RunError(f"{path} has no steps: jmeta evaluate writes it again.")
    return kept


def inner_steps_of(config: PlotConfig, step: int) -> dict[str, Any]:
    """What `evaluation.json` has of the checkpoint of this step; measured here where it has another, or isn't there."""
    path = Path(config.run_dir) / folder.EVALUATION
    if path.exists():
        kept = folder.read_json(path, {"checkpoint_step": int})
        if kept["checkpoint_step"] == step:
            return evaluation_of(path)
        complain(
            f"{path} is of step {kept['checkpoint_step']}, and the {config.checkpoint} checkpoint of step {step}: "
            f"it is left out, and {config.episodes} episodes are measured. jmeta evaluate writes it again."
        )
    with tempfile.TemporaryDirectory() as place:
        output, data = str(Path(place) / folder.EVALUATION), Data(data_dir=config.data_dir)
        return evaluate(
            EvaluateConfig(config.run_dir, config.episodes, data=data, checkpoint=config.checkpoint, output=output)
        )


def _scale(name: str) -> int:
    """Accuracies are drawn in percent."""
    return 100 if name == "accuracy" else 1


def _loss_axes(axes: Any, rows: Iterable[dict[str, Any]]) -> None:
    """On a logarithmic scale, but for nats, which may be below 0."""
    axes.set(xlabel="outer step", ylabel="query loss")
    if not _in_nats(rows):
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(between)
    axes.yaxis.set_major_formatter("{x:g}")


def _in_nats(rows: Iterable[dict[str, Any]]) -> bool:
    return any(row["loss"] <= 0 for row in rows if "loss" in row)


def _line(rows: list[dict[str, Any]], name: str, scale: int = 1) -> tuple[list[int], list[float]]:
    """Outer steps, and a number that the rows have at them."""
    rows = [row for row in rows if name in row]
    return [row["step"] for row in rows], [scale * row[name] for row in rows]


def training_curve(trained: Trained, rows: list[dict[str, Any]]) -> Any:
    """Loss, and accuracy where there is one, with validation and its interval, over outer steps."""
    name = "accuracy" if "accuracy" in rows[0] else "error"
    scale, validated = _scale(name), [row for row in rows if f"val_{name}" in row and "val_ci95" in row]
    apart = name == "accuracy" or _in_nats(rows)  # what is validated is no loss
    figure = figure_maker()(9 if apart else 5, 3.6)
    axes = figure.subplots(1, 2 if apart else 1, squeeze=False)[0]
    points = {"label": "training", "marker": marker_of(rows), "markersize": 3}
    axes[0].plot(*_line(rows, "loss"), color=INK, **points)
    _loss_axes(axes[0], rows)
    if apart and name == "error":
        axes[1].set(xlabel="outer step", ylabel="squared error", yscale="log")
    if name == "accuracy":
        axes[1].plot(*_line(rows, name, scale), color=FAINT, **points)
        axes[1].set(xlabel="outer step", ylabel="query accuracy, %")
    axes[-1].errorbar(
        *_line(validated, f"val_{name}", scale), _line(validated, "val_ci95", scale)[1],
        color=GOOD, marker="o", markersize=3.5, capsize=2, label="validation, 95 % interval",
    )  # fmt: skip
    axes[-1].legend()
    figure.suptitle(title(trained))
    return figure


def group_curves(settings: Settings, each: Mapping[str, Member], rows: Mapping[str, list[dict[str, Any]]]) -> Any:
    """Loss and validation of each run of a group over outer steps, in one color for all seeds of a setting."""
    name = measured(settings.tasks)[0]
    percent, figure = _scale(name), figure_maker()(9, 3.6)
    losses, scores = figure.subplots(1, 2)
    colors: dict[str, str] = {}
    for member, own in each.items():
        rates = ", ".join(f"{rate} {value:g}" for rate, value in own.rates.items()) or settings.algorithm
        label = None if rates in colors else rates
        line = {"color": colors.setdefault(rates, COLORS[len(colors) % len(COLORS)]), "linewidth": 1, "markersize": 3}
        validated = [row for row in rows[member] if f"val_{name}" in row]
        losses.plot(*_line(rows[member], "loss"), label=label, marker=marker_of(rows[member]), **line)
        scores.plot(*_line(validated, f"val_{name}", percent), label=label, marker=marker_of(validated), **line)
    _loss_axes(losses, (row for each in rows.values() for row in each))
    scores.set(xlabel="outer step", ylabel=f"validation {name}" + (", %" if name == "accuracy" else ""))
    scores.legend()
    figure.suptitle(plain(f"{settings.algorithm} on {settings.tasks.dataset}, {len(rows)} runs"))
    return figure


def inner_steps_curve(result: dict[str, Any]) -> Any:
    """Accuracy or error after each inner step, with intervals."""
    name = "accuracy" if "accuracy" in result else "error"
    scale, rows = _scale(name), result["steps"]
    figure = figure_maker()(5.4, 3.6)
    ax = figure.subplots()
    x, y, ci95 = ([row[key] for row in rows] for key in ("inner_steps", name, "ci95"))
    y, ci95 = scale * np.array(y), scale * np.array(ci95)
    ax.fill_between(x, y - ci95, y + ci95, color=FAINT, alpha=0.5, linewidth=0, label="95 % interval")
    ax.plot(x, y, color=INK, marker="o", markersize=4)
    if max(x) <= 10:
        ax.set_xticks(x)
    if name == "accuracy":
        last, below, what, size = f"{y[-1]:.1f} %", -14, "query accuracy, %", f"{result['way']}-way "
        ax.axhline(100 / result["way"], color=BAD, linewidth=0.8, linestyle="--", label="chance")
        ax.set_ylim(0, 103)
    else:
        last, below, what, size = f"{y[-1]:.2f}", 8, "query error (mean square)", ""
        ax.set_ylim(bottom=0)
    ax.annotate(last, (x[-1], y[-1]), (0, below), textcoords="offset points", ha="right", color=INK)
    ax.set(xlabel="inner steps", ylabel=what)
    ax.legend(loc="best")
    title = f"{result['algorithm']} on {result['dataset']}, {size}{result['shot']}-shot, {result['episodes']} episodes"
    figure.suptitle(plain(title), fontsize=11)
    return figure
