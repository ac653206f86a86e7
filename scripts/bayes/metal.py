"""Twenty tasks of ten points and no more: learners of MetaL-Benchmark's two sets, beside the best possible.

    python -m scripts.bayes.metal

Tasks are waves about a sloping line; those of set H differ in frequency too. A learner has the 20 tasks alone, from
which it is also chosen, by tasks held out in turn, how long it is trained and how strongly its weights decay. It is
tested on new tasks by 10 points of each. The optimum, by quadrature, knows the distribution that tasks are drawn from.
"""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from jmeta.bayes.exact_waves import wave_optimum
from jmeta.bayes.joint import joint_log_likelihood
from jmeta.distributions import log_density
from jmeta.errors import RunError
from jmeta.report.figures import COLORS, figure_maker, save
from jmeta.report.statistics import crossed
from jmeta.settings import setting
from jmeta.tasks.waves import SINUSOID_E, SINUSOID_H, wave_sampler
from jmeta.types import Batch, Episode, Params
from scripts.bayes.metal_learners import LEARNERS, Told
from scripts.study import Rows, Shown, Study, finite, markdown, plus_minus, program

OPTIMUM = "best possible"
SETS = {"E": SINUSOID_E, "H": SINUSOID_H}
PUBLISHED = {
    "E": {
        "PACOH, GP + NN + NN": (0.287, 0.596), "GP + SE + NN": (0.315, 0.313), "GP + NNL + NNOne": (0.218, 0.141),
        "ALPaCA": (0.340, -0.203),
    },
    "H": {
        "PACOH, GP + NN + NN": (0.632, -0.125), "GP + SE + NN": (0.644, -0.112), "GP + NNL + NNOne": (0.863, -1.204),
        "ALPaCA": (0.884, -1.203),
    },
}  # fmt: skip
"""RMSE and joint log-likelihood that https://github.com/yilun-wu/MetaL-Benchmark gives for its methods."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        run_dir: where results are kept.
        sets: E, H.
        learners: gp-... are Gaussian processes on x itself; deep-... on a network's features; mean-... about a mean by
            a network, with a line, on x itself; alpaca; or tnp, a transformer, whose program alone takes many
            minutes to compile, so that it has to be named.
        seeds: draws of 20 tasks, each with new networks and 100 test tasks of its own.
        tasks: to train on.
        points: of each.
        folds: parts of the tasks that are held out in turn, to choose by.
        steps: of training at the most, each on all tasks.
        every: steps between those that are chosen of.
        decays: of weights, by AdamW, to choose of.
        test_tasks: of each seed.
        test_points: that each is asked for.
        draw: also draw a task as each learner sees it.
    """

    run_dir: str = "runs/bayes-metal"
    sets: tuple[str, ...] = setting(tuple(SETS), place=True)
    learners: tuple[str, ...] = setting(tuple(name for name in LEARNERS if name != "tnp"), place=True)
    seeds: int = setting(5, least=2)
    tasks: int = setting(20, least=2)
    points: int = setting(10, least=2)
    folds: int = setting(4, least=2)
    steps: int = setting(1500, least=1)
    every: int = setting(100, least=1)
    decays: tuple[float, ...] = setting((0.0, 0.3), least=0)
    test_tasks: int = setting(100, least=2)
    test_points: int = setting(100, least=1)
    draw: bool = setting(True, place=True)


class Scale(NamedTuple):
    """Means and standard deviations of inputs and targets of training, which learners see in these units."""

    x: tuple[Array, Array]
    y: tuple[Array, Array]

    def of(self, batch: Batch) -> Batch:
        """A batch in these units."""
        (a, b), (c, d) = self
        return batch._replace(x=(batch.x - a) / b, y=(batch.y - c) / d)


def training_tasks(config: Config, name: str) -> tuple[Batch, Scale]:
    """Of all seeds `[seeds, tasks, points, 1]`, in their own units, and these."""
    sample = wave_sampler(waves=SETS[name], shot=config.points, query_shot=1)

    def one(key: Array) -> tuple[Batch, Scale]:
        known = jax.vmap(sample)(jax.random.split(key, config.tasks)).support
        scale = Scale(*((jnp.mean(a), jnp.std(a)) for a in known[:2]))
        return scale.of(known), scale

    return jax.vmap(one)(jax.random.split(jax.random.key(0), config.seeds))


def test_tasks(config: Config, name: str) -> Episode:
    """Of all seeds `[seeds, tasks, ...]`, as they are seen."""
    sample = wave_sampler(waves=SETS[name], shot=config.points, query_shot=config.test_points)
    keys = jax.random.split(jax.random.key(1), (config.seeds, config.test_tasks))
    return jax.vmap(jax.vmap(sample))(keys)


def loss_of(told: Told, params: Params, tasks: Batch, key: Array) -> Array:
    """The mean loss of all tasks."""
    one = lambda x, y, key: told.loss(params, Batch(x, y), key)
    return jnp.mean(jax.vmap(one)(tasks.x, tasks.y, jax.random.split(key, len(tasks.y))))


def fit(config: Config, told: Told, decay: Array, tasks: Batch, held: Batch, key: Array) -> tuple[Params, Array]:
    """Parameters after each `every` steps, with a leading axis, and their loss on tasks that are held out."""
    start, train, judge = jax.random.split(key, 3)
    rate = optax.warmup_constant_schedule(0.0, 3e-3, 100)
    matrices = lambda params: jax.tree.map(lambda a: a.ndim > 1, params)
    optimizer = optax.chain(
        optax.clip_by_global_norm(3.0), optax.scale_by_adam(), optax.add_decayed_weights(decay, matrices),
        optax.scale_by_learning_rate(rate),
    )  # fmt: skip
    params = told.learner.init(start, tasks.x[0])

    def step(state: Any, key: Array) -> tuple[Any, None]:
        params, own = state
        grads = jax.grad(lambda params: loss_of(told, params, tasks, key))(params)
        updates, own = optimizer.update(grads, own, params)
        return (optax.apply_updates(params, updates), own), None

    def piece(state: Any, keys: Array) -> tuple[Any, Any]:
        state, _ = jax.lax.scan(step, state, keys)
        many = jax.vmap(lambda key: loss_of(told, state[0], held, key))(jax.random.split(judge, 8))
        return state, (state[0], jnp.mean(many))

    keys = jax.random.split(train, (max(1, config.steps // config.every), config.every))
    return jax.lax.scan(piece, (params, optimizer.init(params)), keys)[1]


def chosen(config: Config, told: Told, tasks: Batch, key: Array) -> tuple[Params, Array, Array]:
    """A seed's parameters, and the decay and the steps that they are of: those by which tasks that are held out have
    the least loss on average."""
    order = np.arange(config.tasks)
    inner, outer = (
        jnp.asarray([np.flatnonzero((order % config.folds == k) == out) for k in range(config.folds)])
        for out in (False, True)
    )
    decays = jnp.asarray(config.decays, jnp.float32)
    part = lambda rows: jax.tree.map(lambda a: a[rows], tasks)

    def held_out(decay: Array) -> Array:
        one = lambda k, rows, out: fit(config, told, decay, part(rows), part(out), k)[1]
        return jnp.mean(told.over(one)(jax.random.split(key, config.folds), inner, outer), axis=0)

    losses = jax.lax.map(held_out, decays)
    best = jnp.nanargmin(losses)
    decay, at = decays[best // losses.shape[1]], best % losses.shape[1]
    whole = fit(config, told, decay, tasks, part(outer[0]), key)[0]
    return jax.tree.map(lambda a: a[at], whole), decay, (at + 1) * config.every


def judge(told: Told, params: Params, scale: Scale, episode: Episode) -> dict[str, Array]:
    """Root mean squared error and joint log-likelihood of the queries, in the units of the data."""
    learner, (known, asked) = told.learner, map(scale.of, episode)
    found: Any = learner.predict(learner.adapt(params, known), asked.x)
    if told.evidence is None:
        joint = jnp.mean(log_density(found, asked.y))
    else:
        joint = joint_log_likelihood(learner, told.evidence, params, Episode(known, asked))
    spread = scale.y[1]
    error = spread * jnp.sqrt(jnp.mean(jnp.square(found.mean - asked.y)))
    return {"rmse": error, "joint": joint - jnp.log(spread)}


def measured(config: Config, name: str, method: str, rows: Rows) -> dict[str, Any]:
    """Choose, train and test, for each seed."""
    told = LEARNERS[method]()
    tasks, scales = training_tasks(config, name)
    keys = jax.random.split(jax.random.key(2), config.seeds)
    params, decay, steps = jax.jit(told.over(lambda t, k: chosen(config, told, t, k)))(tasks, keys)
    test = test_tasks(config, name)
    one = lambda seed: jax.lax.map(lambda episode: judge(told, seed[0], seed[1], episode), seed[2])
    found = jax.device_get(jax.jit(lambda *all: jax.lax.map(one, all))(params, scales, test))
    values = {what: finite(found[what], f"the values of {method}").tolist() for what in ("rmse", "joint")}
    first = lambda tree: jax.tree.map(lambda a: a[0], tree)
    seen = curve(told, first(params), first(scales), jax.tree.map(lambda a: a[0, 0], test))
    return values | {"decays": decay.tolist(), "steps": steps.tolist(), "curve": seen}


def curve(told: Told, params: Params, scale: Scale, episode: Episode) -> dict[str, Any]:
    """A learner's prediction of one test task on a grid, its support, and its queries."""
    x = jnp.linspace(-5.0, 5.0, 101)[:, None]
    asked = scale.of(Batch(x, x))
    found: Any = told.learner.predict(told.learner.adapt(params, scale.of(episode.support)), asked.x)
    (center, spread), plain = scale.y, lambda a: np.asarray(a, np.float64)[:, 0].tolist()
    return {
        "mean": plain(center + spread * found.mean), "deviation": plain(spread * jnp.sqrt(found.variance)),
        "seen": [plain(a) for a in episode.support[:2]], "asked": [plain(a) for a in episode.query[:2]],
    }  # fmt: skip


def best(config: Config, name: str, rows: Rows) -> dict[str, Any]:
    """Of the exact posterior, on the same test tasks."""
    test = test_tasks(config, name)
    flat = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), test)
    found = jax.device_get(wave_optimum(SETS[name], flat))
    return {what: np.reshape(values, (config.seeds, config.test_tasks)).tolist() for what, values in found.items()}


def study(config: Config) -> Study:
    """A row of each set and learner, and its optimum; RunError for a name that there is not."""
    for what, given, known in (("set", config.sets, SETS), ("learner", config.learners, LEARNERS)):
        for name in given:
            if name not in known:
                raise RunError(f"there is no {what} {name!r} here: choose of {', '.join(known)}.")
    if config.tasks % config.folds:
        raise RunError(f"--folds must divide the {config.tasks} tasks, got {config.folds}: choose another.")
    rows: dict[str, Any] = {}
    for name in config.sets:
        rows[f"{name}: {OPTIMUM}"] = partial(best, config, name)
        rows |= {f"{name}: {method}": partial(measured, config, name, method) for method in config.learners}
    return Study(rows, partial(show, config))


def by_seeds(values: Any) -> tuple[float, float | None]:
    """Mean, and half of the 95 % interval over seeds, each with tasks of its own."""
    return crossed(np.mean(values, axis=1)[None])


def show(config: Config, rows: Rows) -> Shown:
    """A table of each set, the published rows last; and one task as each learner sees it."""
    parts, figures = [], {}
    for name in config.sets:
        own = {key.partition(": ")[2]: row for key, row in rows.items() if key.startswith(f"{name}: ")}
        lines = [
            [method, *(plus_minus(*by_seeds(row[what]), digits=3) for what in ("rmse", "joint"))]
            for method, row in own.items()
        ]
        lines += [[f"{method}, published", f"{a:.3f}", f"{b:.3f}"] for method, (a, b) in PUBLISHED[name].items()]
        parts.append(markdown([f"Sinusoid-{name}", "RMSE", "joint log-likelihood, nats a point"], lines))
        drawn = {method: row for method, row in own.items() if "curve" in row}
        if drawn:
            figures[f"task-{name}.png"] = partial(draw, drawn)
    said = (
        f"{config.seeds} seeds, each of {config.tasks} training tasks of {config.points} points and "
        f"{config.test_tasks} test tasks of {config.points} and {config.test_points}; 95 % intervals over seeds.\n"
    )
    return Shown("\n".join([*parts, said]), figures)


def draw(rows: Rows, path: Path) -> Path:
    """A panel for each learner: mean, two standard deviations of a target, and the points that were seen."""
    columns = min(4, len(rows))
    figure = figure_maker()(2.6 * columns, 2.6 * -(-len(rows) // columns))
    panels = figure.subplots(-(-len(rows) // columns), columns, sharex=True, sharey=True, squeeze=False).ravel()
    x = np.linspace(-5.0, 5.0, 101)
    for axes, (name, row), color in zip(panels, rows.items(), (COLORS * 2)[: len(rows)], strict=False):
        found = row["curve"]
        mean, spread = np.array(found["mean"]), 2 * np.array(found["deviation"])
        axes.plot(*found["asked"], ".", color="#b0b0b0", markersize=2.5)
        axes.fill_between(x, mean - spread, mean + spread, color=color, alpha=0.2, linewidth=0)
        axes.plot(x, mean, color=color)
        axes.plot(*found["seen"], "o", color="black", markersize=3.5)
        axes.set_title(name, fontsize=9)
    for axes in panels[len(rows) :]:
        axes.remove()
    return save(figure, path)


if __name__ == "__main__":
    program("bayes.metal", Config, study)
