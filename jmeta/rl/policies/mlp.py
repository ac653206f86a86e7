"""A policy without memory: hidden layers and two heads."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from jmeta.rl.distributions import distribution_of
from jmeta.rl.policies.heads import Heads, check_units
from jmeta.rl.policies.policy import Decision, Policy
from jmeta.rl.types import Box, Discrete
from jmeta.types import Params


class _Network(nn.Module):
    units: tuple[int, ...]
    size: int
    real: bool
    log_std: float

    @nn.compact
    def __call__(self, x: Array) -> tuple[Any, Array]:
        x = x if x.shape[-1] else jnp.ones((*x.shape[:-1], 1), x.dtype)  # a bandit shows nothing
        for units in self.units:
            x = jnp.tanh(nn.Dense(units)(x))
        return Heads(self.size, self.real, self.log_std)(x)


def mlp_policy(inputs: int, action: Discrete | Box, *, units: Sequence[int] = (64, 64), log_std: float = 0.0) -> Policy:
    """Layers with tanh, then linear actions and value.

    Args:
        inputs: D, numbers that the policy sees at a step.
        action: the environment's.
        units: of each hidden layer; empty for a linear policy.
        log_std: where the logarithm of the spread of real actions starts; it is learned, and the same for all inputs.

    Returns:
        A `Policy` whose memory is `()`.

    Raises:
        ValueError: if a layer has no units.

    Source: Finn et al. 2017, Model-Agnostic Meta-Learning, appendix A.2. https://arxiv.org/abs/1703.03400
    """
    for each in units:
        check_units(each)
    net = _Network(tuple(units), distribution_of(action).size, isinstance(action, Box), log_std)

    def init(key: Array) -> Params:
        return net.init(key, jnp.zeros((inputs,), jnp.float32))

    def step(params: Params, memory: tuple[()], x: Array) -> tuple[tuple[()], Decision]:
        action, value = net.apply(params, x)  # type: ignore[misc]
        return memory, Decision(action, value)  # type: ignore[arg-type]

    return Policy(init, (), step)
