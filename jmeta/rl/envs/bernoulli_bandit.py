"""Bernoulli bandits, whose arms pay 0 or 1 (Duan et al. 2016)."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from jmeta.rl.envs.checks import check_count
from jmeta.rl.types import Discrete, Env, Step


def bernoulli_bandit(*, arms: int, pulls: int) -> Env:
    """Arms that pay 1 with a probability of their own, and 0 otherwise; an episode is some pulls.

        task    p_i ~ U(0, 1), i < arms
        reward  ~ Bernoulli(p_action)

    Args:
        arms: 1 or more.
        pulls: the length of an episode, 1 or more; the last one is done.

    Returns:
        An `Env`. A task is the probabilities, float32 `[arms]`; a state is the number of pulls so far, int32 `[]`; an
        observation is empty, `[0]`.

    Raises:
        ValueError: if a number is below 1.

    Example:
        >>> env = bernoulli_bandit(arms=2, pulls=3)
        >>> task = jnp.array([0.0, 1.0])
        >>> state, _ = env.reset(jax.random.key(0), task)
        >>> state, step = env.step(jax.random.key(1), state, jnp.int32(1), task)
        >>> step.reward.item(), step.done.item(), step.observation.shape
        (1.0, False, (0,))

    Source: Duan et al. 2016, RL^2, section 3.1. https://arxiv.org/abs/1611.02779
    """
    check_count("arms", arms)

    def sample_task(key: Array) -> Array:
        return jax.random.uniform(key, (arms,), jnp.float32)

    return bandit(sample_task, bernoulli_reward, arms=arms, pulls=pulls, reward_range=(0.0, 1.0))


def bernoulli_reward(key: Array, mean: Array) -> Array:
    """1 with probability `mean`, and 0 otherwise; float32."""
    return (jax.random.uniform(key, mean.shape, jnp.float32) < mean).astype(jnp.float32)


def bandit(
    sample_task: Callable[[Array], Array],
    reward: Callable[[Array, Array], Array],
    *,
    arms: int,
    pulls: int,
    reward_range: tuple[float, float] = (-math.inf, math.inf),
) -> Env:
    """Any bandit whose task is the arms' means: nothing to see, and over after some pulls.

    Args:
        sample_task: `key -> means [arms]`.
        reward: `(key, mean []) -> []`, a reward of the arm with that mean.
        arms: 1 or more.
        pulls: the length of an episode, 1 or more.
        reward_range: see `Env`.

    Returns:
        An `Env`.

    Raises:
        ValueError: if a number is below 1.
    """
    check_count("arms", arms)
    check_count("pulls", pulls)
    nothing = jnp.zeros((0,), jnp.float32)

    def reset(key: Array, task: Array) -> tuple[Array, Array]:
        return jnp.int32(0), nothing

    def step(key: Array, state: Array, action: Array, task: Array) -> tuple[Array, Step]:
        state = state + jnp.int32(1)
        return state, Step(nothing, reward(key, task[action]), state >= pulls)

    return Env(sample_task, reset, step, Discrete(arms), 0, pulls, reward_range)
