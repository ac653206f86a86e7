"""`jmeta rl estimators`: bias and variance of the meta-gradient's estimators, against the exact one."""

import dataclasses
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from rich.console import Console
from rich.progress import track

from jmeta.errors import RunError
from jmeta.report.figures import figure_maker, save
from jmeta.rl.baselines import Baseline, no_baseline
from jmeta.rl.distributions import distribution_of
from jmeta.rl.envs import MDP, bernoulli_bandit, tabular_mdp
from jmeta.rl.exact_returns import adapted, lvc_limit, mdp_return, reinforce_limit, softmax_policy, visits
from jmeta.rl.inner import Inner, Sample, decisions, inner_loop
from jmeta.rl.policies.policy import Policy
from jmeta.rl.rollout import Trajectory
from jmeta.rl.surrogates import Surrogate, dice, lvc, reinforce
from jmeta.rl.types import Env, Task
from jmeta.runs.engine import folder

PICTURE, TABLE, RESULTS = "estimators.png", "table.md", "results.json"
SURROGATES: dict[str, Callable[[], Surrogate]] = {"lvc": lvc, "dice": dice, "reinforce": reinforce}
TITLES = {"lvc": "LVC", "dice": "DiCE", "reinforce": "REINFORCE"}
COLOURS = {"lvc": "#1f4e79", "dice": "#2a7f4f", "reinforce": "#c0392b"}
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
        picture: whether to draw.
    """

    run_dir: str = "runs/rl-estimators"
    sizes: tuple[int, ...] = (10, 30, 100, 300, 1000)
    repetitions: int = 1000
    arms: int = 5
    pulls: int = 5
    states: int = 3
    actions: int = 2
    horizon: int = 5
    inner_lr: float = 0.5
    baseline: bool = True
    seed: int = 0
    picture: bool = True


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


def main(config: Config) -> dict[str, Any]:
    """Estimate, print the table, and write it, the numbers and the picture.

    Returns:
        What results.json has: the settings, and for each problem, estimator and part its figures at each size and in
        the limit.

    Raises:
        RunError: if a setting makes no sense, or matplotlib isn't there.
        OSError: if a file can't be written.
    """
    check(config)
    make_figure = figure_maker() if config.picture else None
    place = Path(config.run_dir)
    place.mkdir(parents=True, exist_ok=True)
    began, found = time.perf_counter(), problems(config)
    truths = {name: exact(problem, config.inner_lr, config.baseline) for name, problem in found.items()}
    rows: dict[str, Any] = {name: {} for name in found}
    for name, n in track(
        [(name, n) for name in found for n in config.sizes], description="estimates", console=Console(stderr=True)
    ):
        got = repeated(found[name], config, n)
        for surrogate in SURROGATES:
            for part in PARTS:
                cell = rows[name].setdefault(surrogate, {}).setdefault(part, {"sizes": []})
                cell["sizes"].append({"n": n, **summary(got[surrogate][part], getattr(truths[name], part))})
    for name, truth in truths.items():
        for surrogate, parts in truth.limits.items():
            for part, limit in parts.items():
                goal = getattr(truth, part)
                error = jnp.linalg.norm(limit - goal) / jnp.linalg.norm(goal)
                rows[name][surrogate][part]["limit"] = float(error)
    result = {
        "config": dataclasses.asdict(config),
        "seconds": time.perf_counter() - began,
        "problems": {
            name: {
                "title": found[name].title,
                "second_order_share": float(
                    jnp.linalg.norm(truths[name].second_order) / jnp.linalg.norm(truths[name].meta_gradient)
                ),
                "estimators": rows[name],
            }
            for name in found
        },
    }
    table = markdown(result)
    picture = drawn(make_figure, result) if make_figure is not None else None
    folder.write_text(place / TABLE, table)
    folder.write_text(place / RESULTS, json.dumps(result, indent=1) + "\n")
    if picture is not None:
        save(picture, place / PICTURE)
    print(table, end="")
    return result


def check(config: Config) -> None:
    """Refuse settings that make no sense.

    Raises:
        RunError: naming one.
    """
    least = {"repetitions": 2, "arms": 2, "pulls": 1, "states": 1, "actions": 2, "horizon": 1}
    for name, number in least.items():
        if getattr(config, name) < number:
            raise RunError(f"--{name} must be {number} or more, got {getattr(config, name)}.")
    if not config.sizes or min(config.sizes) < 1 or len(set(config.sizes)) < len(config.sizes):
        raise RunError(f"--sizes must be different numbers of trajectories, 1 or more, got {list(config.sizes)}.")
    if not (math.isfinite(config.inner_lr) and config.inner_lr > 0):
        raise RunError(f"--inner-lr must be a finite number above 0, got {config.inner_lr}.")


def markdown(result: dict[str, Any]) -> str:
    """The table: a row for each problem, part, estimator and size."""
    lines = []
    for problem in result["problems"].values():
        share = 100 * problem["second_order_share"]
        lines += [f"{problem['title']}; the second-order term is {share:.0f} % of the meta-gradient", ""]
        lines += ["| what | estimator | trajectories | error of the mean | of which noise | variance | cosine |"]
        lines += ["|---" * 7 + "|"]
        for part, what in PARTS.items():
            for name, parts in problem["estimators"].items():
                for row in parts[part]["sizes"]:
                    figures = (f"{row[key]:.3g}" for key in ("error", "noise", "variance", "cosine"))
                    lines.append(f"| {what} | {TITLES[name]} | {row['n']} | {' | '.join(figures)} |")
                lines.append(f"| {what} | {TITLES[name]} | in the limit | {parts[part]['limit']:.3g} | 0 | 0 | |")
        lines.append("")
    config = result["config"]
    lines += [
        f"{config['repetitions']} estimates each, inner rate {config['inner_lr']:g}; figures are relative to the norm "
        f"of the exact vector; {result['seconds']:.0f} seconds with compilation."
    ]
    return "\n".join(lines) + "\n"


def drawn(make_figure: Callable[..., Any], result: dict[str, Any]) -> Any:
    """A panel for each problem and part: the error of the mean against the number of trajectories."""
    figure = make_figure(9.6, 3.6 * len(result["problems"]))
    axes = figure.subplots(len(result["problems"]), len(PARTS), sharex=True, squeeze=False)
    for row, problem in zip(axes, result["problems"].values(), strict=True):
        for panel, (part, what) in zip(row, PARTS.items(), strict=True):
            for name, parts in problem["estimators"].items():
                sizes, limit = parts[part]["sizes"], parts[part]["limit"]
                n, colour = [r["n"] for r in sizes], COLOURS[name]
                panel.plot(n, [r["error"] for r in sizes], "o-", color=colour, label=TITLES[name])
                panel.plot(n, [r["noise"] for r in sizes], ":", color=colour, linewidth=1)
                if limit > 1e-5:
                    panel.axhline(limit, color=colour, linestyle="--", linewidth=1)
            panel.set(xscale="log", yscale="log", title=f"{what}: {problem['title']}")
            panel.title.set_fontsize(9)
            panel.grid(alpha=0.25)
    for panel in axes[-1]:
        panel.set_xlabel("trajectories")
    for panel in axes[:, 0]:
        panel.set_ylabel("relative error of the mean")
    lines, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(lines, names, loc="outside lower center", ncols=3, frameon=False)
    figure.suptitle("dotted: the noise of the mean; dashed: where more trajectories lead", fontsize=9)
    return figure


if __name__ == "__main__":
    import tyro

    main(tyro.cli(Config))
