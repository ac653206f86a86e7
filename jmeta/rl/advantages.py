"""How much better an action turned out than was expected."""

import jax.numpy as jnp
from jax import Array, lax

from jmeta.checks import known

ROUNDING = 2.0**-18  # of sums of many numbers in float32, as a share of the largest: 32 times that of one


def generalized_advantages(
    reward: Array,
    value: Array,
    last_value: Array | None = None,
    *,
    discount: float,
    gae_lambda: float,
    ends: Array | None = None,
) -> Array:
    """Generalized advantage estimates, `[steps]`.

        delta_t = r_t + discount V_{t+1} - V_t,      A_t = delta_t + discount gae_lambda A_{t+1}

    Args:
        reward: `[steps]`.
        value: `[steps]`, V before each step.
        last_value: `[]`, V after the last; None for 0, where all is over then.
        discount: of rewards, 0 to 1.
        gae_lambda: lambda, 0 to 1; 1 gives returns less the value, 0 the error of one step.
        ends: `[steps]`, 1 where what comes after a step is not to count for it; None for nowhere.

    Example:
        >>> generalized_advantages(jnp.ones(3), jnp.zeros(3), discount=1.0, gae_lambda=1.0).tolist()
        [3.0, 2.0, 1.0]

    Source: Schulman et al. 2016, High-Dimensional Continuous Control Using Generalized Advantage Estimation, eq. 16.
    https://arxiv.org/abs/1506.02438
    """
    last_value = jnp.zeros_like(value[0]) if last_value is None else last_value
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
    return generalized_advantages(reward, jnp.zeros_like(reward), discount=discount, gae_lambda=1.0, ends=ends)


def discounted_steps(steps: int, discount: float | Array) -> float | Array:
    """`sum_t discount^t` over so many steps: the return where each pays 1. In double precision, unless it is traced."""
    if known(discount):
        return sum(discount**step for step in range(steps))
    return jnp.sum(jnp.power(discount, jnp.arange(steps, dtype=jnp.float32)))


def centered(advantage: Array, weight: Array) -> Array:
    """With mean 0 over all entries of weight 1, and their own size: a step is small where little is to be gained, and
    does not grow as the spread of real actions falls."""
    return advantage - jnp.sum(weight * advantage) / jnp.maximum(jnp.sum(weight), 1)


def normalized(advantage: Array, weight: Array) -> Array:
    """With mean 0 and variance 1 over all entries of weight 1; all 0 where these differ by rounding alone."""
    total = jnp.maximum(jnp.sum(weight), 1)
    apart = jnp.where(alike(advantage, weight, advantage), 0, advantage - jnp.sum(weight * advantage) / total)
    spread = jnp.sqrt(jnp.sum(weight * jnp.square(apart)) / total)
    return apart / jnp.where(spread == 0, 1, spread)


def alike(advantage: Array, weight: Array, of: Array) -> Array:
    """Whether entries of weight 1 differ by no more than the rounding of numbers as large as `of`, such as the returns
    that advantages are a difference of, bool `[]`: to normalize them would make much of nothing."""
    there = weight > 0
    low, high = jnp.min(jnp.where(there, advantage, jnp.inf)), jnp.max(jnp.where(there, advantage, -jnp.inf))
    rounding = ROUNDING * jnp.max(jnp.where(there, jnp.abs(of), 0))
    return high - low <= rounding
