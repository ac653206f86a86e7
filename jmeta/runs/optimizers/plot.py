"""Draw a learned rule: the loss against steps beside tuned rules and the best there is, and its training."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from jmeta.report.figures import BAD, COLORS, FAINT, GOOD, INK, figure_maker, marker_of, save
from jmeta.runs.engine import folder
from jmeta.settings import check

_OTHERS = {"sgd": FAINT, "momentum": COLORS[3], "adam": BAD}


@dataclasses.dataclass(frozen=True)
class Config:
    """Draw losses.png, of what `jmeta optimizers evaluate` measured, and training.png.

    Attributes:
        run_dir: the folder of a run that has been evaluated.
    """

    run_dir: str


def draw_losses(rows: dict[str, dict[str, Any]], exactly: dict[str, list[float]], path: Path, title: str = "") -> Path:
    """The mean loss after each step: the learned rule, tuned ones, and what is known exactly."""
    figure = figure_maker()(7.0, 4.4)
    axes = figure.add_subplot()
    for name, row in rows.items():
        label = name if row["rate"] is None else f"{name}, tuned ({row['rate']:.2g})"
        color, width = (INK, 2.4) if name == "learned" else (_OTHERS.get(name, FAINT), 1.4)
        axes.plot(range(len(row["curve"])), row["curve"], color=color, linewidth=width, label=label)
    for name, curve in exactly.items():
        best = name != "best constant rate"
        axes.plot(
            range(len(curve)), curve, color=GOOD if best else "black", linestyle="--" if best else ":", linewidth=1.4,
            label=f"{name}, exact",
        )  # fmt: skip
    lowest = min(min(curve) for curve in [*(row["curve"] for row in rows.values()), *exactly.values()])
    start = max(row["curve"][0] for row in rows.values())
    axes.set(yscale="log", xlabel="step", ylabel="mean loss", ylim=(0.7 * lowest, 3 * start))
    axes.legend(fontsize=8)
    if title:
        figure.suptitle(title)
    return save(figure, path)


def draw_training(rows: list[dict[str, Any]], path: Path) -> Path:
    """The loss over the windows of training, and that at the end of the problems of validation."""
    figure = figure_maker()(6.5, 4.0)
    axes = figure.add_subplot()
    for name, label, color in (
        ("loss", "over the steps of training", FAINT),
        ("val_final_loss", "validation, at the end", INK),
    ):
        steps = [row["step"] for row in rows if name in row]
        values = [float(np.mean(row[name])) for row in rows if name in row]
        if steps:
            axes.plot(steps, values, color=color, marker=marker_of(steps), markersize=3, label=label)
    axes.set(yscale="log", xlabel="step of meta-training", ylabel="mean loss")
    axes.legend(fontsize=8)
    return save(figure, path)


def main(config: Config) -> list[Path]:
    """Draw, print the names of the files."""
    check(config)
    run_dir = Path(config.run_dir)
    found = folder.read_evaluation(run_dir, "optimizers", "learned")
    title = f"{found['problem']}, {found['problems']} new problems"
    drawn = [
        draw_losses(found["rows"], found["exact"], run_dir / "losses.png", title),
        draw_training(folder.read_rows(run_dir / folder.METRICS), run_dir / "training.png"),
    ]
    print("\n".join(map(str, drawn)))
    return drawn
