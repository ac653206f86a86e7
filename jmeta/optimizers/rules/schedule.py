"""A schedule of rates."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from jmeta.checks import check_above_zero
from jmeta.optimizers.types import Rule
from jmeta.types import Params


class ScheduleState(NamedTuple):
    """Steps taken, int32 `[]`."""

    count: Array


def schedule(rates: Sequence[float] | np.ndarray) -> Rule:
    """Gradient descent by a rate of its own for each step.

        p <- p - rate_t g,   rate_t = exp(theta_t),   t = 0 ... T - 1

    After T steps it begins again, which on a quadratic shrinks the error by the same polynomial once more. A single
    rate is gradient descent.

    Args:
        rates: `[T]`, those to begin with. On a quadratic their order changes nothing but rounding: small ones first.

    Raises:
        ValueError: for no rates, or one that is not finite and above 0.

    Example:
        >>> rule = schedule([0.5, 0.25])
        >>> optimizer = rule.make(rule.init(jax.random.key(0), None))
        >>> state = optimizer.init(jnp.array(1.0))
        >>> first, state = optimizer.update(jnp.array(8.0), state)
        >>> optimizer.update(jnp.array(8.0), state)[0].item(), round(first.item(), 4)
        (-2.0, -4.0)
    """
    if not len(rates):
        raise ValueError("a schedule needs a rate for each of its steps, got none: give one or more")
    check_above_zero("rates", jnp.asarray(rates))
    start = jnp.log(jnp.asarray(rates, jnp.float32))

    def init(key: Array, params: Params) -> Array:
        return start

    def make(theta: Array) -> optax.GradientTransformation:
        def update(updates: Params, state: Any, params: Any = None) -> tuple[Params, ScheduleState]:
            rate = jnp.exp(theta[state.count % len(theta)])
            return jax.tree.map(lambda g: -rate.astype(g.dtype) * g, updates), ScheduleState(state.count + 1)

        return optax.GradientTransformation(lambda params: ScheduleState(jnp.int32(0)), update)

    return Rule(init, make)
