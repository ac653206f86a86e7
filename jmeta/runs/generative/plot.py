"""Draw a generator: a page of new classes with new drawings of each, density against drawings seen, and training."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jmeta.generative.evaluation import classes_of, drawn
from jmeta.report.figures import COLORS, FAINT, figure_maker, marker_of, save
from jmeta.runs.engine import folder
from jmeta.runs.engine.progress import complain
from jmeta.runs.generative.evaluate import LEARNED
from jmeta.runs.generative.page import draw_page
from jmeta.runs.generative.trained import data_of, load_trained
from jmeta.settings import check, setting


@dataclasses.dataclass(frozen=True)
class Config:
    """Draw drawings.png, test classes with new drawings of each; training.png; and, once the run has been evaluated,
    density.png.

    Attributes:
        run_dir: the folder of a run of `jmeta generative train`.
        classes: rows of the page.
        seen: drawings of each class that are seen.
        number: new drawings of each.
        seed: other classes and drawings.
        checkpoint: best (by validation) or newest.
        data_dir: the folder of data sets; otherwise the run's.
    """

    run_dir: str
    classes: int = setting(10, least=1)
    seen: int = setting(1, least=1)
    number: int = setting(12, least=1)
    seed: int = setting(0, least=0)
    checkpoint: str = setting("best", choices=("best", "newest"))
    data_dir: str | None = None


def draw_density(rows: dict[str, dict[str, Any]], path: Path) -> Path:
    """Nats a drawing against the number of drawings that were seen."""
    figure = figure_maker()(6.0, 4.0)
    axes = figure.add_subplot()
    for (name, row), color in zip(rows.items(), COLORS, strict=False):
        learned = name == LEARNED
        axes.errorbar(
            row["shots"], row["nats"], row["ci95"], color=color, marker="o", capsize=3, label=name,
            linestyle="-" if learned else "--",
        )  # fmt: skip
    axes.set(xlabel="drawings of the class that were seen", ylabel="nats a drawing")
    axes.legend(fontsize=8)
    return save(figure, path)


def draw_training(rows: list[dict[str, Any]], path: Path) -> Path:
    """Nats a drawing in training and in validation."""
    figure = figure_maker()(6.0, 3.8)
    axes = figure.add_subplot()
    curves = (("loss", -1, "training", FAINT), ("val_nats", 1, "validation", COLORS[0]))
    for name, sign, label, color in curves:
        steps = [row["step"] for row in rows if name in row]
        values = [sign * float(np.mean(row[name])) for row in rows if name in row]
        if steps:
            axes.plot(steps, values, color=color, marker=marker_of(steps), label=label)
    axes.set(xlabel="outer step", ylabel="nats a drawing")
    axes.legend(fontsize=8)
    return save(figure, path)


def main(config: Config) -> list[Path]:
    """Draw all pictures that the run allows, and print their names."""
    check(config)
    figure_maker()
    place = Path(config.run_dir)
    trained = load_trained(place, config.checkpoint)
    data = data_of(trained, config.run_dir, config.data_dir)
    classes = classes_of(data.test, seen=config.seen, queries=1, most=config.classes, seed=config.seed)
    new = drawn(trained.generator, trained.params, classes.seen, config.number, jax.random.key(config.seed))
    rows = {str(i + 1): pair for i, pair in enumerate(zip(classes.seen, new, strict=True))}
    written = [draw_page(rows, place / "drawings.png", names=False)]
    if kept := folder.read_rows(place / folder.METRICS, complain):
        written.append(draw_training(kept, place / "training.png"))
    if (place / folder.EVALUATION).exists():
        written.append(
            draw_density(folder.read_evaluation(place, "generative", LEARNED)["rows"], place / "density.png")
        )
    for path in written:
        print(path)
    return written
