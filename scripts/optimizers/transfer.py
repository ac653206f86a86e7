"""Where a learned optimizer goes on being good: rules trained on one problem, and used on wider, deeper and other
networks, on other data and for longer, beside gradient descent and Adam that were tuned there and here."""

import dataclasses
import functools
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from jmeta import loop
from jmeta.optimizers.evaluation import BASELINES, curves, tuned
from jmeta.optimizers.experiment import example_of, experiment, load_data, rule_of
from jmeta.optimizers.settings import Choice, Settings, defaults
from jmeta.report.figures import figure_maker, save
from jmeta.report.statistics import paired
from jmeta.settings import replaced, setting
from scripts.study import Shown, Study, finite, interval, markdown, plus_minus, program

TARGETS: dict[str, dict[str, Any]] = {
    "as trained": {},
    "40 wide": {"features": (40,)},
    "2 deep": {"features": (20, 20)},
    "ReLU": {"activation": "relu"},
    "twice the steps": {},
    "batches of 16": {"batch_size": 16},
    "glyphs": {"dataset": "glyphs"},
    "MNIST": {"dataset": "mnist28.npz"},
}
BASES = ("sgd", "adam")
PIECE = 25


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        run_dir: where results are kept.
        dataset: that rules are trained on.
        rules: names of `jmeta optimizers train`.
        targets: of the table; those with data that are not there can be left out.
        estimator: of the meta-gradient.
        steps: of meta-training.
        inner_steps: of each problem, after the last of which a rule is judged.
        seeds: of each rule.
        problems: new ones of each target.
        tuning_problems: that the rates of baselines are chosen by.
        draw: draw the pictures, which needs matplotlib.
    """

    run_dir: str = "runs/optimizers-transfer"
    dataset: str = "digits"
    rules: tuple[str, ...] = ("mlp", "lstm")
    targets: tuple[str, ...] = setting(tuple(TARGETS), place=True)
    estimator: str = "full"
    steps: int = setting(200, least=1)
    inner_steps: int = setting(50, least=1)
    seeds: int = setting(1, least=1)
    problems: int = setting(32, least=2)
    tuning_problems: int = setting(16, least=2)
    draw: bool = setting(True, place=True)


def settings_of(config: Config, rule: str, target: str) -> Settings:
    """Of a rule, with a target's problem."""
    base = replaced(defaults(Choice(rule, "classification", config.estimator)), {"dataset": config.dataset})
    steps = config.inner_steps * (2 if target == "twice the steps" else 1)
    same = {"outer_steps": config.steps, "objective": "last", "inner_steps": steps, "batch_size": 64}
    return replaced(base, same | {"meta_batch_size": 4} | TARGETS[target])


def train(config: Config, rule: str, seed: int, rows: Mapping[str, Any]) -> dict[str, Any]:
    """Theta, flat, and the mean loss of each piece of training."""
    settings = settings_of(config, rule, "as trained")
    made = experiment(settings, load_data(settings.problem, settings.problems))
    state, _ = loop.repeat(made.update)(made.init(jax.random.key(seed)), config.steps)
    return {"theta": finite(ravel_pytree(state.params)[0], f"the parameters of {rule}").tolist()}


def learned(config: Config, rule: str, seed: int, target: str, rows: Mapping[str, Any]) -> dict[str, Any]:
    """Final losses of a rule on a target."""
    settings = settings_of(config, rule, target)
    problem, made = load_data(settings.problem, settings.problems).problem, rule_of(settings)
    like = made.init(jax.random.key(0), example_of(problem))
    theta = ravel_pytree(like)[1](jnp.array(rows[f"train {rule}, seed {seed}"]["theta"], jnp.float32))
    keys = jax.random.split(jax.random.key(40_000), config.problems)
    return {"final": _final(curves(made.make, theta, problem, keys, steps=settings.unrolled.inner_steps).final)}


@functools.cache
def rate_of(config: Config, name: str, target: str) -> float:
    """The rate at which a rule of Optax does best on other problems of a target."""
    settings, (make, rates) = settings_of(config, "mlp", target), BASELINES[name]
    keys = jax.random.split(jax.random.key(50_000), config.tuning_problems)
    problem = load_data(settings.problem, settings.problems).problem
    return tuned(make, rates, problem, keys, steps=settings.unrolled.inner_steps).rate


def fixed(config: Config, name: str, target: str, on: str, rows: Mapping[str, Any]) -> dict[str, Any]:
    """Final losses of a rule of Optax on a target, whose rate was tuned on that problem or on this."""
    settings, rate = settings_of(config, "mlp", target), rate_of(config, name, on)
    problem = load_data(settings.problem, settings.problems).problem
    keys = jax.random.split(jax.random.key(40_000), config.problems)
    final = curves(BASELINES[name][0], jnp.float32(rate), problem, keys, steps=settings.unrolled.inner_steps).final
    return {"final": _final(final), "rate": rate}


def _final(values: np.ndarray) -> list[float]:
    """Losses as JSON has them: what diverged counts as 1e9."""
    return np.where(np.isfinite(values), np.minimum(values, 1e9), 1e9).tolist()


def study(config: Config) -> Study:
    """Training of each rule, then each on each target, then baselines."""
    seeds = range(config.seeds)
    made: dict[str, Any] = {
        f"train {rule}, seed {s}": partial(train, config, rule, s) for rule in config.rules for s in seeds
    }
    for target in config.targets:
        made |= {
            f"{target}: {rule}, seed {s}": partial(learned, config, rule, s, target)
            for rule in config.rules
            for s in seeds
        }
        for name in BASES:
            made[f"{target}: {name}, tuned where trained"] = partial(fixed, config, name, target, "as trained")
            made[f"{target}: {name}, tuned here"] = partial(fixed, config, name, target, target)
    figures = {"transfer.png": partial(draw, config)}
    return Study(made, lambda rows: Shown(table(config, rows), {n: partial(d, rows) for n, d in figures.items()}))


def found(config: Config, rows: Mapping[str, Any]) -> dict[str, dict[str, np.ndarray]]:
    """Final losses by target and method, seeds of a rule averaged."""
    of: dict[str, dict[str, np.ndarray]] = {}
    for target in config.targets:
        mine = {
            n.removeprefix(f"{target}: "): np.array(r["final"]) for n, r in rows.items() if n.startswith(f"{target}: ")
        }
        by_rule = {
            rule: np.mean([v for n, v in mine.items() if n.startswith(f"{rule}, seed")], axis=0)
            for rule in config.rules if any(n.startswith(f"{rule}, seed") for n in mine)
        }  # fmt: skip
        of[target] = by_rule | {n: v for n, v in mine.items() if ", tuned " in n}
    return {target: mine for target, mine in of.items() if mine}


def table(config: Config, rows: Mapping[str, Any]) -> str:
    """Mean final losses; in bold a learned rule that beats Adam tuned on the target by more than a paired interval."""
    losses = found(config, rows)
    names = [*config.rules, *(f"{name}, tuned {where}" for name in BASES for where in ("where trained", "here"))]
    lines = []
    for target, mine in losses.items():
        cells = []
        for name in names:
            if name not in mine:
                cells.append("")
                continue
            row = interval(mine[name])
            said = "diverged" if row["mean"] > 1e6 else plus_minus(row["mean"], row["ci95"], digits=3)
            less, ci95 = paired(mine[name], mine["adam, tuned here"]) if "adam, tuned here" in mine else (0.0, None)
            cells.append(f"**{said}**" if name in config.rules and ci95 is not None and -less > ci95 else said)
        lines.append([target, *cells])
    return markdown(["held-out loss", *names], lines)


def draw(config: Config, rows: Mapping[str, Any], path: Path) -> Any:
    """Losses over those of Adam tuned on the target: below 1 is better."""
    losses = found(config, rows)
    names = [*config.rules, "sgd, tuned where trained", "adam, tuned where trained", "sgd, tuned here"]
    ratio = np.array(
        [
            [np.mean(mine.get(n, [np.nan])) / np.mean(mine["adam, tuned here"]) for n in names]
            for mine in losses.values()
            if "adam, tuned here" in mine
        ]
    )
    figure = figure_maker()(1.2 * len(names) + 2.5, 0.5 * len(ratio) + 2.2)
    axes = figure.add_subplot()
    axes.imshow(np.log(np.clip(ratio, 0.25, 4.0)), cmap="RdBu_r", vmin=-1.4, vmax=1.4, aspect="auto")
    for (i, j), value in np.ndenumerate(ratio):
        axes.text(j, i, "diverged" if value > 1e3 else f"{value:.2f}", ha="center", va="center", fontsize=9)
    axes.set_xticks(range(len(names)), labels=[n.replace(", ", "\n") for n in names], fontsize=8)
    axes.set_yticks(range(len(ratio)), labels=list(losses)[: len(ratio)])
    axes.set_title("held-out loss over that of Adam tuned on the target", fontsize=10)
    return save(figure, path)


if __name__ == "__main__":
    program("optimizers.transfer", Config, study)
