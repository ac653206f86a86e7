"""What is known of an environment: the exact optimum, and what classic strategies get."""

from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array

from jmeta.report.statistics import interval
from jmeta.rl import exact
from jmeta.rl.envs import MDP
from jmeta.rl.envs.settings import Arms, Asking, DependentArms
from jmeta.rl.types import Env
from jmeta.settings import to_dict

MOST_STATES = 3_000_000  # of the exact solution of a bandit; beyond, the optimum is left out


class Reference(NamedTuple):
    """A line beside an agent's: of a strategy."""

    name: str
    total: float  # mean total reward of all rounds
    ci95: float | None = None  # half of its interval; None where it is exact
    rounds: tuple[float, ...] | None = None  # mean reward of each round, where there are several


def references(name: str, world: Any, env: Env, episodes: int, *, tasks: int = 10_000) -> list[Reference]:
    """All that is known of an environment of these settings, best known first; strategies are simulated on `tasks`."""
    key = jax.random.key(0xC1A551C)
    if name == "bandit" and isinstance(world, Arms):
        return _bandit(world.arms, env, key, tasks)
    if isinstance(world, DependentArms):
        value = exact.dependent_bandit_value(world.p, env.horizon)
        return [Reference("exact optimum", value.total), Reference("random", env.horizon / 2)]
    if isinstance(world, Asking) and world.classes <= 3:
        value = exact.asking_value(**to_dict(world))
        guess = env.horizon * (2 / world.classes - 1)
        return [Reference("exact optimum", episodes * value.total), Reference("guesses", episodes * guess)]
    if name == "mdp":
        return _mdp(env, episodes, key, min(tasks, 2000))
    if name == "navigation":
        value = exact.navigation_value(env.horizon)
        return [Reference("noise-free optimum", value.optimum), Reference("cannot adapt", value.constant)]
    return []


def _bandit(arms: int, env: Env, key: Array, tasks: int) -> list[Reference]:
    pulls, found = env.horizon, []
    if exact.count_states(arms, pulls) <= MOST_STATES:
        found.append(Reference("exact optimum", float(exact.bayes_optimal_bandit(arms, pulls).value)))
    strategies = {
        "index (Gittins-like)": exact.index_strategy(exact.gittins_like_index(pulls)),
        "UCB1": exact.ucb1(0.05 if pulls >= 100 else 0.2),
        "optimistic Thompson sampling": exact.optimistic_thompson(),
        "Thompson sampling": exact.thompson(),
        "greedy": exact.greedy(),
        "random": exact.random_arm(),
    }
    for name, strategy in strategies.items():
        got = exact.simulate_bandit(strategy, key, env.sample_task, pulls=pulls, tasks=tasks)
        found.append(Reference(name, float(got.mean), float(got.interval)))
    return found


def _mdp(env: Env, episodes: int, key: Array, tasks: int) -> list[Reference]:
    strategies = {
        "UCRL2, a tenth of its bounds": exact.ucrl2(0.1),
        "OPSRL": exact.opsrl(),
        "PSRL": exact.psrl(),
        "greedy": exact.greedy_plan(),
        "random": exact.random_plan(),
    }
    mdps = jax.vmap(env.sample_task)(jax.random.split(key, tasks))

    def best(mdp: MDP) -> Array:
        return exact.value_iteration(mdp.reward, mdp.transition, env.horizon)[0][0, 0]

    each, spread = interval(jax.jit(jax.vmap(best))(mdps))
    total = None if spread is None else episodes * spread
    found = [Reference("knows the MDP", episodes * each, total, (each,) * episodes)]
    for name, strategy in strategies.items():
        got = exact.simulate_mdp(strategy, key, env.sample_task, horizon=env.horizon, episodes=episodes, tasks=tasks)
        so_far = np.asarray(got.mean, np.float64)
        rounds = tuple(np.diff(so_far, prepend=0.0).tolist())
        found.append(Reference(name, float(so_far[-1]), float(got.interval[-1]), rounds))
    return found
