"""MAML's sinusoid regression (Finn et al. 2017, table 2) for every learner, several seeds.

    python scripts/sinusoid.py

Trained with K = 10, one inner step, rate 0.01, 25 tasks, Adam 1e-3, 70,000 steps; tested on 5 points of a new curve
after 1, 5 and 10 steps. Reptile, which cannot learn from one step, takes five and the paper's annealed outer rate.
"""

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from rich.console import Console
from rich.table import Table

import jmeta
from jmeta.evaluation import mean_squared_error, measure_steps
from jmeta.losses import squared_error
from jmeta.runs.engine.devices import use_one_thread

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
        output: a JSON file to write; none if left out.
    """

    algorithms: tuple[str, ...] = ("maml", "fomaml", "reptile", "meta-sgd", "anil")
    outer_steps: int = 70_000
    seeds: int = 3
    tasks: int = 2000
    output: str | None = None


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


def main(config: Config) -> dict[str, Any]:
    """Train, test, print a table."""
    console, results, known = Console(), {}, settings(config.outer_steps)
    unknown = set(config.algorithms) - set(known)
    if unknown:
        raise SystemExit(f"unknown algorithm {', '.join(sorted(unknown))}: choose from {', '.join(known)}")
    table = Table(
        "learner", *(f"{k} step{'s' * (k > 1)}" for k in REPORTED), "medians", "seconds", title="5-shot sinusoid, MSE"
    )
    for name in config.algorithms:
        began = time.perf_counter()
        with console.status(f"{name}: {config.seeds} seeds of {config.outer_steps} outer steps"):
            params = train(known[name], config.outer_steps, config.seeds)
            seconds = time.perf_counter() - began
            errors = test(known[name], params, config.tasks)
        results[name] = result = summary(errors, seconds)
        cells = (f"{m:.2f} +- {c:.2f}" for m, c in zip(result["mean"], result["ci95"], strict=True))
        table.add_row(name, *cells, " / ".join(f"{m:.2f}" for m in result["median"]), f"{seconds:.0f}")
    for name, paper in PAPER.items():
        table.add_row(f"{name} (paper)", *(f"{p:.2f}" for p in paper), "", "")
    console.print(table)
    if config.output:
        Path(config.output).write_text(json.dumps({"config": dataclasses.asdict(config), "results": results}, indent=1))
    return results


def summary(errors: np.ndarray, seconds: float) -> dict[str, Any]:
    """Means, 95 % intervals and medians over all tasks of all seeds `[seeds, reported, tasks]`, after each step."""
    flat = np.moveaxis(errors, 1, 0).reshape(len(REPORTED), -1).astype(np.float64)
    return {
        "steps": list(REPORTED),
        "mean": flat.mean(1).tolist(),
        "ci95": (1.96 * flat.std(1, ddof=1) / np.sqrt(flat.shape[1])).tolist(),
        "median": np.median(flat, 1).tolist(),
        "mean_of_seed": errors.mean(2, dtype=np.float64).tolist(),
        "diverged": (~(flat < 100)).mean(1).tolist(),
        "seconds": seconds,
    }


if __name__ == "__main__":
    use_one_thread()
    main(tyro.cli(Config))
