"""What return is to be expected at a step, for advantages of less spread; fitted in each task by itself."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.scipy.linalg import cho_factor, cho_solve

from jmeta.checks import check_above_zero
from jmeta.rl.advantages import returns
from jmeta.rl.rollout import Cut, Trajectory

Baseline = Callable[[Trajectory, Array], Array]
"""`(trajectories, returns [n, steps]) -> value [n, steps]`, for n trajectories of one task, each an episode from its
start, and the returns from each of their steps on. What it gives is a constant of all that is differentiated."""


def no_baseline() -> Baseline:
    """Nothing is expected: advantages are returns."""
    return lambda trajectories, returns: jnp.zeros_like(returns)


def linear_baseline(ridge: float = 1e-5) -> Baseline:
    """A linear function of the inputs and of time, fitted to the returns of the task in closed form.

        phi = (x, x^2, s, s^2, s^3, 1),   s = t / steps,   x clipped to -10 .. 10
        w   = argmin  mean (phi . w - (R - m))^2 + ridge sum_i mean(phi_i^2) w_i^2,   m = mean R
        value = m + phi . w

    Args:
        ridge: weight of the penalty, above 0, in units of each feature's own size; features may be the same, as x and
            x^2 of one-hot inputs are.

    Raises:
        ValueError: if `ridge` is not a finite number above 0.

    Differs from the source: the penalty is in units of the features and of returns less their mean, where it is a
    number; time is a share of the longest episode, where it is counted in hundreds of steps.

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

        (a, b) = argmin  mean (a V + b - (R - m))^2 + ridge (mean(V^2) a^2 + b^2),   m = mean R
        value  = m + a V + b

    The penalty's weight `ridge` is as in `linear_baseline`.
    """
    check_above_zero("ridge", ridge)

    def value(trajectories: Trajectory, returns: Array) -> Array:
        own = lax.stop_gradient(trajectories.decision.value)
        return _fitted(jnp.stack([own, jnp.ones_like(own)], axis=-1), returns, trajectories.weight, ridge)

    return value


def values_at_cuts(trajectories: Trajectory, cut: Cut, rewards: Array, discount: float) -> Array:
    """What the states are worth at which a limit of time cut trajectories of one task, `[n]`.

        w = argmin  mean (V(x_t) - discount^(T - t) V(x_T) - (r_t + ... + discount^(T - t - 1) r_{T-1}))^2,
        V(x) = w . (x, x^2, 1),   V(x_T) = 0 where the end was none of time

    A value that is of the rewards seen and of the place alone, not of the time that is left: no limit is part of the
    task. With `rewards [n, steps]`, 0 after the end; it is kept within what their largest, for ever, would be worth.
    """
    returned = jax.vmap(partial(returns, discount=discount))
    reach = discount * returned(cut.at)
    now, last = (_at_places(x) for x in (trajectories.inputs, cut.inputs))
    ahead = now - reach[..., None] * last[:, None]
    target = returned(rewards)
    w = _regression(ahead, target, trajectories.weight, 1e-5)
    for _ in range(2):  # on what the penalty has left
        w = w + _regression(ahead, target - ahead @ w, trajectories.weight, 1e-5)
    most = jnp.max(jnp.abs(rewards)) / jnp.maximum(1 - discount, jnp.finfo(rewards.dtype).eps)
    return jnp.clip(last @ w, -most, most)


def _at_places(x: Array) -> Array:
    x = jnp.clip(x, -10, 10)
    return jnp.concatenate([x, jnp.square(x), jnp.ones_like(x, shape=(*x.shape[:-1], 1))], axis=-1)


def _fitted(features: Array, returns: Array, weight: Array, ridge: float) -> Array:
    """Values `[n, steps]` of the weighted ridge regression of returns `[n, steps]` on features `[n, steps, F]`."""
    mean = jnp.sum(weight * returns) / jnp.maximum(jnp.sum(weight), 1)
    return mean + features @ _regression(features, returns - mean, weight, ridge)


def _regression(features: Array, target: Array, weight: Array, ridge: float) -> Array:
    """Weights `[F]`. With features of mean square 1 each, the ridge is in units of the matrix that is solved with."""
    rows = features.reshape(-1, features.shape[-1])
    share = weight.reshape(-1, 1) / jnp.maximum(jnp.sum(weight), 1)
    size = jnp.sqrt(jnp.sum(share * jnp.square(rows), axis=0, keepdims=True))
    size = jnp.where(size > 0, size, 1)
    rows = rows / size
    gram = rows.T @ (share * rows) + ridge * jnp.eye(rows.shape[1], dtype=rows.dtype)
    return cho_solve(cho_factor(gram), rows.T @ (share.ravel() * target.ravel())) / size[0]
