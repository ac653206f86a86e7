"""Draw a run of continual learning: its training, and accuracy against the number of classes of a stream."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from jmeta.errors import RunError
from jmeta.report.figures import COLORS, figure_maker, marker_of, save
from jmeta.runs.continual import AREA
from jmeta.runs.engine import folder, record
from jmeta.runs.engine.progress import complain
from jmeta.settings import check


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        run_dir: the folder of a run, once it was evaluated by `jmeta continual evaluate`.
    """

    run_dir: str


def draw_classes(rows: dict[str, Any], path: Path) -> Path:
    """Accuracy on held-out examples (lines) and on what was streamed (dashes) against the number of classes."""
    figure = figure_maker()(6.4, 4.2)
    axes = figure.add_subplot()
    for (name, row), color in zip(rows.items(), COLORS * len(rows), strict=False):
        axes.errorbar(row["classes"], row["accuracy"], row["ci95"], color=color, marker="o", capsize=3, label=name)
        axes.plot(row["classes"], row["streamed"], color=color, linestyle="--", linewidth=1, alpha=0.7)
    ticks = sorted({n for row in rows.values() for n in row["classes"]})
    axes.set(xscale="log", xlabel="classes in the stream", ylabel="accuracy (dashes: on what was streamed)")
    axes.set_xticks(ticks, labels=list(map(str, ticks)))
    axes.minorticks_off()
    axes.set_ylim(0, 1)
    axes.legend(fontsize=8)
    return save(figure, path)


def draw_training(rows: list[dict[str, Any]], path: Path) -> Path:
    """Loss on the queries of training streams, and accuracy after streams of validation classes."""
    figure = figure_maker()(9.0, 3.8)
    for i, (name, label) in enumerate((("loss", "training loss"), ("val_accuracy", "validation accuracy"))):
        axes = figure.add_subplot(1, 2, i + 1)
        steps, values = ([row[key] for row in rows if name in row] for key in ("step", name))
        axes.plot(steps, [float(np.mean(value)) for value in values], color=COLORS[i], marker=marker_of(steps))
        axes.set(xlabel="outer step", ylabel=label)
    return save(figure, path)


def main(config: Config) -> list[Path]:
    """Draw all pictures that the run allows, and print their names."""
    check(config)
    place = Path(config.run_dir)
    kind, drawn = record.load(place).kind, []
    if kind == AREA.kind:
        drawn.append(draw_training(folder.read_rows(place / folder.METRICS, complain), place / "training.png"))
    if (place / folder.EVALUATION).exists():
        found = folder.read_json(place / folder.EVALUATION)
        rows = found.get("rows")
        if isinstance(rows, dict) and all("streamed" in row for row in rows.values()):
            drawn.append(draw_classes(rows, place / "classes.png"))
        elif "retained" not in found:
            raise RunError(f"{place} was evaluated on no streams: run jmeta continual evaluate --run-dir {place}.")
    elif kind != AREA.kind:
        raise RunError(f"{place} was not evaluated: run jmeta continual evaluate --run-dir {place} first.")
    for path in drawn:
        print(path)
    return drawn
