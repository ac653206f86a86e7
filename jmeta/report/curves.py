"""Training curves of any runs in one figure, out of the rows of their `metrics.jsonl`."""

from collections.abc import Mapping, Sequence
from typing import Any

from jmeta.report.figures import COLORS, between, figure_maker, marker_of, plain

Rows = Sequence[Mapping[str, Any]]
_STYLES = ("-", "--", ":", "-.")


def trained_by(rows: Rows) -> str:
    """What tells how training goes on: the returns of agents, the loss of all others."""
    return "returns" if any("returns" in row for row in rows) else "loss"


def validated_by(rows: Rows) -> str | None:
    """The first number of validation that rows have, such as `val_accuracy`; None without validation."""
    return next((name for row in rows for name in row if name.startswith("val_") and name != "val_ci95"), None)


def curves(runs: Mapping[str, Rows]) -> Any:
    """Training over steps, and validation with its interval where there is any: a line for each run, by its name."""
    every = [row for rows in runs.values() for row in rows]
    trained, validated = trained_by(every), validated_by(every)
    figure = figure_maker()(9 if validated else 5.4, 3.6 + (0.25 * -(-len(runs) // 3) if len(runs) > 1 else 0))
    panels = figure.subplots(1, 2 if validated else 1, squeeze=False)[0]
    for i, (name, rows) in enumerate(runs.items()):
        line = {
            "color": COLORS[i % len(COLORS)], "linestyle": _STYLES[i // len(COLORS) % len(_STYLES)],
            "linewidth": 1.2, "markersize": 3, "label": plain(name),
        }  # fmt: skip
        steps, values = points(rows, trained)
        panels[0].plot(steps, values, marker=marker_of(steps), **line)
        if validated:
            steps, values = points(rows, validated)
            half = [_scale(validated) * row.get("val_ci95", 0.0) for row in rows if validated in row]
            panels[1].errorbar(steps, values, half, marker="o", capsize=2, elinewidth=0.8, **line)
    _named(panels[0], trained, every)
    if validated:
        _named(panels[1], validated, every)
    if len(runs) > 1:
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    return figure


def points(rows: Rows, name: str) -> tuple[list[int], list[float]]:
    """Steps, and a number that the rows have at them; accuracies in percent."""
    there = [row for row in rows if name in row]
    return [row["step"] for row in there], [_scale(name) * row[name] for row in there]


def _scale(name: str) -> int:
    return 100 if name.endswith("accuracy") else 1


def _named(axes: Any, name: str, rows: Rows) -> None:
    """Losses on a logarithmic scale where all are above 0."""
    values = points(rows, name)[1]
    if name.endswith(("loss", "error")) and values and min(values) > 0:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(between)
    what = f"validation {name.removeprefix('val_')}" if name.startswith("val_") else f"training {name}"
    axes.set(xlabel="step", ylabel=f"{what.replace('_', ' ')}{', %' if _scale(name) > 1 else ''}")
