"""Two Bernoulli arms of which one tells all about the other (Wang et al. 2016)."""

import jax
import jax.numpy as jnp
from jax import Array

from jmeta.rl.envs.bernoulli_bandit import bandit, bernoulli_reward
from jmeta.rl.types import Env


def dependent_bandit(*, p: float | None = None, pulls: int = 100) -> Env:
    """Two arms whose probabilities add up to 1, so that a pull of either tells as much.

        task    p_1 ~ U{p, 1 - p}, or U(0, 1) where p is None;  p_2 = 1 - p_1
        reward  ~ Bernoulli(p_action)

    Args:
        p: the probability of one of the arms, 0 to 1; None for any.
        pulls: the length of an episode, 1 or more; the last one is done.

    Returns:
        An `Env`. A task is the probabilities, float32 `[2]`; a state is the number of pulls so far, int32 `[]`; an
        observation is empty, `[0]`.

    Raises:
        ValueError: if `pulls` is below 1, or p is not a probability.

    Example:
        >>> env = dependent_bandit(p=0.25)
        >>> sorted(env.sample_task(jax.random.key(0)).tolist())
        [0.25, 0.75]

    Source: Wang et al. 2016, Learning to Reinforcement Learn, section 3.1.2. https://arxiv.org/abs/1611.05763
    """
    if p is not None and not 0 <= p <= 1:
        raise ValueError(f"p must be a probability from 0 to 1, or None for any, got {p}")

    def sample_task(key: Array) -> Array:
        if p is None:
            first = jax.random.uniform(key, (), jnp.float32)
        else:
            first = jnp.where(jax.random.bernoulli(key), jnp.float32(p), jnp.float32(1 - p))
        return jnp.stack([first, jnp.float32(1) - first])

    return bandit(sample_task, bernoulli_reward, arms=2, pulls=pulls, reward_range=(0.0, 1.0))
