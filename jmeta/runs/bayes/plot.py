"""Draw how sure a run is: functions with their intervals, how often it is right where it is how sure, its training."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jmeta import uncertainty
from jmeta.errors import RunError
from jmeta.report.figures import BAD, FAINT, GOOD, INK, figure_maker, plain, save
from jmeta.runs.bayes import evaluate
from jmeta.runs.bayes.evaluate import Asked
from jmeta.runs.engine import folder
from jmeta.runs.few_shot.plot import training_curve
from jmeta.settings import check, setting
from jmeta.types import Episode

GRID = 200
SHOTS = (1, 3, 5, 10)


@dataclasses.dataclass(frozen=True)
class Config:
    """Draw training.png, reliability.png of what `jmeta bayes evaluate` measured, and, of functions of one input,
    functions.png: new tasks by ever more points, with the interval that is to hold 95 % of the targets.

    Attributes:
        run_dir: the folder of a run that has been evaluated.
        checkpoint: best (by validation) or newest.
        seed: decides the tasks that are drawn.
        data_dir: the folder of data sets; otherwise the run's.
    """

    run_dir: str
    checkpoint: str = setting("best", choices=("best", "newest"))
    seed: int = setting(0, least=0)
    data_dir: str | None = None


def functions(asked: Asked, episodes: list[Episode]) -> Any:
    """A column for each number of points and a row for each task: mean, 95 % interval, what was seen and what is."""
    most = len(episodes[0].support.y)
    shots = sorted({min(shot, most) for shot in SHOTS})
    figure = figure_maker()(2.9 * len(shots), 2.5 * len(episodes))
    panels = figure.subplots(len(episodes), len(shots), sharex=True, sharey="row", squeeze=False)
    for row, episode in zip(panels, episodes, strict=True):
        x, y = (np.asarray(a)[:, 0] for a in episode.query[:2])
        grid = np.linspace(x.min(), x.max(), GRID, dtype=np.float32)[:, None]
        for axes, shot in zip(row, shots, strict=True):
            support = jax.tree.map(lambda a, shot=shot: a[:shot], episode.support)
            found: Any = asked.learner.predict(asked.learner.adapt(asked.params, support), grid)
            mean, half = (np.asarray(a)[:, 0] for a in (found.mean, 1.96 * np.sqrt(found.variance)))
            band = {"color": FAINT, "alpha": 0.45, "linewidth": 0}
            axes.fill_between(grid[:, 0], mean - half, mean + half, label="95 % of targets, as predicted", **band)
            axes.plot(x, y, ".", color=GOOD, markersize=2.5, label="targets")
            axes.plot(grid[:, 0], mean, color=INK, label="mean")
            axes.plot(*(np.asarray(a)[:, 0] for a in support[:2]), "o", color=BAD, markersize=4.5, label="support")
            low, high = y.min(), y.max()
            axes.set_ylim(low - 0.5 * (high - low), high + 0.5 * (high - low))
    for axes, shot in zip(panels[0], shots, strict=True):
        axes.set_title(f"{shot} point{'s' * (shot > 1)}", fontsize=10)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    figure.suptitle(plain(f"{asked.about['algorithm']} on {asked.about['dataset']}: new tasks"))
    return figure


def reliability(result: dict[str, Any]) -> Any:
    """The share that is right against confidence, or that intervals hold against what they are to hold; one that knows
    how sure it may be is on the diagonal."""
    counts, numbers = np.asarray(result["counts"], np.float64), result["kind"] == "coverage"
    if numbers:
        told, held, size = np.array(uncertainty.LEVELS), counts[:-1] / counts[-1], None
    else:
        some = counts[:, 0] > 0
        number, confidence, right = counts[some].T
        told, held, size = confidence / number, right / number, 8 + 250 * number / number.sum()
    figure = figure_maker()(4.6, 4.4)
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, label="as sure as it may be")
    axes.plot(told, held, color=INK, linewidth=1.2)
    label = "run" if numbers else "run, by the number of predictions"
    axes.scatter(told, held, color=INK, s=24 if size is None else size, zorder=3, label=label)
    said = (
        ("share that an interval is to hold", "share that it holds")
        if numbers
        else ("confidence", "share that is right")
    )
    axes.set(xlabel=said[0], ylabel=said[1], xlim=(0, 1.02), ylim=(0, 1.02), aspect="equal")
    axes.legend(loc="upper left")
    error = f"off by {100 * result['error']:.1f} % (floor {100 * result['floor']:.1f})"
    figure.suptitle(plain(f"{result['algorithm']} on {result['dataset']}: {error}"))
    return figure


def main(config: Config) -> list[Path]:
    """Draw, print the names of the files."""
    check(config)
    figure_maker()
    run_dir = Path(config.run_dir)
    own = evaluate.Config(config.run_dir, checkpoint=config.checkpoint, data_dir=config.data_dir)
    asked = evaluate.asked(own)
    drawn, path = [], run_dir / evaluate.RESULT
    if rows := folder.read_rows(run_dir / folder.METRICS):
        drawn.append(save(training_curve(asked.trained, rows), run_dir / "training.png"))
    if asked.numbers and asked.trained.facts["input_shape"] == [1]:
        evaluate.check_distribution(asked)
        wide = evaluate.asked(dataclasses.replace(own, query_shot=GRID))
        keys = jax.random.split(jax.random.key(config.seed), 2)
        drawn.append(save(functions(wide, [wide.sample(key) for key in keys]), run_dir / "functions.png"))
    if not path.exists():
        raise RunError(f"{run_dir} has not been evaluated: run jmeta bayes evaluate --run-dir {run_dir} first.")
    needed = {"kind": str, "algorithm": str, "dataset": str, "error": float, "floor": float, "counts": Any}
    drawn.append(save(reliability(folder.read_json(path, needed)), run_dir / "reliability.png"))
    print("\n".join(map(str, drawn)))
    return drawn
