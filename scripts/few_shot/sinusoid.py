"""MAML's sinusoid regression (Finn et al. 2017, table 2) for every learner, several seeds.

    python -m scripts.few_shot.sinusoid

Trained with K = 10, one inner step, rate 0.01, 25 tasks, Adam 1e-3, 70,000 steps; tested on 5 points of a new curve
after 1, 5 and 10 steps. Reptile, which cannot learn from one step, takes five and the paper's annealed outer rate.
"""

import dataclasses
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jmeta
from jmeta.errors import unknown
from jmeta.evaluation import mean_squared_error, measure_steps, summarize
from jmeta.losses import squared_error
from jmeta.report.tables import plus_minus
from jmeta.runs.engine.devices import check_number, use_one_thread
from jmeta.settings import setting
from scripts.study import Rows, Shown, Study, markdown, program

PAPER = {"maml": (0.67, 0.38, 0.35)}
REPORTED = (1, 5, 10)


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        algorithms: which learners.
        outer_steps: outer steps of each.
        seeds: independent runs of each.
        tasks: test tasks of each seed.
        run_dir: where results.json and table.md are kept.
    """

    algorithms: tuple[str, ...] = setting(("maml", "fomaml", "reptile", "meta-sgd", "anil"), place=True)
    outer_steps: int = setting(70_000, least=1)
    seeds: int = setting(3, least=1)
    tasks: int = setting(2000, least=2)
    run_dir: str = setting("runs/sinusoid", place=True)


class Setting(NamedTuple):
    """A learner for any number of inner steps, and how it is trained."""

    learner_of: Callable[[Any], jmeta.Learner]
    inner_steps: int
    optimizer: optax.GradientTransformation


def settings(outer_steps: int) -> dict[str, Setting]:
    """Every learner by name."""
    net, adam = jmeta.nets.MLP(features=(40, 40), out=1), optax.adam(1e-3)
    common = {"inner_optimizer": optax.sgd(0.01), "loss_fn": squared_error}
    encoder, head = jmeta.nets.MLPEncoder(features=(40, 40)), jmeta.nets.Linear(1)
    annealed = optax.sgd(optax.linear_schedule(1.0, 0.0, outer_steps))
    return {
        "maml": Setting(lambda k: jmeta.maml(net, inner_steps=k, **common), 1, adam),
        "fomaml": Setting(lambda k: jmeta.maml(net, inner_steps=k, first_order=True, **common), 1, adam),
        "reptile": Setting(lambda k: jmeta.reptile(net, inner_steps=k, **common), 5, annealed),
        "meta-sgd": Setting(
            lambda k: jmeta.meta_sgd(net, inner_lr=0.01, inner_steps=k, loss_fn=squared_error), 1, adam
        ),
        "anil": Setting(lambda k: jmeta.anil(encoder, head, inner_steps=k, **common), 1, adam),
    }


def train(setting: Setting, outer_steps: int, seeds: int) -> list[Any]:
    """Parameters of each seed; one after another, as small matrices of several seeds side by side are slow on a CPU."""
    learner = setting.learner_of(setting.inner_steps)
    sample = jmeta.sinusoid_sampler(shot=10, query_shot=10)
    run = jmeta.make_run(learner, setting.optimizer, sample, meta_batch_size=25)

    def from_seed(seed: int) -> Any:
        state = jmeta.init_state(learner, setting.optimizer, jax.random.key(seed), jnp.zeros((10, 1)))
        return run(state, outer_steps)[0].params

    return jax.block_until_ready([from_seed(seed) for seed in range(seeds)])


def test(setting: Setting, of_seed: list[Any], tasks: int) -> np.ndarray:
    """Errors `[seeds, reported steps, tasks]`, on the same tasks for every learner and seed."""
    sample = jmeta.sinusoid_sampler(shot=5, query_shot=100)

    def errors(params: Any) -> np.ndarray:
        return measure_steps(
            setting.learner_of,
            params,
            sample,
            jax.random.key(2017),
            steps=REPORTED,
            episodes=tasks,
            metric=mean_squared_error,
        )

    return np.stack([errors(params) for params in of_seed])


def study(config: Config) -> Study:
    """A row for each learner, over all tasks of all seeds.

    Raises:
        RunError: for a learner that is not known.
    """
    check_number(config.tasks, "--tasks")
    known = settings(config.outer_steps)
    for name in config.algorithms:
        if name not in known:
            raise unknown("algorithm", name, known)

    def row(name: str, rows: Rows) -> dict[str, Any]:
        began = time.perf_counter()
        params = train(known[name], config.outer_steps, config.seeds)
        seconds = time.perf_counter() - began
        return summary(test(known[name], params, config.tasks), seconds)

    return Study({name: partial(row, name) for name in config.algorithms}, show)


def show(rows: Rows) -> Shown:
    """Errors after each number of steps, beside the paper's."""
    lines = []
    for name, row in rows.items():
        cells = (plus_minus(mean, ci95) for mean, ci95 in zip(row["mean"], row["ci95"], strict=True))
        lines.append([name, *cells, " / ".join(f"{m:.2f}" for m in row["median"]), f"{row['seconds']:.0f}"])
    lines += [[f"{name} (paper)", *(f"{p:.2f}" for p in paper), "", ""] for name, paper in PAPER.items()]
    head = ["5-shot sinusoid, MSE", *(f"{k} step{'s' * (k > 1)}" for k in REPORTED), "medians", "seconds"]
    return Shown(markdown(head, lines))


def summary(errors: np.ndarray, seconds: float) -> dict[str, Any]:
    """Means, 95 % intervals and medians over all tasks of all seeds `[seeds, reported, tasks]`, after each step."""
    flat = np.moveaxis(errors, 1, 0).reshape(len(REPORTED), -1).astype(np.float64)
    found = [summarize(values) for values in flat]
    return {
        "steps": list(REPORTED),
        "mean": [each.mean for each in found],
        "ci95": [each.ci95 for each in found],
        "median": np.median(flat, 1).tolist(),
        "mean_of_seed": errors.mean(2, dtype=np.float64).tolist(),
        "diverged": (~(flat < 100)).mean(1).tolist(),
        "seconds": seconds,
    }


if __name__ == "__main__":
    use_one_thread()
    program("few_shot.sinusoid", Config, study)
