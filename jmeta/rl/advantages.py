"""How much better an action turned out than was expected, and baselines: what was, fitted in each task by itself."""

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array, lax
from jax.scipy.linalg import cho_factor, cho_solve

from jmeta.checks import check_above_zero, known
from jmeta.rl.rollout import Trajectory


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
    """With mean 0 and variance 1 over all entries of weight 1."""
    apart = centered(advantage, weight)
    spread = jnp.sqrt(jnp.sum(weight * jnp.square(apart)) / jnp.maximum(jnp.sum(weight), 1))
    return apart / (spread + 1e-8)


Baseline = Callable[[Trajectory, Array], Array]
"""`(trajectories, returns [n, steps]) -> value [n, steps]`, for n trajectories of one task, each an episode from its
start, and the returns from each of their steps on. What it gives is a constant of all that is differentiated."""


def no_baseline() -> Baseline:
    """Nothing is expected: advantages are returns."""
    return lambda trajectories, returns: jnp.zeros_like(returns)


def linear_baseline(ridge: float = 1e-5) -> Baseline:
    """A linear function of the inputs and of time, fitted to the returns of the task in closed form.

        phi = (x, x^2, s, s^2, s^3, 1),   s = t / steps,   x clipped to -10 .. 10
        w   = argmin  mean (phi . w - R)^2 + ridge |w|^2,   value = phi . w

    Args:
        ridge: weight of the penalty, above 0; features may be the same, as x and x^2 of one-hot inputs are.

    Raises:
        ValueError: if `ridge` is not a finite number above 0.

    Differs from the source: the errors are averaged, where it sums them; time is a share of the longest episode, where
    it is counted in hundreds of steps.

    Source: Duan et al. 2016, Benchmarking Deep Reinforcement Learning for Continuous Control.
    https://arxiv.org/abs/1604.06778
    """
    check_above_zero("ridge", ridge)

    def value(trajectories: Trajectory, returns: Array) -> Array:
        x = jnp.clip(trajectories.inputs, -10, 10)
        steps = x.shape[-2]
        s = jnp.broadcast_to(jnp.arange(steps).astype(x.dtype)[:, None] / steps, (*x.shape[:-1], 1))
        features = jnp.concatenate([x, jnp.square(x), s, jnp.square(s), s**3, jnp.ones_like(s)], axis=-1)
        return _fitted(features, returns, trajectories.weight, ridge)

    return value


def value_head(ridge: float = 1e-5) -> Baseline:
    """The policy's own value, which is learned over tasks, shifted and stretched to fit the returns of the task.

        (a, b) = argmin  mean (a V + b - R)^2 + ridge (a^2 + b^2),   value = a V + b

    The penalty's weight `ridge` is as in `linear_baseline`.
    """
    check_above_zero("ridge", ridge)

    def value(trajectories: Trajectory, returns: Array) -> Array:
        own = lax.stop_gradient(trajectories.decision.value)
        return _fitted(jnp.stack([own, jnp.ones_like(own)], axis=-1), returns, trajectories.weight, ridge)

    return value


def _fitted(features: Array, returns: Array, weight: Array, ridge: float) -> Array:
    """Values `[n, steps]` of the weighted ridge regression of returns `[n, steps]` on features `[n, steps, F]`."""
    rows = features.reshape(-1, features.shape[-1])
    share = weight.reshape(-1, 1) / jnp.maximum(jnp.sum(weight), 1)
    gram = rows.T @ (share * rows) + ridge * jnp.eye(rows.shape[1], dtype=rows.dtype)
    target = rows.T @ (share * returns.reshape(-1, 1))
    return (rows @ cho_solve(cho_factor(gram), target)).reshape(returns.shape)
