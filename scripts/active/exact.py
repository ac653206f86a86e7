"""What asking is worth where the answer is known: a threshold, Bayesian linear regression and a Gaussian process,
beside the best design, greedy rules, random labels, and a rule that jmeta has learned."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jmeta.active import acquisition, acquisition_loss, ask, choices, exact, fit_acquisition, rules
from jmeta.settings import setting
from scripts.study import Shown, Study, markdown, program

PROBLEMS = {
    "line": (exact.line_kernel, 0.25, (21, -1.0, 1.0)),
    "curve": (exact.rbf(0.2), 0.01, (41, 0.0, 1.0)),
}
MOST = {"line": 4, "curve": 4}


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        run_dir: where results are kept.
        steps: of training, of each learned rule.
        rollouts: of the policy gradient.
    """

    run_dir: str = "runs/active-exact"
    steps: int = setting(300, least=1)
    rollouts: int = setting(32, least=2)


def designs(config: Config, name: str, labels: int, rows: Mapping[str, Any]) -> dict[str, float]:
    """Mean variance of a problem after so many labels, by every way of choosing them."""
    kernel, noise, (points, low, high) = PROBLEMS[name]
    known = exact.designs(kernel, np.linspace(low, high, points), noise, labels, repeated=name == "line")
    episode = exact.design_pool(points, low, high, copies=2 if name == "line" else 1)
    learner, key = exact.gaussian(kernel, noise), jax.random.key(0)

    def reached(rule: Callable[..., Any]) -> float:
        run = ask(learner, rule, labels=labels, measure=exact.mean_variance)
        return float(jax.jit(run)({}, episode, key).curve[-1])

    with jax.enable_x64(True):  # whose digits tell variances apart that float32 takes for equal
        episode64 = jax.tree.map(lambda a: jnp.asarray(np.asarray(a), jnp.float64), episode)
        run = partial(ask, learner, labels=labels, measure=exact.mean_variance)
        fixed = {
            title: float(run(rule)({}, episode64, key).curve[-1])
            for title, rule in (("greedy", exact.reduction(noise)), ("max variance", exact.max_variance))
        }
    made = acquisition(exact.design_statistics(noise), exact.DESIGN_STATISTICS)
    loss = acquisition_loss(
        learner, made.rule, choices.policy_gradient(config.rollouts), labels=labels, measure=exact.mean_variance,
        weights=jnp.zeros(labels).at[-1].set(labels),
    )  # fmt: skip
    adam = optax.adam(optax.cosine_decay_schedule(1e-2, config.steps))
    own, _ = fit_acquisition(
        loss, made.init(jax.random.key(0)), lambda key: episode, adam, jax.random.key(1), steps=config.steps, episodes=1
    )
    return {"optimum": known.least, "learned": reached(made.rule(own)), **fixed, "random": known.mean}


def threshold(config: Config, labels: int, rows: Mapping[str, Any]) -> dict[str, float]:
    """Mean error of a threshold after so many labels."""
    made = acquisition(exact.threshold_statistics, 4)
    loss = acquisition_loss(
        exact.threshold(), made.rule, choices.policy_gradient(8), labels=labels, measure=exact.distance,
        weights=2.0 ** jnp.arange(1, labels + 1),
    )  # fmt: skip
    sample = lambda key: exact.threshold_pool(jax.random.uniform(key))
    adam = optax.adam(optax.cosine_decay_schedule(1e-2, config.steps))
    own, _ = fit_acquisition(
        loss, made.init(jax.random.key(0)), sample, adam, jax.random.key(1), steps=config.steps, episodes=16
    )
    theta = (jnp.arange(4096) + 0.5) / 4096
    keys = jax.random.split(jax.random.key(2), len(theta))

    def error(rule: Callable[..., Any]) -> float:
        run = ask(exact.threshold(), rule, labels=labels, measure=exact.distance)
        one = lambda theta, key: run({}, exact.threshold_pool(theta), key).curve[-1]
        return float(jnp.mean(jax.jit(jax.vmap(one))(theta, keys)))

    return {
        "optimum": exact.bisection_error(labels), "learned": error(made.rule(own)), "greedy": error(exact.bisection),
        "random": exact.random_error(labels), "random, measured": error(rules.random),
    }  # fmt: skip


def study(config: Config) -> Study:
    """Rows of each problem and number of labels."""
    made: dict[str, Any] = {f"threshold, {k}": partial(threshold, config, k) for k in (1, 3, 5)}
    for name, most in MOST.items():
        made |= {f"{name}, {k}": partial(designs, config, name, k) for k in range(1, most + 1)}

    def show(rows: Mapping[str, Any]) -> Shown:
        columns = ("optimum", "learned", "greedy", "max variance", "random")
        lines = [[name, *(f"{row[c]:.6f}" if c in row else "" for c in columns)] for name, row in rows.items()]
        return Shown(markdown(["problem, labels", *columns], lines))

    return Study(made, show)


if __name__ == "__main__":
    program("active.exact", Config, study)
