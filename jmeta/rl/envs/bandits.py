"""Bandits: Bernoulli (Duan et al. 2016), Gaussian (Sutton and Barto 2018) and dependent arms (Wang et al. 2016)."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from jmeta.checks import check_above_zero
from jmeta.rl.checks import check_counts, check_probability
from jmeta.rl.types import Discrete, Env, Step


def bandit(
    sample_task: Callable[[Array], Array],
    reward: Callable[[Array, Array], Array],
    *,
    arms: int,
    pulls: int,
    reward_range: tuple[float, float] = (-math.inf, math.inf),
) -> Env:
    """Any bandit whose task is the arms' means, float32 `[arms]`: nothing to see, and over after some pulls.

    A state is the number of pulls so far, int32 `[]`, and an observation empty, `[0]`.

    Args:
        sample_task: `key -> means [arms]`.
        reward: `(key, mean []) -> []`, a reward of the arm with that mean.
        arms: 1 or more.
        pulls: the length of an episode, 1 or more; the last one is done.
        reward_range: see `Env`.

    Raises:
        ValueError: if a number is below 1.
    """
    check_counts(arms=arms, pulls=pulls)
    nothing = jnp.zeros((0,), jnp.float32)

    def reset(key: Array, task: Array) -> tuple[Array, Array]:
        return jnp.int32(0), nothing

    def step(key: Array, state: Array, action: Array, task: Array) -> tuple[Array, Step]:
        state = state + jnp.int32(1)
        return state, Step(nothing, reward(key, task[action]), state >= pulls)

    return Env(sample_task, reset, step, Discrete(arms), 0, pulls, reward_range)


def bernoulli_bandit(*, arms: int, pulls: int) -> Env:
    """Arms that pay 1 with a probability of their own, and 0 otherwise.

        task    p_i ~ U(0, 1), i < arms
        reward  ~ Bernoulli(p_action)

    The rest is as in `bandit`.

    Example:
        >>> env = bernoulli_bandit(arms=2, pulls=3)
        >>> task = jnp.array([0.0, 1.0])
        >>> state, _ = env.reset(jax.random.key(0), task)
        >>> state, step = env.step(jax.random.key(1), state, jnp.int32(1), task)
        >>> step.reward.item(), step.done.item(), step.observation.shape
        (1.0, False, (0,))

    Source: Duan et al. 2016, RL^2, section 3.1. https://arxiv.org/abs/1611.02779
    """
    sample_task = lambda key: jax.random.uniform(key, (arms,), jnp.float32)
    return bandit(sample_task, bernoulli_reward, arms=arms, pulls=pulls, reward_range=(0.0, 1.0))


def bernoulli_reward(key: Array, mean: Array) -> Array:
    """1 with probability `mean`, and 0 otherwise; float32."""
    return (jax.random.uniform(key, mean.shape, jnp.float32) < mean).astype(jnp.float32)


def gaussian_bandit(*, arms: int, pulls: int, noise: float = 1.0) -> Env:
    """Arms that pay a normal reward around a mean of their own, with the standard deviation `noise`.

        task    mean_i ~ N(0, 1), i < arms
        reward  ~ N(mean_action, noise^2)

    The rest is as in `bandit`.

    Raises:
        ValueError: if a number is below 1, or `noise` is not above 0.

    Source: Sutton and Barto 2018, Reinforcement Learning, section 2.3, with any number of arms.
    http://incompleteideas.net/book/the-book-2nd.html
    """
    check_above_zero("noise", noise)
    sample_task = lambda key: jax.random.normal(key, (arms,), jnp.float32)
    reward = lambda key, mean: mean + jnp.float32(noise) * jax.random.normal(key, mean.shape, jnp.float32)
    return bandit(sample_task, reward, arms=arms, pulls=pulls)


def dependent_bandit(*, p: float | None = None, pulls: int = 100) -> Env:
    """Two Bernoulli arms whose probabilities add up to 1, so that a pull of either tells as much.

        task    p_1 ~ U{p, 1 - p}, or U(0, 1) where p is None;  p_2 = 1 - p_1
        reward  ~ Bernoulli(p_action)

    The rest is as in `bandit`.

    Raises:
        ValueError: if `pulls` is below 1, or p is not a probability.

    Example:
        >>> env = dependent_bandit(p=0.25)
        >>> sorted(env.sample_task(jax.random.key(0)).tolist())
        [0.25, 0.75]

    Source: Wang et al. 2016, Learning to Reinforcement Learn, section 3.1.2. https://arxiv.org/abs/1611.05763
    """
    if p is not None:
        check_probability("p", p, ", or None for any")

    def sample_task(key: Array) -> Array:
        if p is None:
            first = jax.random.uniform(key, (), jnp.float32)
        else:
            first = jnp.where(jax.random.bernoulli(key), jnp.float32(p), jnp.float32(1 - p))
        return jnp.stack([first, jnp.float32(1) - first])

    return bandit(sample_task, bernoulli_reward, arms=2, pulls=pulls, reward_range=(0.0, 1.0))
