"""Bias and variance of the meta-gradient's estimators, against the exact one.

python -m scripts.rl.estimators      # seven minutes
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jmeta.errors import RunError
from jmeta.report.figures import figure_maker, save
from jmeta.rl.baselines import Baseline, no_baseline
from jmeta.rl.distributions import distribution_of
from jmeta.rl.envs import MDP, bernoulli_bandit, tabular_mdp
from jmeta.rl.inner import Inner, Sample, decisions, inner_loop
from jmeta.rl.policies.policy import Policy
from jmeta.rl.rollout import Trajectory
from jmeta.rl.surrogates import Surrogate, dice, lvc, reinforce
from jmeta.rl.types import Env, Task
from jmeta.runs.engine.devices import check_number
from jmeta.settings import setting
from scripts.rl.exact_returns import adapted, lvc_limit, mdp_return, reinforce_limit, softmax_policy, visits
from scripts.study import Rows, Shown, Study, markdown, plain_axes, program

SURROGATES: dict[str, Callable[[], Surrogate]] = {"lvc": lvc, "dice": dice, "reinforce": reinforce}
TITLES = {"lvc": "LVC", "dice": "DiCE", "reinforce": "REINFORCE"}
ColorS = {"lvc": "#1f4e79", "dice": "#2a7f4f", "reinforce": "#c0392b"}
PARTS = {"meta_gradient": "meta-gradient", "second_order": "second-order term"}
TOGETHER = 20_000
"""Trajectories that are sampled at a time."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Estimates of the gradient of J(theta + inner_lr dJ(theta)) from trajectories, many of them, beside the exact one.

    Two problems with a softmax policy: a Bernoulli bandit, and a random MDP.

    Attributes:
        run_dir: where table.md, results.json and estimators.png are kept.
        sizes: numbers of trajectories, before and after the inner step each.
        repetitions: estimates at each size, 2 or more.
        arms: of the bandit.
        pulls: of its episode.
        states: of the MDP.
        actions: of the MDP.
        horizon: of the MDP.
        inner_lr: rate of the inner step, on the return of an episode.
        baseline: subtract the exact value of a state from returns.
        seed: of the problems, the policies and the trajectories.
        draw: draw the picture, which needs matplotlib.
    """

    run_dir: str = setting("runs/rl-estimators", place=True)
    sizes: tuple[int, ...] = setting((10, 30, 100, 300, 1000), least=1, place=True)
    repetitions: int = setting(1000, least=2)
    arms: int = setting(5, least=2)
    pulls: int = setting(5, least=1)
    states: int = setting(3, least=1)
    actions: int = setting(2, least=2)
    horizon: int = setting(5, least=1)
    inner_lr: float = setting(0.5, above=0)
    baseline: bool = True
    seed: int = setting(0, least=0)
    draw: bool = setting(True, place=True)


class Problem(NamedTuple):
    """An environment, one of its tasks, the same as a tabular MDP, and the logits to start from."""

    title: str
    env: Env
    task: Task
    mdp: MDP
    logits: Array


class Exact(NamedTuple):
    """What is estimated, each of the shape of the logits; and what each estimator comes to with more trajectories."""

    meta_gradient: Array
    second_order: Array
    limits: dict[str, dict[str, Array]]


def problems(config: Config) -> dict[str, Problem]:
    """The bandit and the MDP."""
    keys = jax.random.split(jax.random.key(config.seed), 4)
    bandit = bernoulli_bandit(arms=config.arms, pulls=config.pulls)
    means = bandit.sample_task(keys[0])
    as_mdp = MDP(means[None], jnp.ones((1, config.arms, 1), jnp.float32))
    random_mdp = tabular_mdp(states=config.states, actions=config.actions, horizon=config.horizon)
    mdp = random_mdp.sample_task(keys[1])
    logits = [jax.random.normal(k, m.reward.shape, jnp.float32) for k, m in zip(keys[2:], (as_mdp, mdp), strict=True)]
    return {
        "bandit": Problem(f"bandit, {config.arms} arms, {config.pulls} pulls", bandit, means, as_mdp, logits[0]),
        "mdp": Problem(
            f"MDP, {config.states} states, {config.actions} actions, {config.horizon} steps",
            random_mdp, mdp, mdp, logits[1],
        ),
    }  # fmt: skip


def exact(problem: Problem, inner_lr: float, baseline: bool) -> Exact:
    """The meta-gradient `(I + inner_lr d2J) dJ(adapted)`, its second term, and both with the estimators' d2J."""
    reward, transition = problem.mdp
    args = reward, transition, problem.env.horizon
    value = mdp_return(*args)
    first = jax.grad(value)(adapted(value, problem.logits, inner_lr))

    def through(climbed: Callable[[Array], Array]) -> Array:
        return inner_lr * jax.jvp(jax.grad(climbed), (problem.logits,), (first,))[1]

    seconds = {
        "lvc": through(lvc_limit(*args, baseline=baseline)),
        "dice": through(value),
        "reinforce": through(reinforce_limit(*args, baseline=baseline)),
    }
    limits = {name: {"meta_gradient": first + s, "second_order": s} for name, s in seconds.items()}
    return Exact(jax.grad(lambda p: value(adapted(value, p, inner_lr)))(problem.logits), seconds["dice"], limits)


def exact_value(problem: Problem, logits: Array) -> Baseline:
    """The value of the state at a time, of a policy that is known."""
    met = visits(logits, problem.mdp.reward, problem.mdp.transition, problem.env.horizon)

    def value(trajectories: Trajectory, returns: Array) -> Array:
        if not problem.env.observation_size:
            return jnp.broadcast_to(met.value[None, :, 0], returns.shape)
        return jnp.sum(trajectories.inputs * met.value[None], axis=-1)

    return value


def estimates(problem: Problem, config: Config, n: int, key: Array) -> dict[str, dict[str, Array]]:
    """What each estimator makes of n trajectories before and n after the inner step; the same ones for all."""
    env, policy, start, horizon = problem.env, softmax_policy(problem.env), problem.logits, problem.env.horizon
    before_key, after_key = jax.random.split(key)

    def loop(logits: Array, surrogate: Surrogate) -> Inner:
        baseline = exact_value(problem, logits) if config.baseline else no_baseline()
        return inner_loop(env, policy, surrogate=surrogate, baseline=baseline, scale=lambda a, _: a, discount=1.0)

    before = loop(start, lvc()).sample(start, before_key, problem.task, n)

    def adapt(logits: Array, surrogate: Surrogate) -> Array:
        # Weights are for a mean over steps, and an episode's return is a sum.
        return loop(start, surrogate).ascend(logits, before, config.inner_lr * horizon)[0]

    there = lax.stop_gradient(adapt(start, lvc()))
    after = loop(there, lvc()).sample(there, after_key, problem.task, n)
    first = jax.grad(lambda logits: _outer(env, policy, logits, after))(there)

    def both(surrogate: Surrogate) -> dict[str, Array]:
        whole = jax.grad(lambda logits: _outer(env, policy, adapt(logits, surrogate), after))(start)
        return {"meta_gradient": whole, "second_order": whole - first}

    return {name: both(make()) for name, make in SURROGATES.items()}


def _outer(env: Env, policy: Policy, logits: Array, after: Sample) -> Array:
    decision = decisions(policy, logits, after)
    log_prob = jax.vmap(jax.vmap(distribution_of(env.action).log_prob))(decision.action, after.trajectory.action)
    return env.horizon * lvc()(log_prob, after.advantage, after.weight)


def repeated(problem: Problem, config: Config, n: int) -> dict[str, dict[str, np.ndarray]]:
    """Estimates `[repetitions, logits]` of each estimator, as one program."""
    keys = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), n), config.repetitions)
    together = max(TOGETHER // n, 1)
    made = jax.jit(lambda keys: lax.map(lambda key: estimates(problem, config, n, key), keys, batch_size=together))
    return jax.tree.map(lambda a: np.asarray(a, np.float64).reshape(len(a), -1), made(keys))


def summary(got: np.ndarray, truth: Array) -> dict[str, float]:
    """Of estimates `[repetitions, P]`, all relative to the norm of what is estimated.

    `error` is of the mean of all; `noise` is what it would be if there were no bias, the root of its mean square.
    """
    goal = np.asarray(truth, np.float64).ravel()
    size = max(float(np.linalg.norm(goal)), 1e-30)
    variance = float(np.sum(np.var(got, axis=0, ddof=1)))
    lengths = np.maximum(np.linalg.norm(got, axis=1), 1e-30)
    return {
        "error": float(np.linalg.norm(got.mean(axis=0) - goal)) / size,
        "noise": math.sqrt(variance / len(got)) / size,
        "variance": variance / size**2,
        "cosine": float(np.mean(got @ goal / (lengths * size))),
    }


def study(config: Config) -> Study:
    """A row for each problem and number of trajectories: figures of each estimator and part.

    Raises:
        RunError: for sizes that are none, or the same twice.
    """
    if not config.sizes or len(set(config.sizes)) < len(config.sizes):
        raise RunError(f"--sizes must be different numbers of trajectories, got {list(config.sizes)}: correct them.")
    check_number(config.repetitions, "--repetitions")
    found = problems(config)
    truths = {name: exact(problem, config.inner_lr, config.baseline) for name, problem in found.items()}

    def row(name: str, n: int, rows: Rows) -> dict[str, Any]:
        got, truth = repeated(found[name], config, n), truths[name]
        return {
            surrogate: {part: summary(got[surrogate][part], getattr(truth, part)) for part in PARTS}
            for surrogate in SURROGATES
        }

    rows = {_row_name(name, n): partial(row, name, n) for name in found for n in config.sizes}
    return Study(rows, partial(show, config, found, truths))


def _row_name(problem: str, n: int) -> str:
    return f"{problem}, {n} trajectories"


def show(config: Config, found: Mapping[str, Problem], truths: Mapping[str, Exact], rows: Rows) -> Shown:
    """A table for each problem, and the picture."""
    results = {}
    for name, truth in truths.items():
        estimators: dict[str, Any] = {}
        for surrogate, limits in truth.limits.items():
            estimators[surrogate] = {}
            for part, limit in limits.items():
                goal = getattr(truth, part)
                sizes = [{"n": n, **rows[_row_name(name, n)][surrogate][part]} for n in config.sizes]
                error = float(jnp.linalg.norm(limit - goal) / jnp.linalg.norm(goal))
                estimators[surrogate][part] = {"sizes": sizes, "limit": error}
        share = float(jnp.linalg.norm(truth.second_order) / jnp.linalg.norm(truth.meta_gradient))
        results[name] = {"title": found[name].title, "second_order_share": share, "estimators": estimators}
    figure = lambda path: save(drawn(figure_maker(), results), path)
    return Shown(report(config, results), {"estimators.png": figure}, results)


def report(config: Config, results: Mapping[str, Any]) -> str:
    """A row for each part, estimator and size."""
    parts = []
    for problem in results.values():
        share, lines = 100 * problem["second_order_share"], []
        for part, what in PARTS.items():
            for name, estimated in problem["estimators"].items():
                for row in estimated[part]["sizes"]:
                    figures = (f"{row[key]:.3g}" for key in ("error", "noise", "variance", "cosine"))
                    lines.append([what, TITLES[name], row["n"], *figures])
                lines.append([what, TITLES[name], "in the limit", f"{estimated[part]['limit']:.3g}", 0, 0, ""])
        head = ["what", "estimator", "trajectories", "error of the mean", "of which noise", "variance", "cosine"]
        title = f"{problem['title']}; the second-order term is {share:.0f} % of the meta-gradient\n"
        parts += [title, markdown(head, lines)]
    note = (
        f"{config.repetitions} estimates each, inner rate {config.inner_lr:g}; figures are relative to the norm of the"
    )
    return "\n".join([*parts, f"{note} exact vector.\n"])


def drawn(make_figure: Callable[..., Any], results: Mapping[str, Any]) -> Any:
    """A panel for each problem and part: the error of the mean against the number of trajectories."""
    figure = make_figure(9.6, 3.6 * len(results))
    axes = figure.subplots(len(results), len(PARTS), sharex=True, squeeze=False)
    for row, problem in zip(axes, results.values(), strict=True):
        for panel, (part, what) in zip(row, PARTS.items(), strict=True):
            for name, parts in problem["estimators"].items():
                sizes, limit = parts[part]["sizes"], parts[part]["limit"]
                n, color = [r["n"] for r in sizes], ColorS[name]
                panel.plot(n, [r["error"] for r in sizes], "o-", color=color, label=TITLES[name])
                panel.plot(n, [r["noise"] for r in sizes], ":", color=color, linewidth=1)
                if limit > 1e-5:
                    panel.axhline(limit, color=color, linestyle="--", linewidth=1)
            panel.set(xscale="log", yscale="log", title=f"{what}: {problem['title']}")
            panel.title.set_fontsize(9)
            plain_axes(panel)
    for panel in axes[-1]:
        panel.set_xlabel("trajectories")
    for panel in axes[:, 0]:
        panel.set_ylabel("relative error of the mean")
    lines, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(lines, names, loc="outside lower center", ncols=3, frameon=False)
    figure.suptitle("dotted: the noise of the mean; dashed: where more trajectories lead", fontsize=9)
    return figure


if __name__ == "__main__":
    program("rl.estimators", Config, study)
