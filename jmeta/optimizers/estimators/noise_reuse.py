"""Meta-gradients by noise-reuse evolution strategies (Li et al. 2023)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jmeta.checks import check_above_zero
from jmeta.optimizers.estimators.windows import after, along, check_steps, keys_of, noise, pair, twice
from jmeta.optimizers.types import Estimator, Unroll
from jmeta.types import Params


class ReuseState(NamedTuple):
    """Both systems of a pair, the noise of this unroll, and the steps taken."""

    inner: Any
    eps: Params
    taken: Array


def noise_reuse(unroll: Unroll, *, sigma: float, steps: int) -> Estimator:
    """Noise-reuse evolution strategies: one draw of noise for all windows of an unroll.

        g = eps (L+ - L-) / (2 sigma^2),   eps ~ N(0, sigma^2 I), a new one where the horizon begins anew

    As `pes` it has no bias of truncation; the gradients of an unroll's windows add up to one of `es` over the whole, so
    that its variance is that of `es`, and does not grow with the number of windows.

    Args:
        unroll: the system.
        sigma: of the noise.
        steps: of a window.

    Raises:
        ValueError: if sigma is not above 0, or steps do not divide the horizon.

    Source: Li et al. 2023, Variance-Reduced Gradient Estimation via Noise-Reuse in Online Evolution Strategies,
    algorithm 2. https://arxiv.org/abs/2304.12180
    """
    check_above_zero("sigma", sigma)
    check_steps(unroll, steps)

    def init(theta: Params, key: Array) -> ReuseState:
        first, second = jax.random.split(key)
        return ReuseState(twice(unroll.init(theta, first)), noise(second, theta, sigma), jnp.int32(0))

    def estimate(state: ReuseState, theta: Params, key: Array) -> tuple[Params, ReuseState, Array]:
        keys = keys_of(key, steps)
        anew = state.taken == unroll.horizon
        eps = jax.tree.map(lambda new, old: jnp.where(anew, new, old), noise(keys.noise, theta, sigma), state.eps)
        found = pair(unroll, theta, eps, state.inner, state.taken, keys)
        state = ReuseState(found.inner, eps, after(unroll, state.taken, steps))
        return along(eps, found.difference, sigma), state, found.losses

    return Estimator(init, estimate, steps)
