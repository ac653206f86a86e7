"""Draw a run of meta-reinforcement learning: its training, its rewards as it learns a task, and paths of navigation."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jmeta.report.figures import COLORS, figure_maker, marker_of, save
from jmeta.rl.experiment import counted
from jmeta.rl.rollout import Trajectory
from jmeta.runs.engine.folder import METRICS, read_rows
from jmeta.runs.engine.progress import complain
from jmeta.runs.rl import evaluate
from jmeta.runs.rl.references import Reference, references
from jmeta.runs.rl.trained import load
from jmeta.settings import check, setting


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        run_dir: the folder of a trained run, or of a group of runs.
        tasks: new tasks that the rewards are means over.
        paths: tasks of navigation whose paths are drawn.
        checkpoint: best (by validation) or newest.
    """

    run_dir: str
    tasks: int = setting(500, least=2)
    paths: int = setting(4, least=1)
    checkpoint: str = setting("newest", choices=("best", "newest"))


def draw_training(rows: list[list[dict[str, Any]]], known: list[Reference], path: Path) -> Path:
    """Mean reward of the trials of each update, a line for the rows of each seed, beside what is known."""
    figure = figure_maker()(7.0, 4.2)
    axes = figure.add_subplot()
    for i, own in enumerate(rows):
        steps, returns = ([row[name] for row in own if "returns" in row] for name in ("step", "returns"))
        line = {"color": COLORS[0], "alpha": 0.8, "marker": marker_of(steps), "markersize": 3}
        axes.plot(steps, returns, label="trained" if i == 0 else None, **line)
    for row, color in zip(known, COLORS[1:], strict=False):
        axes.axhline(row.total, color=color, linestyle="--", linewidth=1, label=row.name)
    axes.set(xlabel="update", ylabel="total reward")
    axes.legend(fontsize=8)
    return save(figure, path)


def draw_rounds(found: dict[str, Any], known: list[Reference], name: str, path: Path) -> Path:
    """Mean reward of each episode of a trial, or after each number of inner steps."""
    figure = figure_maker()(6.0, 4.2)
    axes = figure.add_subplot()
    x = np.arange(len(found["rounds"]))
    axes.errorbar(x, found["rounds"], found["rounds_ci95"], color=COLORS[0], marker="o", capsize=3, label="trained")
    for row, color in zip(known, COLORS[1:], strict=False):
        if row.rounds is not None:
            axes.plot(x, row.rounds, color=color, linestyle="--", linewidth=1, label=row.name)
        elif row.name in ("noise-free optimum", "cannot adapt"):
            axes.axhline(row.total, color=color, linestyle="--", linewidth=1, label=row.name)
    axes.set(xlabel=name, ylabel="reward", xticks=x)
    axes.legend(fontsize=8)
    return save(figure, path)


def draw_paths(word: str, paths: list[list[np.ndarray]], goals: np.ndarray, path: Path) -> Path:
    """Where an agent goes in navigation to `goals [tasks, 2]`, a panel a task, a line `[steps, 2]` for each round."""
    figure = figure_maker()(3.2 * len(paths), 3.6)
    for i, (rounds, goal) in enumerate(zip(paths, goals, strict=True)):
        axes = figure.add_subplot(1, len(paths), i + 1)
        for k, positions in enumerate(rounds):
            shade = 0.35 + 0.65 * k / max(len(rounds) - 1, 1)
            color = COLORS[k % len(COLORS)]
            axes.plot(*positions.T, color=color, alpha=shade, linewidth=1.2, label=f"{word} {k}" if i == 0 else None)
        axes.plot(*goal, marker="*", markersize=13, color="black", linestyle="none")
        axes.plot(0, 0, marker="o", markersize=4, color="black", linestyle="none")
        axes.set(xlim=(-0.8, 0.8), ylim=(-0.8, 0.8), aspect="equal")
    figure.legend(loc="outside lower center", ncols=4, fontsize=8)
    return save(figure, path)


def split(trajectory: Trajectory) -> list[np.ndarray]:
    """Positions `[steps, 2]` in each episode of trajectories of navigation, which have leading axes `[n, steps]`."""
    rows = (np.asarray(a) for a in (trajectory.inputs[..., :2], trajectory.done, trajectory.weight))
    return [
        part
        for positions, done, weight in zip(*rows, strict=True)
        for part in np.split(positions[weight > 0], np.flatnonzero(done * weight) + 1)
        if len(part)
    ]


def main(config: Config) -> list[Path]:
    """Draw all pictures that the run allows, and print their names."""
    check(config)
    trained = load(config.run_dir, config.checkpoint)
    own, env = trained.settings, trained.env
    folder = Path(config.run_dir)
    known = references(own.env, own.world, env, own.learner.episodes, tasks=2000)
    rewards = evaluate.measured(trained, tasks=config.tasks, chunk=500)
    drawn = [
        draw_training([read_rows(path / METRICS, complain) for path in trained.params], known, folder / "training.png")
    ]
    if rewards.shape[2] > 1:
        found = evaluate.summary(rewards, counted(own.learner, rewards))
        drawn.append(draw_rounds(found, known, evaluate.ROUND[own.algorithm], folder / "rounds.png"))
    if own.env == "navigation":
        keys = jax.random.split(jax.random.key(0x9A7), config.paths)
        tasks = jax.vmap(env.sample_task)(keys)
        params = next(iter(trained.params.values()))
        shown = jax.device_get(jax.jit(jax.vmap(trained.agent.show, in_axes=(None, 0, 0)))(params, keys, tasks))
        paths = [split(jax.tree.map(lambda a, i=i: a[i], shown)) for i in range(config.paths)]
        word = "episode" if own.algorithm == "rl2" else "after inner step"
        drawn.append(draw_paths(word, paths, np.asarray(tasks), folder / "paths.png"))
    for path in drawn:
        print(path)
    return drawn
