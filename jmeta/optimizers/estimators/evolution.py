"""Meta-gradients by evolution strategies."""

import jax
import jax.numpy as jnp
from jax import Array

from jmeta.checks import check_above_zero
from jmeta.optimizers.estimators.backprop import Position
from jmeta.optimizers.estimators.windows import after, along, begun, check_steps, keys_of, noise, pair, twice, window
from jmeta.optimizers.types import Estimator, Unroll
from jmeta.types import Params


def es(unroll: Unroll, *, sigma: float, steps: int | None = None) -> Estimator:
    """Antithetic evolution strategies: how the loss changes when theta is moved at random, both ways.

        g = eps (L(theta + eps) - L(theta - eps)) / (2 sigma^2),   eps ~ N(0, sigma^2 I)

    On average it is the gradient of J smoothed by the same noise. It needs no derivative of a step, and its variance
    does not grow with the horizon's chaos, but with the number of parameters.

    Args:
        unroll: the system.
        sigma: of the noise.
        steps: of a window; None for the whole horizon. Shorter ones begin, both of a pair, where a system at theta
            itself has come, and are biased as `truncated_backprop` is.

    Raises:
        ValueError: if sigma is not above 0, or steps do not divide the horizon.

    Source: Salimans et al. 2017, Evolution Strategies as a Scalable Alternative to Reinforcement Learning.
    https://arxiv.org/abs/1703.03864
    """
    check_above_zero("sigma", sigma)
    steps = unroll.horizon if steps is None else steps
    check_steps(unroll, steps)

    def init(theta: Params, key: Array) -> Position:
        return Position(unroll.init(theta, key), jnp.int32(0))

    def estimate(state: Position, theta: Params, key: Array) -> tuple[Params, Position, Array]:
        keys = keys_of(key, steps)
        eps = noise(keys.noise, theta, sigma)
        found = pair(unroll, theta, eps, twice(state.inner), state.taken, keys)
        if steps == unroll.horizon:
            inner = jax.tree.map(lambda a: a[0], found.inner)
        else:
            start = begun(unroll, theta, state.inner, state.taken, steps, keys.begin)
            inner = window(unroll, theta, start, state.taken, keys.steps)[0]
        state = Position(inner, after(unroll, state.taken, steps))
        return along(eps, found.difference, sigma), state, found.losses

    return Estimator(init, estimate, steps)
