"""Sine curves seen with noise: error and likelihood of learners that know how sure they are, beside the best possible.

    python -m scripts.bayes.sinusoid

Amplitude, phase and x are those of MAML's sinusoid, with noise on all targets. The optimum is by quadrature over
amplitude and phase; no learner can be better on average.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from jmeta import evaluation, nets, training
from jmeta.bayes import alpaca, deep_kernel, exact, rbf, spectral_mixture
from jmeta.bayes.algorithms import predictive
from jmeta.distributions import Normal, log_density
from jmeta.errors import RunError
from jmeta.generative import tnp
from jmeta.report.figures import COLORS, figure_maker, save
from jmeta.settings import setting
from jmeta.tasks import sinusoid_sampler
from jmeta.types import Batch, Episode, Learner
from scripts.study import Rows, Shown, Study, finite, interval, markdown, plus_minus, program

OPTIMUM = "best possible"
LEARNERS: dict[str, Callable[[], Learner]] = {
    "gp-rbf": lambda: deep_kernel(nets.MLPEncoder(()), rbf(variance=4.0)),
    "gp-spectral": lambda: deep_kernel(nets.MLPEncoder(()), spectral_mixture(variance=4.0)),
    "deep-kernel": lambda: deep_kernel(nets.MLPEncoder((40, 40)), rbf(variance=4.0), objective=predictive),
    "deep-spectral": lambda: deep_kernel(nets.MLPEncoder((40, 40, 2)), spectral_mixture(variance=4.0)),
    "alpaca": lambda: alpaca(nets.MLPEncoder((40, 40)), spread=0.5, noise=0.3),
    "tnp": lambda: tnp(nets.MLPEncoder((64,)), nets.ProcessTransformer(64, 2, 4)),
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        run_dir: where results are kept.
        shots: points of each curve, for a table each.
        noise: standard deviation of targets.
        learners: of gp-rbf and gp-spectral (a Gaussian process on x itself), deep-kernel (RBF on 40 features),
            deep-spectral (on two, as its waves are a product over features), alpaca and tnp.
        steps: of training, each on 32 curves.
        tasks: of the test.
        draw: also draw curves with two standard deviations.
    """

    run_dir: str = "runs/bayes-sinusoid"
    shots: tuple[int, ...] = setting((5, 10), least=1)
    noise: float = setting(0.1, above=0)
    learners: tuple[str, ...] = setting(tuple(LEARNERS), place=True)
    steps: int = setting(10_000, least=1)
    tasks: int = setting(2000, least=2)
    draw: bool = setting(True, place=True)


def sampler(config: Config, shot: int) -> Callable[[Array], Episode]:
    """Curves with noise on support and queries."""
    clean = sinusoid_sampler(shot=shot, query_shot=20)

    def sample(key: Array) -> Episode:
        one, *keys = jax.random.split(key, 3)
        seen = lambda batch, key: Batch(batch.x, batch.y + config.noise * jax.random.normal(key, batch.y.shape))
        return Episode(*map(seen, clean(one), keys))

    return sample


def measured(config: Config, name: str, rows: Rows) -> dict[str, Any]:
    """Train for any number of points up to the most, then measure at each."""
    learner, most = LEARNERS[name](), max(config.shots)
    whole = sampler(config, most)

    def sample(key: Array) -> Episode:  # of 1 to the most points: the others have a weight of 0
        one, two = jax.random.split(key)
        support, query = whole(one)
        number = jax.random.randint(two, (), 1, most + 1)
        return Episode(support._replace(weight=(jnp.arange(most) < number).astype(float)), query)

    optimizer = optax.chain(
        optax.clip_by_global_norm(10.0), optax.adam(optax.cosine_decay_schedule(3e-3, config.steps))
    )
    state = training.init_state(learner, optimizer, jax.random.key(0), jnp.zeros((most, 1)))
    state, metrics = training.make_run(learner, optimizer, sample, meta_batch_size=32)(state, config.steps)
    finite(np.asarray(metrics.loss), "the losses")

    def judge(episode: Episode) -> dict[str, Array]:
        found: Any = learner.predict(learner.adapt(state.params, episode.support), episode.query.x)
        return {
            "mse": jnp.mean(jnp.square(found.mean - episode.query.y)),
            "nll": -jnp.mean(log_density(found, episode.query.y)),
        }

    result: dict[str, Any] = {}
    for shot in config.shots:
        key = jax.random.key(1)
        found = evaluation.of_each(judge, sampler(config, shot), key, episodes=config.tasks, chunk_size=100)
        result[str(shot)] = {part: interval(values) for part, values in found.items()}
    return result | {"curves": curves(config, learner, state.params)}


def curves(config: Config, learner: Learner, params: Any) -> dict[str, Any]:
    """A prediction of one curve by 5 points, on a grid."""
    support = sampler(config, 5)(jax.random.key(7)).support
    x = jnp.linspace(-5.0, 5.0, 101)[:, None]
    found: Any = learner.predict(learner.adapt(params, support), x)
    plain = lambda a: np.asarray(a, np.float64)[:, 0].tolist()
    return {"seen": [plain(support.x), plain(support.y)], "mean": plain(found.mean), "variance": plain(found.variance)}


def best(config: Config, rows: Rows) -> dict[str, Any]:
    """Of the exact posterior."""
    result = {}
    for shot in config.shots:
        found = exact.sinusoid_optimum(jax.random.key(1), shot=shot, noise=config.noise, tasks=config.tasks)
        result[str(shot)] = {"mse": interval(found["mse"] + config.noise**2), "nll": interval(found["nll"])}
    support = sampler(config, 5)(jax.random.key(7)).support
    x = jnp.concatenate([support.x[:, 0], jnp.linspace(-5.0, 5.0, 101)])
    known: Normal = exact.posterior(exact.sine_curves(x), support.y[:, 0], config.noise)[0]
    plain = lambda a: np.asarray(a, np.float64)[:, 0].tolist()
    drawn = {"mean": plain(known.mean), "variance": plain(known.variance + config.noise**2)}
    return result | {"curves": {"seen": [plain(support.x), plain(support.y)], **drawn}}


def study(config: Config) -> Study:
    """The optimum, and a row of each learner; RunError for a name that there is not."""
    for name in config.learners:
        if name not in LEARNERS:
            raise RunError(f"there is no learner {name!r} here: choose of {', '.join(LEARNERS)}.")
    rows: dict[str, Any] = {OPTIMUM: partial(best, config)}
    return Study(rows | {name: partial(measured, config, name) for name in config.learners}, partial(show, config))


def show(config: Config, rows: Rows) -> Shown:
    """Error and likelihood by the number of points; and one curve as each learner sees it."""
    head = ["learner", *(f"{what}, {shot} points" for shot in config.shots for what in ("error", "nats a target"))]
    cells = lambda row, shot: (plus_minus(*row[str(shot)][part].values(), digits=4) for part in ("mse", "nll"))
    lines = [[name, *(cell for shot in config.shots for cell in cells(row, shot))] for name, row in rows.items()]
    return Shown(markdown(head, lines), {"curves.png": partial(draw, rows)})


def draw(rows: Rows, path: Path) -> Path:
    """A panel for each learner: mean, two standard deviations, and the points that were seen."""
    figure = figure_maker()(2.6 * len(rows), 2.8)
    x = np.linspace(-5.0, 5.0, 101)
    panels = figure.subplots(1, len(rows), sharey=True, squeeze=False)[0]
    for axes, (name, row), color in zip(panels, rows.items(), COLORS, strict=False):
        found = row["curves"]
        mean, spread = np.array(found["mean"]), 2 * np.sqrt(found["variance"])
        axes.fill_between(x, mean - spread, mean + spread, color=color, alpha=0.2, linewidth=0)
        axes.plot(x, mean, color=color)
        axes.plot(*found["seen"], "o", color="black", markersize=4)
        axes.set(title=name, xlabel="x", ylim=(-6, 6))
    return save(figure, path)


if __name__ == "__main__":
    program("bayes.sinusoid", Config, study)
