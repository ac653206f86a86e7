"""A policy without memory: hidden layers and two heads."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from jmeta.rl.checks import check_counts
from jmeta.rl.policies.policy import Heads, Policy, of_network
from jmeta.rl.types import Box, Discrete


class _Network(nn.Module):
    units: tuple[int, ...]
    action: Discrete | Box
    log_std: float

    @nn.compact
    def __call__(self, memory: tuple[()], x: Array) -> tuple[tuple[()], Any, Array]:
        x = x if x.shape[-1] else jnp.ones((*x.shape[:-1], 1), x.dtype)  # a bandit shows nothing
        for units in self.units:
            x = jnp.tanh(nn.Dense(units)(x))
        return memory, *Heads(self.action, self.log_std)(x)


def mlp_policy(inputs: int, action: Discrete | Box, *, units: Sequence[int] = (64, 64), log_std: float = 0.0) -> Policy:
    """Layers with tanh, then linear actions and value; its memory is `()`.

    Args:
        units: of each hidden layer; empty for a linear policy.
        log_std: where the logarithm of the spread of real actions starts; it is learned, and the same for all inputs.

    Raises:
        ValueError: if a layer has no units.

    Source: Finn et al. 2017, Model-Agnostic Meta-Learning, appendix A.2. https://arxiv.org/abs/1703.03400
    """
    for each in units:
        check_counts(units=each)
    return of_network(_Network(tuple(units), action, log_std), (), inputs)
