"""A policy whose memory is a gated recurrent unit's (Cho et al. 2014)."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from jmeta.rl.checks import check_counts
from jmeta.rl.policies.policy import Decision, Heads, Policy
from jmeta.rl.types import Box, Discrete
from jmeta.types import Params


def gru_policy(inputs: int, action: Discrete | Box, *, units: int = 64) -> Policy:
    """A gated recurrent unit, from whose state a linear layer gives actions and another a value.

        h       <- GRU(h, x),   x [inputs], h [units], h = 0 at the start of a trial
        actions =  linear(h),   value = linear(h)

    The last layers start near zero, so that all actions are about as likely.

    Raises:
        ValueError: if `units` is below 1.

    Source: Duan et al. 2016, RL^2, section 3, and Cho et al. 2014 for the unit. https://arxiv.org/abs/1611.02779
    """
    check_counts(units=units)
    cell, heads = nn.GRUCell(units), Heads(action)
    start = jnp.zeros((units,), jnp.float32)

    def init(key: Array) -> Params:
        cell_key, head_key = jax.random.split(key)
        return {"cell": cell.init(cell_key, start, jnp.zeros((inputs,))), "heads": heads.init(head_key, start)}

    def step(params: Any, memory: Array, x: Array) -> tuple[Array, Decision]:
        memory, out = cell.apply(params["cell"], memory, x)  # type: ignore[misc]
        return memory, Decision(*heads.apply(params["heads"], out))  # type: ignore[misc]

    return Policy(init, start, step)
