"""The per-parameter MLP of Metz et al. 2019 and 2020, with 19 features."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jmeta.checks import check_above_zero
from jmeta.nets import MLP
from jmeta.optimizers.rules.features import (
    TIMES,
    averaged,
    check_told,
    like,
    normalized,
    step_of,
    wide,
    with_times,
    without_head,
)
from jmeta.optimizers.types import Rule
from jmeta.types import Params

DECAYS = (0.1, 0.5, 0.9, 0.99, 0.999, 0.9999)
FEATURES = 2 + len(DECAYS) + len(TIMES)


class MLPState(NamedTuple):
    """Of each tensor its averages `[..., 6]`, and the steps taken."""

    momenta: Params
    count: Array


def mlp(*, units: Sequence[int] = (32, 32), step_scale: float = 0.001) -> Rule:
    """A small network that sees 19 numbers of each parameter, and says in which direction it goes and how far.

        features = g, p, six averages of g (decays .1, .5, .9, .99, .999, .9999), each divided by its root mean square
                   over the tensor, and tanh(t / tau - 1) for tau = 1, 3, 10, ..., 100000
        p <- p - step_scale d exp(m / 1000),   (d, m) = network(features)

    All parameters share theta, so that the rule is for any tree. Divided by their size, gradients say nothing of their
    scale.

    Args:
        units: of each hidden layer.
        step_scale: of a direction of 1.

    Raises:
        ValueError: for a scale that is not finite and above 0, or layers that can't be; and from the optimizer, where
            it is not told the parameters.

    Differs from the paper: the last layer starts at 0, so that training starts from no movement at all; with `added`,
    from gradient descent.

    Source: Metz et al. 2019, Understanding and correcting pathologies in the training of learned optimizers, section
    3.2, https://arxiv.org/abs/1810.10180, in the form of Metz et al. 2022, https://arxiv.org/abs/2203.11860.
    """
    check_above_zero("step_scale", step_scale)
    network, decays = MLP(tuple(units), 2), jnp.array(DECAYS)

    def init(key: Array, params: Params) -> Params:
        return without_head(network.init(key, jnp.zeros((1, FEATURES))))

    def make(theta: Params) -> optax.GradientTransformation:
        def start(params: Params) -> MLPState:
            momenta = jax.tree.map(lambda p: jnp.zeros((*p.shape, len(DECAYS))), params)
            return MLPState(momenta, jnp.int32(0))

        def moved(g: Array, p: Array, m: Array, count: Array) -> Array:
            seen = jnp.concatenate([g[..., None], p[..., None], m], axis=-1)
            rows = with_times(normalized(seen), count).reshape(-1, FEATURES)
            said: Any = network.apply(theta, rows)
            return step_of(said, step_scale).reshape(p.shape)

        def update(updates: Params, state: Any, params: Any = None) -> tuple[Params, MLPState]:
            check_told(params)
            g, p = wide(updates), wide(params)
            momenta = jax.tree.map(lambda g, m: averaged(decays, m, g), g, state.momenta)
            moves = jax.tree.map(lambda g, p, m: moved(g, p, m, state.count), g, p, momenta)
            return like(moves, params), MLPState(momenta, state.count + 1)

        return optax.GradientTransformation(start, update)

    return Rule(init, make)
