"""A policy whose memory is all that it has seen, which it attends to (after SNAIL, Mishra et al. 2018)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from jmeta.rl.distributions import distribution_of
from jmeta.rl.policies.heads import Heads, check_units
from jmeta.rl.policies.policy import Policy, of_network
from jmeta.rl.types import Box, Discrete


class Seen(NamedTuple):
    """Keys and values `[layers, steps, units]` of what was seen, and how many steps that is, `[]`."""

    keys: Array
    values: Array
    count: Array


class _Layer(nn.Module):
    units: int
    heads: int

    @nn.compact
    def __call__(self, x: Array, keys: Array, values: Array, count: Array) -> tuple[Array, Array, Array]:
        h = nn.LayerNorm()(x)
        query, key, value = (nn.Dense(self.units, name=name)(h) for name in ("query", "key", "value"))
        keys, values = keys.at[count].set(key), values.at[count].set(value)
        size = self.units // self.heads
        q, k, v = (a.reshape(*a.shape[:-1], self.heads, size) for a in (query, keys, values))
        scores = jnp.einsum("hd,shd->hs", q, k) / jnp.sqrt(jnp.asarray(size, q.dtype))
        past = jnp.arange(keys.shape[0], dtype=jnp.int32) <= count
        share = jax.nn.softmax(jnp.where(past[None], scores, -jnp.inf), axis=-1)
        x = x + nn.Dense(self.units, name="out")(jnp.einsum("hs,shd->hd", share, v).reshape(-1))
        h = nn.relu(nn.Dense(2 * self.units)(nn.LayerNorm()(x)))
        return x + nn.Dense(self.units)(h), keys, values


class _Network(nn.Module):
    units: int
    layers: int
    heads: int
    steps: int
    size: int
    real: bool

    @nn.compact
    def __call__(self, memory: Seen, x: Array) -> tuple[Seen, Any, Array]:
        place = self.param("place", nn.initializers.normal(0.02), (self.steps, self.units), jnp.float32)
        x = nn.Dense(self.units)(x) + place[memory.count]
        keys, values = [], []
        for i in range(self.layers):
            x, k, v = _Layer(self.units, self.heads)(x, memory.keys[i], memory.values[i], memory.count)
            keys.append(k)
            values.append(v)
        action, value = Heads(self.size, self.real)(nn.LayerNorm()(x))
        return Seen(jnp.stack(keys), jnp.stack(values), memory.count + 1), action, value


def attention_policy(
    inputs: int, action: Discrete | Box, *, steps: int, units: int = 32, layers: int = 2, heads: int = 2
) -> Policy:
    """A causal transformer over the steps of a trial, which keeps the keys and values of those before.

    Args:
        inputs: D, numbers that the policy sees at a step.
        action: the environment's.
        steps: the most that a trial has, which are remembered; 1 or more.
        units: width, a multiple of `heads`.
        layers: of attention, 1 or more.
        heads: of each layer, 1 or more.

    Returns:
        A `Policy` whose memory is `Seen`. A step costs as many products as there were steps before.

    Raises:
        ValueError: if a number is below 1 or `units` is no multiple of `heads`.

    Differs from the paper: attention alone, with a learned place for each step, where SNAIL has temporal convolutions
    between its layers of attention.

    Source: Mishra et al. 2018, A Simple Neural Attentive Meta-Learner. https://arxiv.org/abs/1707.03141
    """
    check_units(units)
    for name, number in (("steps", steps), ("layers", layers), ("heads", heads)):
        if number < 1:
            raise ValueError(f"{name} of an attention policy must be 1 or more, got {number}")
    if units % heads:
        raise ValueError(f"units must be a multiple of the {heads} heads, got {units}")
    net = _Network(units, layers, heads, steps, distribution_of(action).size, isinstance(action, Box))
    empty = jnp.zeros((layers, steps, units), jnp.float32)
    start = Seen(empty, empty, jnp.int32(0))
    return of_network(net, start, inputs)
