"""A rate and a momentum for each tensor."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from jmeta.checks import check_above_zero
from jmeta.optimizers.types import Rule
from jmeta.types import Params


class TensorsTheta(NamedTuple):
    """Of each tensor, a number `[]`: the logarithm of its rate, and the logit of its momentum."""

    log_rate: Params
    momentum: Params


def per_tensor(*, rate: float = 0.1, momentum: float = 0.9) -> Rule:
    """Heavy ball with a rate and a momentum of its own for each tensor of a tree.

        m <- b m + g,   p <- p - a m,   a = exp(log_rate),   b = sigmoid(momentum)

    What it has learned is for trees of the same names alone, of any shapes.

    Args:
        rate: a, to begin with.
        momentum: b, to begin with, above 0 and below 1.

    Raises:
        ValueError: for a rate or a momentum that can't be; and from the optimizer, for a tree of other tensors.
    """
    check_above_zero("rate", rate)
    if not 0 < momentum < 1:
        raise ValueError(f"momentum must be above 0 and below 1, got {momentum}: choose another")
    started = np.log(rate), np.log(momentum / (1 - momentum))

    def init(key: Array, params: Params) -> TensorsTheta:
        return TensorsTheta(*(jax.tree.map(lambda p, v=v: jnp.float32(v), params) for v in started))

    def make(theta: TensorsTheta) -> optax.GradientTransformation:
        rates, momenta = jax.tree.map(jnp.exp, theta.log_rate), jax.tree.map(jax.nn.sigmoid, theta.momentum)

        def start(params: Params) -> Params:
            check_tree(theta.log_rate, params)
            return jax.tree.map(jnp.zeros_like, params)

        def update(updates: Params, state: Any, params: Any = None) -> tuple[Params, Params]:
            state = jax.tree.map(lambda b, m, g: b.astype(g.dtype) * m + g, momenta, state, updates)
            return jax.tree.map(lambda a, m: -a.astype(m.dtype) * m, rates, state), state

        return optax.GradientTransformation(start, update)

    return Rule(init, make)


def check_tree(known: Params, params: Params) -> None:
    """Raise ValueError for a tree whose tensors are not those that a rule was learned for."""
    if jax.tree.structure(known) != jax.tree.structure(params):
        mine, others = (_names(tree) for tree in (known, params))
        raise ValueError(
            f"this rule has rates for the tensors {mine}, got a tree of {others}: optimize one of the same names, or "
            "take a rule that looks at each parameter by itself"
        )


def _names(tree: Params) -> str:
    every = [
        jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in jax.tree_util.tree_leaves_with_path(tree)
    ]
    return ", ".join(every[:4]) + (f" and {len(every) - 4} more" if len(every) > 4 else "") or "none"
