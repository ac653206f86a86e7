"""A policy whose memory is a gated recurrent unit's (Cho et al. 2014)."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from jmeta.rl.distributions import distribution_of
from jmeta.rl.policies.heads import Heads, check_units
from jmeta.rl.policies.policy import Decision, Policy
from jmeta.rl.types import Box, Discrete
from jmeta.types import Params


def gru_policy(inputs: int, action: Discrete | Box, *, units: int = 64) -> Policy:
    """A gated recurrent unit, from whose state a linear layer gives actions and another a value.

        h       <- GRU(h, x),   h = 0 at the start of a trial
        actions =  linear(h),   value = linear(h)

    Args:
        inputs: D, numbers that the policy sees at a step.
        action: the environment's.
        units: size of the memory, 1 or more.

    Returns:
        A `Policy`. The last layers start near zero, so that all actions are about as likely.

    Raises:
        ValueError: if `units` is below 1.

    Source: Duan et al. 2016, RL^2, section 3, and Cho et al. 2014 for the unit. https://arxiv.org/abs/1611.02779
    """
    check_units(units)
    cell, heads = nn.GRUCell(units), Heads(distribution_of(action).size, isinstance(action, Box))
    start = jnp.zeros((units,), jnp.float32)

    def init(key: Array) -> Params:
        cell_key, head_key = jax.random.split(key)
        return {"cell": cell.init(cell_key, start, jnp.zeros((inputs,))), "heads": heads.init(head_key, start)}

    def step(params: Any, memory: Array, x: Array) -> tuple[Array, Decision]:
        memory, out = cell.apply(params["cell"], memory, x)  # type: ignore[misc]
        action, value = heads.apply(params["heads"], out)  # type: ignore[misc]
        return memory, Decision(action, value)  # type: ignore[arg-type]

    return Policy(init, start, step)
