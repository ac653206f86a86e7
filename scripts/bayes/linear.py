"""A ladder of learners on linear tasks with a normal prior, from the best single rate to the exact posterior: what each
can reach at best, in closed form, and what jmeta's learners reach after training.

    python -m scripts.bayes.linear
"""

import dataclasses
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jax import Array
from scipy import optimize

import jmeta
from jmeta import evaluation, nets, training
from jmeta.bayes import alpaca, exact
from jmeta.distributions import Normal
from jmeta.losses import squared_error
from jmeta.report.figures import BAD, FAINT, GOOD, INK, figure_maker, save
from jmeta.settings import setting
from jmeta.tasks import linear_regression_sampler
from jmeta.types import Batch, Episode, Learner
from scripts.study import Rows, Shown, Study, finite, interval, markdown, plus_minus, program

PRIOR = np.geomspace(1.0, 0.01, 10)
NOISE = 0.5
DESIGNS = 20_000


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        run_dir: where results are kept.
        examples: of each task, for a row each.
        steps: of training, each on 256 tasks.
        tasks: of the test.
        draw: also draw errors against the number of examples.
    """

    run_dir: str = "runs/linear-tasks"
    examples: tuple[int, ...] = setting((2, 5, 10, 20), least=1, place=True)
    steps: int = setting(3000, least=1)
    tasks: int = setting(20_000, least=2)
    draw: bool = setting(True, place=True)


def bounds(n: int) -> dict[str, float]:
    """Errors `E|w_hat - w|^2` at the best settings of each rule; those with a matrix to invert over many designs."""
    tasks = exact.LinearTasks(PRIOR, NOISE, n)
    x = exact.designs(tasks, DESIGNS)

    def least(error: Any, most: float) -> float:
        found: Any = optimize.minimize_scalar(error, bounds=(1e-3, most), method="bounded")
        return float(found.fun)

    return {
        "prior mean": float(PRIOR.sum()),
        "MAML, 1 step": exact.one_step_error(tasks),
        "MAML, 5 steps": least(lambda rate: exact.linear_error(tasks, x, exact.descent_rule(x, rate, 5)), 0.9),
        "Meta-SGD, 1 step": exact.diagonal_error(tasks),
        "ridge to the mean": least(lambda l2: exact.linear_error(tasks, x, exact.ridge_rule(x, l2)), 50.0),
        "Bayes": exact.linear_error(tasks, x, exact.posterior_rule(tasks, x)),
    }


def learners(n: int) -> dict[str, Learner]:
    """Learners of jmeta, by the bound that each is trained towards."""
    model = nn.Dense(1, use_bias=False, kernel_init=nn.initializers.zeros)
    rate = exact.one_step_rate(exact.LinearTasks(PRIOR, NOISE, n)) / 2  # of the mean squared error, without a half
    return {
        "MAML, 1 step": jmeta.maml(model, inner_optimizer=optax.sgd(rate), inner_steps=1, loss_fn=squared_error),
        "Meta-SGD, 1 step": jmeta.meta_sgd(model, inner_lr=0.1, inner_steps=1, loss_fn=squared_error),
        "Bayes": alpaca(nets.MLPEncoder(()), noise=NOISE),
    }


def error_of(learner: Learner, params: Any, episode: Episode) -> Array:
    """Squared error of the queries' mean, which are without noise."""
    found = learner.predict(learner.adapt(params, episode.support), episode.query.x)
    mean = found.mean if isinstance(found, Normal) else found
    return jnp.mean(jnp.square(mean - episode.query.y))


def measured(config: Config, n: int, rows: Rows) -> dict[str, Any]:
    """The bounds, and the errors of trained learners on the same new tasks."""
    sampler = partial(linear_regression_sampler, prior=tuple(PRIOR.tolist()), shot=n)
    clean = sampler(noise=NOISE, query_shot=20)

    def noisy(key: Array) -> Episode:  # queries as they are seen, which a likelihood needs
        one, two = jax.random.split(key)
        support, query = clean(one)
        return Episode(support, Batch(query.x, query.y + NOISE * jax.random.normal(two, query.y.shape)))

    found: dict[str, Any] = {}
    for name, learner in learners(n).items():
        optimizer = optax.adam(optax.cosine_decay_schedule(1e-2, config.steps))
        state = training.init_state(learner, optimizer, jax.random.key(0), jnp.zeros((n, len(PRIOR))))
        run = training.make_run(learner, optimizer, noisy, meta_batch_size=256)
        state, metrics = run(state, config.steps)
        finite(np.asarray(metrics.loss), "the losses")
        judge = partial(error_of, learner, state.params)
        found[name] = interval(
            evaluation.of_each(judge, clean, jax.random.key(1), episodes=config.tasks, chunk_size=100)
        )
    return {"bounds": bounds(n), "learned": found}


def study(config: Config) -> Study:
    """A row for each number of examples."""
    return Study({f"{n} examples": partial(measured, config, n) for n in config.examples}, show)


def show(rows: Rows) -> Shown:
    """Bounds and what was learned beside them, and errors against examples as a picture."""
    names = list(next(iter(rows.values()))["bounds"])
    lines = []
    for title, row in rows.items():
        lines.append([title, *(f"{row['bounds'][name]:.3f}" for name in names)])
        learned: Mapping[str, Any] = row["learned"]
        cells = (plus_minus(*learned[name].values(), digits=3) if name in learned else "" for name in names)
        lines.append(["learned", *cells])
    return Shown(markdown(["best possible", *names], lines), {"linear.png": partial(draw, rows)})


COLORS: Mapping[str, str] = {
    "prior mean": FAINT, "MAML, 1 step": BAD, "MAML, 5 steps": "#e08a7d", "Meta-SGD, 1 step": GOOD,
    "ridge to the mean": "#9467bd", "Bayes": INK,
}  # fmt: skip


def draw(rows: Rows, path: Path) -> Path:
    """Lines are bounds, points are what was learned."""
    figure = figure_maker()(7.5, 4.0)
    axes = figure.subplots()
    counts = [int(title.split()[0]) for title in rows]
    for name, color in COLORS.items():
        axes.plot(counts, [row["bounds"][name] for row in rows.values()], color=color, label=name)
        if name in next(iter(rows.values()))["learned"]:
            axes.plot(counts, [row["learned"][name]["mean"] for row in rows.values()], "o", color=color)
    axes.set(xlabel="examples of a task", ylabel="error of the weights", yscale="log", xticks=counts)
    figure.legend(title="lines: best possible\npoints: learned", loc="outside right center", fontsize=8)
    return save(figure, path)


if __name__ == "__main__":
    program("bayes.linear", Config, study)
