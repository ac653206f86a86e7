"""Meta-gradients by persistent evolution strategies (Vicol et al. 2021)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jmeta.checks import check_above_zero
from jmeta.optimizers.estimators.windows import after, along, check_steps, keys_of, noise, pair, twice
from jmeta.optimizers.types import Estimator, Unroll
from jmeta.types import Params


class PersistentState(NamedTuple):
    """Both systems of a pair, the noise that they have met since their beginning, and the steps taken."""

    inner: Any
    met: Params
    taken: Array


def pes(unroll: Unroll, *, sigma: float, steps: int) -> Estimator:
    """Persistent evolution strategies: windows without the bias of truncation.

        xi <- xi + eps,   g = xi (L+ - L-) / (2 sigma^2),   eps ~ N(0, sigma^2 I), a new one for each window

    The two systems of a pair go on by themselves from window to window, and xi, all noise that they have met, says what
    the losses of this window owe to it. Where the horizon is over, both begin anew and xi with them: the first window
    after it knows its own noise alone. With windows as long as the horizon it is `es`.

    Args:
        unroll: the system.
        sigma: of the noise.
        steps: of a window.

    Raises:
        ValueError: if sigma is not above 0, or steps do not divide the horizon.

    Source: Vicol et al. 2021, Unbiased Gradient Estimation in Unrolled Computation Graphs with Persistent Evolution
    Strategies, algorithm 2. https://arxiv.org/abs/2112.13835
    """
    check_above_zero("sigma", sigma)
    check_steps(unroll, steps)

    def init(theta: Params, key: Array) -> PersistentState:
        return PersistentState(twice(unroll.init(theta, key)), jax.tree.map(jnp.zeros_like, theta), jnp.int32(0))

    def estimate(state: PersistentState, theta: Params, key: Array) -> tuple[Params, PersistentState, Array]:
        keys = keys_of(key, steps)
        eps = noise(keys.noise, theta, sigma)
        anew = state.taken == unroll.horizon
        met = jax.tree.map(lambda old, e: jnp.where(anew, e, old + e), state.met, eps)
        found = pair(unroll, theta, eps, state.inner, state.taken, keys)
        state = PersistentState(found.inner, met, after(unroll, state.taken, steps))
        return along(met, found.difference, sigma), state, found.losses

    return Estimator(init, estimate, steps)
