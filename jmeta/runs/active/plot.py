"""Draw a learned rule: accuracy against labels beside every rule, and its training."""

import dataclasses
from pathlib import Path
from typing import Any

from jmeta.report.figures import COLORS, FAINT, INK, figure_maker, marker_of, save
from jmeta.runs.engine import folder
from jmeta.settings import check


@dataclasses.dataclass(frozen=True)
class Config:
    """Draw labels.png, of what `jmeta active evaluate` measured, and training.png.

    Attributes:
        run_dir: the folder of a run that has been evaluated.
    """

    run_dir: str


def draw_curves(rows: dict[str, dict[str, Any]], path: Path, title: str = "") -> Path:
    """Accuracy against labels, and what each rule is above random by."""
    figure = figure_maker()(9.5, 4.0)
    left, right = figure.subplots(1, 2)
    labels = range(1, len(rows["random"]["curve"]))
    colors = dict(zip([n for n in rows if n not in ("random", "stratified", "learned")], COLORS[2:], strict=False))
    colors |= {"random": FAINT, "stratified": "black", "learned": INK}
    for name, row in rows.items():
        style = {
            "color": colors.get(name, COLORS[1]), "linewidth": 2.2 if name == "learned" else 1.3,
            "linestyle": "--" if name == "stratified" else "-", "marker": marker_of(labels), "markersize": 3,
            "label": f"{name} (oracle)" if name == "stratified" else name,
        }  # fmt: skip
        left.plot(labels, [100 * v for v in row["curve"][1:]], **style)
        more = [100 * (v - base) for v, base in zip(row["curve"], rows["random"]["curve"], strict=True)]
        right.plot(labels, more[1:], **style)
    left.set(xlabel="labels", ylabel="accuracy, %")
    right.set(xlabel="labels", ylabel="above random, points")
    left.legend(fontsize=8)
    if title:
        figure.suptitle(title)
    return save(figure, path)


def draw_training(rows: list[dict[str, Any]], path: Path) -> Path:
    """The share of queries that is missed while the rule explores, and the area of validation."""
    figure = figure_maker()(6.5, 4.0)
    axes = figure.add_subplot()
    for name, label, color in (("loss", "missed, while it explores", FAINT), ("val_accuracy", "validation", INK)):
        steps = [row["step"] for row in rows if name in row]
        values = [100 * row[name] for row in rows if name in row]
        if steps:
            axes.plot(steps, values, color=color, marker=marker_of(steps), markersize=3, label=label)
    axes.set(xlabel="step", ylabel="mean over labels, %")
    axes.legend(fontsize=8)
    return save(figure, path)


def main(config: Config) -> list[Path]:
    """Draw, print the names of the files."""
    check(config)
    run_dir = Path(config.run_dir)
    found = folder.read_evaluation(run_dir, "active", "random")
    drawn = [
        draw_curves(found["rows"], run_dir / "labels.png", f"{found['pools']} new pools"),
        draw_training(folder.read_rows(run_dir / folder.METRICS), run_dir / "training.png"),
    ]
    print("\n".join(map(str, drawn)))
    return drawn
