"""Bayesian optimization with learned surrogates: transformer and conditional neural processes and deep kernels, trained
on functions of a family, beside a Gaussian process that knows the prior, and other rules, on the same new functions.

Families are draws of a Gaussian process, whose exact row is known, and parabolas with ripples, where what the functions
have in common is worth knowing.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jax import Array

from jmeta import nets, training
from jmeta.active import optimization as bo
from jmeta.bayes import deep_kernel, matern, rbf
from jmeta.bayes.algorithms import joint_sampler
from jmeta.distributions import nats
from jmeta.errors import RunError
from jmeta.generative import conditional_process, tnp
from jmeta.report.figures import COLORS, FAINT, INK, figure_maker, save
from jmeta.report.tables import markdown, plus_minus
from jmeta.runs.engine.progress import shown
from jmeta.settings import setting
from jmeta.tasks.objectives import gaussian_objectives, ripple_objectives, values_sampler
from jmeta.types import Batch, Learner, Params
from scripts.study import Rows, Shown, Study, finite, interval, program

LENGTH = 0.1
FAMILIES = {"gp": gaussian_objectives(length=LENGTH), "ripples": ripple_objectives()}
SHOWN_AFTER = (3, 5, 8, 10)
PICTURED = (3, 5, 8)
SEED, QUERIES = 0, 16


class Waves(nn.Module):
    """Sines and cosines of x with 1 to 8 half-waves in 0 to 1, and layers with ReLU on them."""

    units: tuple[int, ...] = ()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """`[N, 1]` to `[N, 16]`, or to the last number of units."""
        turns = math.pi * x * jnp.arange(1, 9, dtype=x.dtype)[None]
        z = jnp.concatenate([jnp.sin(turns), jnp.cos(turns)], axis=1)
        for units in self.units:
            z = nn.relu(nn.Dense(units)(z))
        return z


PLAIN = nets.MLPEncoder(())
EXACT = deep_kernel(PLAIN, rbf(length=LENGTH), noise=1e-4)
LEARNERS: dict[str, Learner] = {
    "transformer process": tnp(Waves(), nets.ProcessTransformer()),
    "conditional process": conditional_process(Waves(), nets.MLP((128, 128), 128), nets.MLP((128, 128), 2)),
    "deep kernel": deep_kernel(Waves((64, 64)), matern()),
    "RBF kernel": deep_kernel(PLAIN, rbf()),
}
RATES = {"transformer process": 1e-3, "conditional process": 1e-3, "deep kernel": 3e-3, "RBF kernel": 3e-2}
"""Of training; a kernel alone has four numbers to learn, some of which are far from where they start."""
RULES: dict[str, bo.Acquisition] = {
    "upper confidence bound": bo.upper_confidence_bound(2.0),
    "Thompson sampling": bo.thompson(joint_sampler(PLAIN, rbf(length=LENGTH))),
    "probability of improvement": bo.probability_of_improvement,
    "maximum variance": bo.max_variance,
    "random": bo.random,
}
EI = "expected improvement"


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        run_dir: where results are kept.
        families: of functions: gp, ripples.
        learners: that are trained, by the words of their names: transformer, conditional, deep, RBF.
        steps: of training, of each learner.
        batch: functions of each step.
        functions: new ones to optimize, the same for all rows.
        evaluations: of each function, the first in the middle.
        draw: regret against evaluations, and one optimization step by step.
    """

    run_dir: str = setting("runs/active-optimization", place=True)
    families: tuple[str, ...] = setting(tuple(FAMILIES), place=True)
    learners: tuple[str, ...] = setting(("transformer", "conditional", "deep", "RBF"), place=True)
    steps: int = setting(3000, least=1)
    batch: int = setting(16, least=1)
    functions: int = setting(1000, least=2)
    evaluations: int = setting(10, least=4, most=25)
    draw: bool = setting(True, place=True)


def fit(name: str, draw: Any, config: Config, title: str) -> Params:
    """Train one of `LEARNERS` on functions of a family; DivergedError if its loss is not finite."""
    sample = values_sampler(draw, most=config.evaluations, queries=QUERIES)
    learner, warm = LEARNERS[name], min(100, config.steps)
    rate = optax.warmup_cosine_decay_schedule(0.0, RATES[name], warm, max(config.steps, warm + 1))
    rule = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))
    state = training.init_state(learner, rule, jax.random.key(SEED), sample(jax.random.key(SEED)).support.x)
    run = training.make_run(learner, rule, sample, meta_batch_size=config.batch)
    with shown(title) as report:
        report.begin(0, config.steps)
        for done in range(0, config.steps, 100):
            count = min(100, config.steps - done)
            state, metrics = run(state, count)
            report.piece(done + count, {"loss": float(finite(np.mean(metrics.loss), "the losses"))})
    return state.params


def measured(learner: Learner, params: Params, rule: bo.Acquisition, draw: Any, config: Config) -> dict[str, Any]:
    """Simple regret after each evaluation, the log-likelihood of values given up to as many, and one run to draw."""
    key, other = jax.random.split(jax.random.key(SEED + 1))
    keys = jax.random.split(key, config.functions)
    found = jax.jit(jax.vmap(draw))(keys)
    search = bo.optimize(learner, rule, evaluations=config.evaluations, first=found.x.shape[1] // 2)
    run = jax.jit(jax.vmap(search, in_axes=(None, 0, 0, 0)))(params, found.x, found.y[..., 0], keys)
    episodes = jax.vmap(values_sampler(draw, most=config.evaluations, queries=QUERIES))(
        jax.random.split(other, config.functions)
    )

    def one(episode: Any) -> Array:
        return nats(learner.predict(learner.adapt(params, episode.support), episode.query.x), episode.query)[0]

    fits = -np.asarray(jax.jit(jax.vmap(one))(episodes))
    regret = [interval(each) for each in np.asarray(run.regret).T]
    first = jax.tree.map(lambda a: a[0], (found, run))
    return {"regret": regret, "log_likelihood": interval(fits), "picture": _steps(learner, params, *first)}


def _steps(learner: Learner, params: Params, found: Any, run: bo.Run) -> dict[str, Any]:
    """What is known at some moments of a run, as lists."""
    x, y = found.x, found.y
    moments = []
    for number in (n for n in PICTURED if n < len(run.picks)):
        known = jnp.zeros(len(x)).at[run.picks[:number]].set(1)
        mean, variance = (
            a[:, 0] for a in learner.predict(learner.adapt(params, Batch(x, y * known[:, None], known)), x)
        )
        view = bo.View(x, known, mean, variance, jnp.max(run.values[:number]), None, run.picks, run.picks[0], 0)
        worth = jnp.where(known > 0, 0, bo.expected_improvement(view))
        moments.append({"mean": mean.tolist(), "sd": jnp.sqrt(variance).tolist(), "worth": worth.tolist()})
    return {"x": x[:, 0].tolist(), "y": y[:, 0].tolist(), "picks": run.picks.tolist(), "moments": moments}


def _learned(name: str, draw: Any, config: Config, title: str, rows: Rows) -> dict[str, Any]:
    return measured(LEARNERS[name], fit(name, draw, config, title), bo.expected_improvement, draw, config)


def _fixed(rule: bo.Acquisition, draw: Any, config: Config, rows: Rows) -> dict[str, Any]:
    return measured(EXACT, EXACT.init(jax.random.key(SEED), jnp.zeros((1, 1))), rule, draw, config)


def study(config: Config) -> Study:
    """Rows of each family; RunError for a family or a learner that there is not."""
    for family in config.families:
        if family not in FAMILIES:
            raise RunError(f"there is no family {family!r}: choose of {', '.join(FAMILIES)}.")
    if not config.families:
        raise RunError(f"--families needs one or more: choose of {', '.join(FAMILIES)}.")
    names = {name.split()[0]: name for name in LEARNERS}
    for word in config.learners:
        if word not in names:
            raise RunError(f"there is no learner {word!r}: choose of {', '.join(names)}.")
    made: dict[str, Callable[[Rows], Any]] = {}
    for family in config.families:
        draw = FAMILIES[family]
        if family == "gp":
            rules = {EI: bo.expected_improvement, **RULES}
            made |= {f"gp, known prior, {name}": partial(_fixed, rule, draw, config) for name, rule in rules.items()}
        else:
            made[f"{family}, none, random"] = partial(_fixed, bo.random, draw, config)
        for word in config.learners:
            title = f"{family}, {names[word]}, {EI}"
            made[title] = partial(_learned, names[word], draw, config, title)
    return Study(made, show)


def show(rows: Rows) -> Shown:
    """Mean simple regret after some evaluations, and pictures."""
    after = [n for n in SHOWN_AFTER if all(n <= len(row["regret"]) for row in rows.values())]
    lines = []
    for name, row in rows.items():
        cells = [plus_minus(**_digits(row["regret"][n - 1])) for n in after]
        told = "" if not name.endswith(EI) else plus_minus(**_digits(row["log_likelihood"], 3))
        lines.append([*name.split(", "), *cells, told])
    head = ["family", "surrogate", "rule", *(f"regret after {n}" for n in after), "log-likelihood, nats a value"]
    figures = {"regret.png": partial(draw_regret, rows)}
    families = dict.fromkeys(name.split(", ")[0] for name in rows)
    figures |= {f"{family}.png": partial(draw_runs, rows, family) for family in families}
    return Shown(markdown(head, lines), figures)


def _digits(found: Mapping[str, Any], digits: int = 4) -> dict[str, Any]:
    return {"mean": found["mean"], "ci95": found["ci95"], "digits": digits}


def draw_regret(rows: Rows, path: Path) -> Path:
    """Mean simple regret against evaluations, each family by itself."""
    families = list(dict.fromkeys(name.split(", ")[0] for name in rows))
    figure = figure_maker()(5.2 * len(families), 4.2)
    for axes, family in zip(np.atleast_1d(figure.subplots(1, len(families))), families, strict=True):
        own = {name: row for name, row in rows.items() if name.startswith(f"{family}, ")}
        for number, (name, row) in enumerate(own.items()):
            _, surrogate, rule = name.split(", ")
            learned = surrogate in LEARNERS
            mean, half = (np.array([found[part] for found in row["regret"]]) for part in ("mean", "ci95"))
            color = COLORS[list(LEARNERS).index(surrogate)] if learned else "black" if rule == EI else FAINT
            style = "-" if learned or rule == EI else ("--", "-.", ":", (0, (1, 3)), (0, (5, 1)))[number % 5]
            label = f"{surrogate}, EI" if rule == EI else rule
            at = range(1, len(mean) + 1)
            axes.plot(at, mean, color=color, linestyle=style, linewidth=1.8 if rule == EI else 1.2, label=label)
            if rule == EI:
                axes.fill_between(at, np.maximum(mean - half, mean / 10), mean + half, color=color, alpha=0.15, lw=0)
        axes.set(yscale="log", xlabel="evaluations", ylabel="mean simple regret", title=family)
        axes.legend(fontsize=7)
    return save(figure, path)


def draw_runs(rows: Rows, family: str, path: Path) -> Path:
    """One optimization of each surrogate: what is known after some evaluations, and where it goes next."""
    own = {name: row for name, row in rows.items() if name.startswith(f"{family}, ") and name.endswith(EI)}
    columns = len(next(iter(own.values()))["picture"]["moments"])
    figure = figure_maker()(3.6 * columns, 2.5 * len(own))
    grid = figure.subplots(len(own), columns, squeeze=False, sharex=True, sharey=True)
    for line, (name, row) in zip(grid, own.items(), strict=True):
        for axes, number, moment in zip(line, PICTURED, row["picture"]["moments"], strict=False):
            _draw_moment(axes, row["picture"], number, moment)
            axes.set_title(f"{name.split(', ')[1]}, {number} evaluations", fontsize=8)
    figure.legend(*grid[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize=8)
    return save(figure, path)


def _draw_moment(axes: Any, picture: Mapping[str, Any], number: int, moment: Mapping[str, Any]) -> None:
    x, y, mean, sd = (np.array(a) for a in (picture["x"], picture["y"], moment["mean"], moment["sd"]))
    worth, picks = np.array(moment["worth"]), picture["picks"]
    axes.plot(x, y, color="black", linewidth=0.9, label="function")
    axes.plot(x, mean, color=INK, linewidth=1.2, label="mean")
    axes.fill_between(x, mean - 2 * sd, mean + 2 * sd, color=INK, alpha=0.18, linewidth=0, label="two sd")
    seen, following = picks[:number], picks[number]
    axes.plot(x[seen], y[seen], "o", color=COLORS[1], markersize=4, label="evaluated")
    axes.axvline(x[following], color=COLORS[2], linewidth=0.9, linestyle="--", label="next")
    low, high = y.min() - 1.2, y.max() + 1.0
    scale = 0.25 * (high - low) / max(worth.max(), 1e-9)
    axes.fill_between(x, low, low + scale * worth, color=COLORS[2], alpha=0.5, linewidth=0, label="EI, scaled")
    axes.set_ylim(low, high)


if __name__ == "__main__":
    program("active.optimization", Config, study)
