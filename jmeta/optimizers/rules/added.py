"""Two rules at once."""

from typing import Any

import jax
import optax
from jax import Array

from jmeta.optimizers.types import Rule
from jmeta.types import Params


def added(one: Rule, other: Rule) -> Rule:
    """The sum of two rules' updates; theta is a pair.

    `added(schedule([0.1]), lstm())` has a path from the gradient straight to the step: as long as the network says 0,
    as it does at first, it is gradient descent.

    Example:
        >>> from jmeta.optimizers.rules.schedule import schedule
        >>> rule = added(schedule([0.5]), schedule([0.25]))
        >>> optimizer = rule.make(rule.init(jax.random.key(0), None))
        >>> round(optimizer.update(jax.numpy.array(4.0), optimizer.init(None))[0].item(), 4)
        -3.0
    """

    def init(key: Array, params: Params) -> tuple[Params, Params]:
        first, second = jax.random.split(key)
        return one.init(first, params), other.init(second, params)

    def make(theta: tuple[Params, Params]) -> optax.GradientTransformation:
        a, b = one.make(theta[0]), other.make(theta[1])

        def update(updates: Params, state: Any, params: Any = None) -> tuple[Params, Any]:
            mine, first = a.update(updates, state[0], params)
            others, second = b.update(updates, state[1], params)
            return jax.tree.map(lambda u, v: u + v, mine, others), (first, second)

        return optax.GradientTransformation(lambda params: (a.init(params), b.init(params)), update)

    return Rule(init, make)
