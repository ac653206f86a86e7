"""What a page has of a run of few-shot learning: episodes, inner steps and calibration, by its checkpoint."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from jmeta.errors import RunError, sentence
from jmeta.report.tables import number
from jmeta.runs.bayes import evaluate as uncertain
from jmeta.runs.bayes.plot import reliability
from jmeta.runs.engine import folder
from jmeta.runs.few_shot.learners import LEARNERS
from jmeta.runs.few_shot.pages import episodes_page
from jmeta.runs.few_shot.plot import PlotConfig, inner_steps_curve, inner_steps_of, training_curve
from jmeta.runs.few_shot.trained import Trained, load_trained
from jmeta.runs.report.common import part, training
from jmeta.runs.report.numbers import shown, with_interval
from jmeta.runs.report.page import Html, note, table
from jmeta.runs.report.pictures import Draw
from jmeta.runs.report.run import Seen
from jmeta.settings import typed
from jmeta.tasks import catalog as sources

DRAWN = ("training.png", "episodes.png", "inner_steps.png", "reliability.png")
"""Files of `jmeta plot` that a page draws anew."""


def what_it_is(seen: Seen) -> str:
    """A sentence: learner, data, size of the tasks."""
    value, algorithm = seen.values.get, str(seen.values.get("algorithm"))
    row = LEARNERS.find(algorithm) if algorithm in LEARNERS else None
    dataset = str(value("dataset"))
    numbers = _of_numbers(dataset)
    size = f"{value('shot')}-shot" if numbers else f"{value('way')}-way {value('shot')}-shot"
    said = f" ({row.what})" if row else ""
    return f"A run of few-shot learning: {algorithm}{said}, trained on {size} tasks of {dataset}."


def parts(seen: Seen, asked: PlotConfig, draw: Draw) -> list[Html]:
    """The sections that need the checkpoint; without one the training alone, and why."""
    try:
        trained = load_trained(seen.path, asked.checkpoint)
    except RunError as error:
        return [part("Training", lambda: training(seen, draw)), note(f"Episodes are left out: {sentence(error)}")]
    curve = lambda: training_curve(trained, seen.rows)
    numbers = _of_numbers(trained.settings.tasks.dataset)
    return [
        *_of_another(seen, trained),
        part("Training", lambda: training(seen, draw, curve)),
        part("Test tasks" if numbers else "Episodes of unseen classes", lambda: _episodes(trained, asked, draw)),
        part("What each inner step brings", lambda: _inner_steps(trained, asked, draw)),
        part("How well it knows how sure it is", lambda: _calibration(seen.path, trained, asked, draw)),
    ]


def _of_numbers(dataset: str) -> bool:
    """Whether targets are numbers, as far as that is known without the code of others."""
    with suppress(RunError):
        return sources.row(dataset).numbers
    return False


def _of_another(seen: Seen, trained: Trained) -> list[Html]:
    step = seen.evaluation.get("checkpoint_step", trained.step)
    if step == trained.step:
        return []
    return [note(f"evaluation.json is of step {step}, and the checkpoint that is shown below of step {trained.step}.")]


def _episodes(trained: Trained, asked: PlotConfig, draw: Draw) -> list[Html]:
    told = "Some test episodes: support examples, queries, and what each query was taken for."
    caption = f"By the {asked.checkpoint} checkpoint, of step {trained.step}. What was named wrong stands out."
    if _of_numbers(trained.settings.tasks.dataset):
        told = "Some test tasks: the curve, the support, and what is predicted before and after adapting."
        caption = f"By the {asked.checkpoint} checkpoint, of step {trained.step}."
    return draw(lambda: episodes_page(trained, seed=asked.seed, data_dir=asked.data_dir), told, caption)


def _inner_steps(trained: Trained, asked: PlotConfig, draw: Draw) -> list[Html]:
    if not trained.inner_steps:
        return []
    result = inner_steps_of(asked, trained.step)
    name = "accuracy" if "accuracy" in result else "error"
    first, last = (number(name, result["steps"][i][name]) for i in (0, -1))
    told = f"The {name} goes from {first} without an inner step to {last} after {result['steps'][-1]['inner_steps']}."
    rows = [(str(row["inner_steps"]), with_interval(name, row[name], row["ci95"])) for row in result["steps"]]
    caption = f"Over {result['episodes']} episodes."
    return [
        *draw(lambda: inner_steps_curve(result), told, caption),
        table(f"{name.capitalize()} after each number of inner steps", ["inner steps", name], rows, kind="numbers"),
    ]


def _calibration(run_dir: Path, trained: Trained, asked: PlotConfig, draw: Draw) -> list[Html]:
    result = _uncertainty(run_dir, trained, asked)
    if result is None:
        return []
    what = "intervals hold what they are to hold" if result["kind"] == "coverage" else "it is right where it is sure"
    error, floor = (f"{100 * result[name]:.1f} %" for name in ("error", "floor"))
    told = f"How often {what}: off by {error}, of which chance alone makes {floor}."
    found = {uncertain.NAMES.get(name, name): row for name, row in result["rows"].items()}
    rows = [(name, shown(row["mean"]), shown(row.get("ci95"))) for name, row in found.items()]
    head = ["", "mean", "95 % interval, ±"]
    return [
        *draw(lambda: reliability(result), told, told),
        table(f"Over {result['episodes']} episodes", head, rows, kind="numbers"),
    ]


def _uncertainty(run_dir: Path, trained: Trained, asked: PlotConfig) -> dict[str, Any] | None:
    """What `jmeta bayes evaluate` has left of this checkpoint, or what it would; None for bare numbers."""
    path = run_dir / uncertain.RESULT
    if path.exists():
        needed = {"kind": str, "algorithm": str, "dataset": str, "error": float, "floor": float, "counts": list}
        kept = folder.read_json(path, {**needed, "rows": dict, "episodes": int, "checkpoint_step": int})
        for name, row in kept["rows"].items():
            typed("mean", typed(name, row, dict, str(path)).get("mean"), float, str(path))
        if kept["checkpoint_step"] == trained.step:
            return kept
    config = uncertain.Config(
        str(run_dir), asked.episodes, checkpoint=asked.checkpoint, seed=asked.seed, data_dir=asked.data_dir
    )
    of = uncertain.asked(config)._replace(doubled=None)
    if of.numbers:
        try:
            uncertain.check_distribution(of)
        except RunError:
            return None
    sizes = {"episodes": asked.episodes, "seed": asked.seed}
    return {**of.about, **uncertain.measured(of, **sizes), **sizes}
