"""How much better an action turned out than was expected."""

import jax.numpy as jnp
from jax import Array, lax

from jmeta.checks import known


def generalized_advantages(
    reward: Array, value: Array, last_value: Array, *, discount: float, gae_lambda: float, ends: Array | None = None
) -> Array:
    """Generalized advantage estimates.

        delta_t = r_t + discount V_{t+1} - V_t,      A_t = delta_t + discount gae_lambda A_{t+1}

    Args:
        reward: `[steps]`.
        value: `[steps]`, V before each step.
        last_value: `[]`, V after the last; 0 where all is over then.
        discount: of rewards, 0 to 1.
        gae_lambda: lambda, 0 to 1; 1 gives returns less the value, 0 the error of one step.
        ends: `[steps]`, 1 where what comes after a step is not to count for it; None for nowhere.

    Returns:
        `[steps]`.

    Example:
        >>> generalized_advantages(jnp.ones(3), jnp.zeros(3), jnp.array(0.0), discount=1.0, gae_lambda=1.0).tolist()
        [3.0, 2.0, 1.0]

    Source: Schulman et al. 2016, High-Dimensional Continuous Control Using Generalized Advantage Estimation, eq. 16.
    https://arxiv.org/abs/1506.02438
    """
    going = jnp.ones_like(reward) if ends is None else 1 - ends
    following = jnp.concatenate([value[1:], last_value[None]])
    delta = reward + discount * going * following - value

    def body(after: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
        delta, going = now
        advantage = delta + discount * gae_lambda * going * after
        return advantage, advantage

    return lax.scan(body, jnp.zeros_like(last_value), (delta, going), reverse=True)[1]


def returns(reward: Array, *, discount: float, ends: Array | None = None) -> Array:
    """Discounted sums of what is still to come, `[steps]`."""
    nothing = jnp.zeros_like(reward)
    return generalized_advantages(reward, nothing, nothing[0], discount=discount, gae_lambda=1.0, ends=ends)


def discounted_steps(steps: int, discount: float | Array) -> float | Array:
    """`sum_t discount^t` over so many steps: the return where each pays 1. In double precision, unless it is traced."""
    if known(discount):
        return sum(discount**step for step in range(steps))
    return jnp.sum(jnp.power(discount, jnp.arange(steps, dtype=jnp.float32)))


def normalized(advantage: Array, weight: Array) -> Array:
    """With mean 0 and variance 1 over all entries of weight 1."""
    total = jnp.maximum(jnp.sum(weight), 1)
    centered = advantage - jnp.sum(weight * advantage) / total
    spread = jnp.sqrt(jnp.sum(weight * jnp.square(centered)) / total)
    return centered / (spread + 1e-8)
