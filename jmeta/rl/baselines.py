"""What return is to be expected at a step, for advantages of less spread; fitted in each task by itself."""

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array, lax
from jax.scipy.linalg import cho_factor, cho_solve

from jmeta.checks import check_above_zero
from jmeta.rl.rollout import Trajectory

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
