"""Pages of test episodes, and what a learner answers in them: curves, pictures, or how likely each class is found."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jmeta.distributions import Normal
from jmeta.report.figures import BAD, FAINT, GOOD, INK, figure_maker, plain
from jmeta.runs.few_shot.problems import Problem
from jmeta.runs.few_shot.settings import Tasks
from jmeta.runs.few_shot.trained import Trained
from jmeta.runs.few_shot.transfer import show
from jmeta.tasks import catalog
from jmeta.types import Episode

MAX_CLASSES, MAX_ROWS, EPISODES = 10, 5, 4


def episodes_page(trained: Trained, *, seed: int, data_dir: str | None = None) -> Any:
    """Some test episodes and what is answered: curves, pictures, or of other examples how likely each class is found;
    None where no data set is at hand."""
    tasks, problem, _ = show(trained, data_dir=data_dir)
    if problem.dataset is None and not problem.numbers:
        return None
    spare = 3 if problem.dataset is None else int(problem.dataset.counts.min()) - tasks.shot
    pictures = len(problem.input_shape) == 3
    query_shot = 200 if problem.numbers else min(3 if pictures else 15, spare)
    sample = problem.sampler("test", tasks.way, tasks.shot, query_shot)
    episodes = [sample(jax.random.fold_in(jax.random.key(seed), i)) for i in range(EPISODES)]
    if problem.numbers:
        return _curves_page(trained, episodes)
    names = _names(problem, tasks, query_shot, seed)
    return _pictures_page(trained, episodes[:2], names) if pictures else _answers_page(trained, episodes, names)


def _names(problem: Problem, tasks: Tasks, query_shot: int, seed: int) -> list[list[str]]:
    """Of the classes of each episode, as short as they can be told apart in a picture."""
    assert problem.classes is not None and problem.dataset is not None, "classes have names"
    sample = problem.classes("test", tasks.way, tasks.shot, query_shot)
    found = [sample(jax.random.fold_in(jax.random.key(seed), i)).support.x[: tasks.way, 0] for i in range(EPISODES)]
    return [shortened([problem.dataset.class_names[k] for k in np.asarray(classes)]) for classes in found]


def shortened(names: Sequence[str]) -> list[str]:
    """Names for a picture: their last part, cut in its middle, and with a number where two would be the same."""
    last = [name.rstrip("/").rpartition("/")[2] or name for name in names]
    cut = [name if len(name) <= 12 else f"{name[:5]}…{name[-6:]}" for name in last]
    return [plain(name if cut.count(name) == 1 else f"{name} {cut[:i].count(name) + 1}") for i, name in enumerate(cut)]


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
    figure.suptitle(title(trained))
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
    figure.suptitle(f"{title(trained)}: {_unseen(trained)}")
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
    figure.suptitle(f"{title(trained)}: {_unseen(trained)}")
    return figure


def _picture(ax: Any, x: Any, title: str, color: str) -> None:
    image = np.asarray(x)
    shown = image if image.shape[-1] in (3, 4) else 1 - image.mean(axis=-1)  # other channels are no colors
    ax.imshow(shown, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize=7, color=color, pad=2)
    for spine in ax.spines.values():
        spine.set(color=color, linewidth=1.6)


def _unseen(trained: Trained) -> str:
    other = trained.settings.tasks.test.test_dataset
    return "unseen classes" if other is None else plain(f"classes of {Path(other).name}")


def title(trained: Trained) -> str:
    """Learner, data and size of the tasks."""
    run = trained.settings.tasks
    size = f"{run.shot}-shot" if catalog.row(run.dataset).numbers else f"{run.way}-way {run.shot}-shot"
    name = Path(run.dataset).name
    return plain(f"{trained.settings.algorithm} on {name}, {size}")
