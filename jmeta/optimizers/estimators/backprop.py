"""Meta-gradients by backpropagation, through all steps or through a window of them."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jmeta.optimizers.estimators.windows import after, begun, check_steps, keys_of, window
from jmeta.optimizers.types import Estimator, Unroll
from jmeta.types import Params


class Position(NamedTuple):
    """A system, and how many steps it has taken since its beginning, int32 `[]`."""

    inner: Any
    taken: Array


def full_backprop(unroll: Unroll) -> Estimator:
    """The exact gradient of J for one draw of all that is drawn: backpropagation through a whole unroll.

    Its memory grows with the horizon, and where an inner optimization is chaotic, so does its variance.
    """
    return truncated_backprop(unroll, steps=unroll.horizon)


def truncated_backprop(unroll: Unroll, *, steps: int) -> Estimator:
    """Backpropagation through a window: the state that it starts from is taken for a constant.

    What theta has done to that state is left out, so that it is biased, and not only a little: see
    `exact.influence_balancing`, where every window below 41 steps points the wrong way.

    Args:
        unroll: the system.
        steps: of a window.

    Raises:
        ValueError: if they do not divide the horizon.

    Source: Werbos 1990, Backpropagation through time; Metz et al. 2019, section 2, for learned optimizers.
    https://arxiv.org/abs/1810.10180
    """
    check_steps(unroll, steps)

    def init(theta: Params, key: Array) -> Position:
        return Position(unroll.init(theta, key), jnp.int32(0))

    def estimate(state: Position, theta: Params, key: Array) -> tuple[Params, Position, Array]:
        keys = keys_of(key, steps)
        fresh = jnp.where(state.taken == unroll.horizon, 0, state.taken)

        def total(theta: Params) -> tuple[Array, tuple[Any, Array]]:
            start = begun(unroll, theta, state.inner, state.taken, steps, keys.begin)
            inner, losses, total = window(unroll, theta, start, fresh, keys.steps)
            return total, (inner, losses)

        grads, (inner, losses) = jax.grad(total, has_aux=True)(theta)
        return grads, Position(inner, after(unroll, state.taken, steps)), losses

    return Estimator(init, estimate, steps)
