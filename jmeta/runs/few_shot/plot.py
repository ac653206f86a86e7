"""Pictures of a run: its training curve, some episodes, and what each inner step brings."""

import dataclasses
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jmeta.distributions import Normal
from jmeta.errors import RunError
from jmeta.report.figures import BAD, COLORS, FAINT, GOOD, INK, between, figure_maker, marker_of, plain, save
from jmeta.runs.engine import folder
from jmeta.runs.engine.area import load_group
from jmeta.runs.engine.members import Member, members
from jmeta.runs.engine.progress import complain
from jmeta.runs.few_shot.evaluate import Data, EvaluateConfig, evaluate
from jmeta.runs.few_shot.experiment import AREA, measured
from jmeta.runs.few_shot.problems import Problem, load_problem, with_dataset
from jmeta.runs.few_shot.settings import Settings, Tasks
from jmeta.runs.few_shot.trained import Trained, load_trained
from jmeta.settings import check, setting, typed
from jmeta.tasks import catalog
from jmeta.types import Episode

MAX_CLASSES, MAX_ROWS, EPISODES = 10, 5, 4
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
    page = episodes_page(trained, config)
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
    figure.suptitle(_title(trained))
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


def episodes_page(trained: Trained, config: PlotConfig) -> Any:
    """Some test episodes and what is answered: curves, pictures, or of other examples how likely each class is found;
    None where no data set is at hand."""
    tasks = with_dataset(trained.settings.tasks, None, None, config.data_dir)
    problem = load_problem(tasks, tuple(trained.facts["input_shape"]), trained.reader)
    if problem.dataset is None and not problem.numbers:
        return None
    spare = 3 if problem.dataset is None else int(problem.dataset.counts.min()) - tasks.shot
    pictures = len(problem.input_shape) == 3
    query_shot = 200 if problem.numbers else min(3 if pictures else 15, spare)
    sample = problem.sampler("test", tasks.way, tasks.shot, query_shot)
    episodes = [sample(jax.random.fold_in(jax.random.key(config.seed), i)) for i in range(EPISODES)]
    if problem.numbers:
        return _curves_page(trained, episodes)
    names = _names(problem, tasks, query_shot, config.seed)
    return _pictures_page(trained, episodes[:2], names) if pictures else _answers_page(trained, episodes, names)


def _names(problem: Problem, tasks: Tasks, query_shot: int, seed: int) -> list[list[str]]:
    """Of the classes of each episode, as short as they can be told apart in a picture."""
    assert problem.classes is not None and problem.dataset is not None, "classes have names"
    sample = problem.classes("test", tasks.way, tasks.shot, query_shot)
    found = [sample(jax.random.fold_in(jax.random.key(seed), i)).support.x[: tasks.way, 0] for i in range(EPISODES)]
    return [[_short(problem.dataset.class_names[k]) for k in np.asarray(classes)] for classes in found]


def _short(name: str) -> str:
    last = name.rstrip("/").rpartition("/")[2] or name
    return plain(last if len(last) <= 12 else f"{last[:5]}…{last[-6:]}")


def _curves_page(trained: Trained, episodes: list[Episode]) -> Any:
    steps = trained.inner_steps
    figure = figure_maker()(9, 6)
    for ax, episode in zip(figure.subplots(2, 2, sharex=True).flat, episodes, strict=True):
        x = np.asarray(episode.query.x)[:, 0]
        order = np.argsort(x)
        ax.plot(x[order], np.asarray(episode.query.y)[order, 0], color=FAINT, linewidth=4, label="the curve")
        for k, style in ((0, ":"), (steps, "-")) if steps else ((0, "-"),):
            learner = trained.learner_of(k, trained.settings.tasks.way)
            found = learner.predict(learner.adapt(trained.params, episode.support), episode.query.x)
            after = f"after {k} inner step{'s' if k > 1 else ''}" if steps else "as adapted"
            label = "before adapting" if k == 0 and steps else after
            y = np.asarray(found.mean if isinstance(found, Normal) else found)[order, 0]
            ax.plot(x[order], y, color=INK, linestyle=style, label=label)
            if isinstance(found, Normal) and k == steps:
                half = 1.96 * np.sqrt(np.asarray(found.variance))[order, 0]
                ax.fill_between(x[order], y - half, y + half, color=FAINT, alpha=0.4, linewidth=0)
        ax.plot(episode.support.x[:, 0], episode.support.y[:, 0], "o", color=BAD, markersize=5, label="support")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    figure.suptitle(_title(trained))
    return figure


def _pictures_page(trained: Trained, episodes: list[Episode], names: list[list[str]]) -> Any:
    """For each episode a column for each class: its support examples, and below them its queries with the answer."""
    run = trained.settings.tasks
    way = min(run.way, MAX_CLASSES)
    shots, queries = min(run.shot, MAX_ROWS), len(episodes[0].query.x) // run.way
    learner = trained.learner_of(trained.inner_steps, run.way)
    figure = figure_maker()(0.85 * way * len(episodes) + 1.2, 0.95 * (shots + queries) + 1.1)
    pages = figure.subfigures(1, len(episodes))
    for number, (page, episode, called) in enumerate(zip(np.atleast_1d(pages), episodes, names, strict=False), 1):
        logits = learner.predict(learner.adapt(trained.params, episode.support), episode.query.x)
        answers = np.asarray(logits).argmax(axis=-1)
        axes = page.subplots(shots + queries, way, squeeze=False)
        for k in range(way):
            for i in range(shots):
                _picture(axes[i, k], episode.support.x[i * run.way + k], called[k] if i == 0 else "", INK)
            for i in range(queries):
                answer = int(answers[i * run.way + k])
                mark, color = ("", GOOD) if answer == k else (f"taken for\n{called[answer]}", BAD)
                _picture(axes[shots + i, k], episode.query.x[i * run.way + k], mark, color)
        axes[0, 0].set_ylabel("support", fontsize=9)
        axes[shots, 0].set_ylabel("query", fontsize=9)
        share = float(np.mean(answers == np.asarray(episode.query.y).argmax(axis=-1)))
        page.suptitle(f"episode {number}: {100 * share:.0f} % right", fontsize=10)
    figure.suptitle(f"{_title(trained)}: unseen classes")
    return figure


def _answers_page(trained: Trained, episodes: list[Episode], names: list[list[str]]) -> Any:
    """For each episode, how likely each query is found to be of each class: of examples that are no pictures."""
    run = trained.settings.tasks
    learner = trained.learner_of(trained.inner_steps, run.way)
    figure = figure_maker()(9, 7.5)
    for number, (ax, episode, called) in enumerate(zip(figure.subplots(2, 2).flat, episodes, names, strict=True), 1):
        logits = learner.predict(learner.adapt(trained.params, episode.support), episode.query.x)
        truth = np.asarray(episode.query.y).argmax(axis=-1)
        order = np.argsort(truth, kind="stable")
        shares = np.asarray(jax.nn.softmax(logits, axis=-1))[order]
        shown = ax.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        middles = [float(np.flatnonzero(truth[order] == k).mean()) for k in range(run.way)]
        ax.set(xticks=range(run.way), yticks=middles, yticklabels=called)
        ax.set_xticklabels(called, rotation=0 if run.way <= 5 else 90)
        for edge in np.flatnonzero(np.diff(truth[order])):
            ax.axhline(edge + 0.5, color=FAINT, linewidth=0.8)
        ax.grid(False)
        right = float(np.mean(shares.argmax(axis=-1) == truth[order]))
        ax.set_title(f"episode {number}: {100 * right:.0f} % right", fontsize=10)
    figure.supxlabel("class that is answered")
    figure.supylabel("class of the query")
    figure.colorbar(shown, ax=figure.axes, label="probability")
    figure.suptitle(f"{_title(trained)}: unseen classes")
    return figure


def _picture(ax: Any, x: Any, title: str, color: str) -> None:
    image = np.asarray(x)
    shown = image if image.shape[-1] in (3, 4) else 1 - image.mean(axis=-1)  # other channels are no colors
    ax.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize=7, color=color, pad=2)
    for spine in ax.spines.values():
        spine.set(color=color, linewidth=1.6)


def _title(trained: Trained) -> str:
    run = trained.settings.tasks
    size = f"{run.shot}-shot" if catalog.row(run.dataset).numbers else f"{run.way}-way {run.shot}-shot"
    name = Path(run.dataset).name
    return plain(f"{trained.settings.algorithm} on {name}, {size}")
