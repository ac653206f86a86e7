"""Curves of Gaussian processes: neural processes beside the process that the curves are drawn from.

    python -m scripts.generative.processes

The curves are those of the papers on bootstrapping and transformer neural processes: RBF kernels of lengths from 0.1 to
0.6 and scales from 0.1 to 1, noise 0.02, 3 to 46 points seen. The oracle is told the kernel of each curve, which no
model is, so that it is above what can be learned. All are judged on the same curves, in nats a target: each target by
itself; and all targets of a curve jointly, divided by their number, where a model has such a density.
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
from jmeta.distributions import Normal, nats
from jmeta.errors import RunError
from jmeta.generative import (
    attentive_process,
    autoregressive,
    conditional_process,
    convolutional_process,
    exact,
    joint_process,
    latent_process,
    tnp,
    transformer_parts,
)
from jmeta.generative.algorithms import likelihood
from jmeta.report.figures import COLORS, figure_maker, save
from jmeta.settings import setting
from jmeta.tasks import Curve, gp_curves, gp_curves_sampler
from jmeta.types import Batch, Episode, Learner
from scripts.pieces import trained
from scripts.study import Rows, Shown, Study, interval, markdown, plus_minus, program

ORACLE, FLOORED = "oracle", "oracle, spread 0.1 or more"
NOISE = 0.02
SEEN = 8  # points of the curve that is drawn
X = nets.MLPEncoder(())
GRID = {"low": -3.0, "high": 3.0, "points_per_unit": 32}
RATE, CURVES = 1e-3, 16
TRAINING = f"Adam at {RATE}, {CURVES} curves"
Joint = Callable[[Any, Episode], Array]


def apart(learner: Learner) -> tuple[Learner, Joint | None]:
    """A learner that is judged by each target alone."""
    return learner, None


def of_loss(learner: Learner) -> tuple[Learner, Joint]:
    """A learner whose reported loss is that of a joint density."""
    return learner, lambda params, episode: -learner.loss(params, episode)[1].loss


def one_by_one(learner: Learner) -> tuple[Learner, Joint]:
    """A learner whose joint density is that of its predictions of one target after another."""
    density = autoregressive(learner)
    return (
        learner,
        lambda params, episode: jnp.sum(density(params, episode)) / jnp.sum(jnp.asarray(episode.query.weight)),
    )


MODELS: dict[str, Callable[[], tuple[Learner, Joint | None]]] = {
    "cnp": lambda: one_by_one(conditional_process(X, nets.MLP((128, 128, 128), 128), nets.MLP((128, 128), 2))),
    "np": lambda: of_loss(
        latent_process(
            X,
            nets.MLP((128, 128), 128),
            nets.MLP((128,), 128),
            nets.MLP((128, 128), 2),
            latent=64,
            objective=likelihood,
        )
    ),
    "anp": lambda: one_by_one(
        attentive_process(X, nets.MLP((128, 128), 128), nets.CrossShares(128, 8), nets.MLP((128, 128), 2))
    ),
    "convcnp": lambda: one_by_one(convolutional_process(nets.DilatedConvNet(32), **GRID)),
    "tnp": lambda: one_by_one(tnp(X, nets.ProcessTransformer(64, 4, 4))),
    "tnp-deep": lambda: one_by_one(tnp(X, nets.ProcessTransformer(64, 4, 6))),
    "tnp-joint": lambda: of_loss(
        joint_process(transformer_parts(X, nets.ProcessTransformer(64, 4, 4, outputs=2 + 32)))
    ),
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        run_dir: where results are kept.
        models: of cnp, np (latent variable), anp (attention, no latent variable), convcnp, tnp, tnp-deep (as deep as
            in its paper), and tnp-joint (a covariance of rank 32).
        steps: of training, each on 16 curves.
        tasks: curves of the test.
        draw: also draw one curve as each model sees it, with two standard deviations.
    """

    run_dir: str = "runs/generative-processes"
    models: tuple[str, ...] = setting(tuple(name for name in MODELS if name != "tnp-deep"), place=True)
    steps: int = setting(10_000, least=1)
    tasks: int = setting(1000, least=2)
    draw: bool = setting(True, place=True)


def oracle(config: Config) -> exact.Oracle:
    """Of the curves of the test."""
    own = evaluation.of_each(lambda curve: curve, gp_curves(), jax.random.key(1), episodes=config.tasks, chunk_size=100)
    plain = lambda batch: (batch.x[..., 0], batch.y[..., 0], batch.weight)
    known = {"length": own.length, "scale": own.scale, "noise": NOISE}
    return exact.rbf_oracle(plain(own.episode.support), plain(own.episode.query), **known)


def shown_curve() -> Curve:
    """One curve of known points; queries are places to draw it at."""
    found = gp_curves(seen=(SEEN, SEEN), points=SEEN + 3, length=(0.5, 0.5), scale=(1.0, 1.0))(jax.random.key(5))
    x = jnp.linspace(-2.0, 2.0, 161)[:, None]
    return found._replace(episode=Episode(found.episode.support, Batch(x, jnp.zeros_like(x))))


def drawn(mean: Any, variance: Any) -> dict[str, Any]:
    """What a picture needs of a prediction of `shown_curve`."""
    plain = lambda a: np.asarray(a, np.float64).ravel().tolist()
    support = shown_curve().episode.support
    return {"seen": [plain(support.x), plain(support.y)], "mean": plain(mean), "variance": plain(variance)}


def best(config: Config, floor: float, rows: Rows) -> dict[str, Any]:
    """Of the process itself; with a floor, of each target by itself alone, as it has no joint density."""
    found, (episode, length, scale) = oracle(config), shown_curve()
    x, y, asked = (np.asarray(a, np.float64)[:, 0] for a in (*episode.support[:2], episode.query.x))
    mean, covariance = exact.rbf_posterior(x, y, asked, length=float(length), scale=float(scale), noise=NOISE)
    variance = np.maximum(np.diag(covariance), floor**2)
    result = {"nats": interval(found.floored if floor else found.diagonal), "curve": drawn(mean, variance)}
    return result if floor else result | {"joint": interval(found.joint)}


def measured(config: Config, name: str, rows: Rows) -> dict[str, Any]:
    """Train a model, then measure it on the curves of the test."""
    learner, joint = MODELS[name]()
    rate = optax.schedules.warmup_cosine_decay_schedule(0.0, RATE, config.steps // 20, config.steps)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))
    state = training.init_state(learner, optimizer, jax.random.key(0), jnp.zeros((3, 1)))
    run = training.make_run(learner, optimizer, gp_curves_sampler(), meta_batch_size=CURVES)
    state, seconds = trained(run, state, config.steps, Path(config.run_dir) / f"{name}.npz", of=TRAINING)

    def judge(episode: Episode) -> dict[str, Array]:
        support, query = episode
        seen: Any = learner.predict(learner.adapt(state.params, support), query.x, query.weight)
        alone = nats(Normal(seen.mean, seen.variance), query)[0]
        return {"nats": -alone} | ({} if joint is None else {"joint": joint(state.params, episode)})

    found = evaluation.of_each(judge, gp_curves_sampler(), jax.random.key(1), episodes=config.tasks, chunk_size=50)
    episode = shown_curve().episode
    seen: Any = learner.predict(learner.adapt(state.params, episode.support), episode.query.x)
    result = {part: interval(values) for part, values in found.items()}
    return result | {"minutes": seconds / 60, "curve": drawn(seen.mean, seen.variance)}


def study(config: Config) -> Study:
    """The oracle, with and without a floor, and a row of each model; RunError for a name that there is not."""
    for name in config.models:
        if name not in MODELS:
            raise RunError(f"there is no model {name!r} here: choose of {', '.join(MODELS)}.")
    rows: dict[str, Any] = {ORACLE: partial(best, config, 0.0), FLOORED: partial(best, config, 0.1)}
    return Study(rows | {name: partial(measured, config, name) for name in config.models}, show)


def show(rows: Rows) -> Shown:
    """Log-likelihoods, and minutes of training."""
    cell = lambda row, part: plus_minus(*row[part].values(), digits=3) if part in row else ""
    minutes = lambda row: f"{row['minutes']:.1f}" if "minutes" in row else ""
    head = ["process", "nats a target, each by itself", "nats a target, jointly", "minutes"]
    lines = [[name, cell(row, "nats"), cell(row, "joint"), minutes(row)] for name, row in rows.items()]
    return Shown(markdown(head, lines), {"curves.png": partial(draw, rows)})


def draw(rows: Rows, path: Path) -> Path:
    """A panel for each: mean, two standard deviations, and the points that were seen."""
    wide = -(-len(rows) // 2)
    figure = figure_maker()(2.6 * wide, 5.0)
    x = np.linspace(-2.0, 2.0, 161)
    panels = figure.subplots(2, wide, sharex=True, sharey=True, squeeze=False).ravel()
    for axes in panels[len(rows) :]:
        axes.set_axis_off()
    for number, (axes, (name, row)) in enumerate(zip(panels, rows.items(), strict=False)):
        found, color = row["curve"], COLORS[number % len(COLORS)]
        mean, spread = np.array(found["mean"]), 2 * np.sqrt(found["variance"])
        axes.fill_between(x, mean - spread, mean + spread, color=color, alpha=0.2, linewidth=0)
        axes.plot(x, mean, color=color)
        axes.plot(*found["seen"], "o", color="black", markersize=4)
        axes.set(title=name, ylim=(-3, 3))
    return save(figure, path)


if __name__ == "__main__":
    program("generative.processes", Config, study)
