"""Gaussian bandits: the testbed with normal means and normal rewards (Sutton and Barto 2018)."""

import jax
import jax.numpy as jnp
from jax import Array

from jmeta.checks import check_above_zero
from jmeta.rl.envs.bernoulli_bandit import bandit
from jmeta.rl.envs.checks import check_count
from jmeta.rl.types import Env


def gaussian_bandit(*, arms: int, pulls: int, noise: float = 1.0) -> Env:
    """Arms that pay a normal reward around a mean of their own; an episode is some pulls.

        task    mean_i ~ N(0, 1), i < arms
        reward  ~ N(mean_action, noise^2)

    Args:
        arms: 1 or more.
        pulls: the length of an episode, 1 or more; the last one is done.
        noise: the standard deviation of a reward, above 0.

    Returns:
        An `Env`. A task is the means, float32 `[arms]`; a state is the number of pulls so far, int32 `[]`; an
        observation is empty, `[0]`.

    Raises:
        ValueError: if a number is below 1, or `noise` is not above 0.

    Source: Sutton and Barto 2018, Reinforcement Learning, section 2.3, with any number of arms.
    http://incompleteideas.net/book/the-book-2nd.html
    """
    check_count("arms", arms)
    check_above_zero("noise", noise)

    def sample_task(key: Array) -> Array:
        return jax.random.normal(key, (arms,), jnp.float32)

    def reward(key: Array, mean: Array) -> Array:
        return mean + jnp.float32(noise) * jax.random.normal(key, mean.shape, jnp.float32)

    return bandit(sample_task, reward, arms=arms, pulls=pulls)
