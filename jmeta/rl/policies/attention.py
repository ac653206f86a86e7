"""A policy whose memory is all that it has seen, which it attends to (after SNAIL, Mishra et al. 2018)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from jmeta.rl.checks import check_counts
from jmeta.rl.policies.policy import Heads, Policy, of_network
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
        h = nn.LayerNorm(use_fast_variance=False)(x)
        query, key, value = (nn.Dense(self.units, name=name)(h) for name in ("query", "key", "value"))
        keys, values = keys.at[count].set(key), values.at[count].set(value)
        size = self.units // self.heads
        q, k, v = (a.reshape(*a.shape[:-1], self.heads, size) for a in (query, keys, values))
        scores = jnp.einsum("hd,shd->hs", q, k) / jnp.sqrt(jnp.asarray(size, q.dtype))
        past = jnp.arange(keys.shape[0], dtype=jnp.int32) <= count
        share = jax.nn.softmax(jnp.where(past[None], scores, -jnp.inf), axis=-1)
        x = x + nn.Dense(self.units, name="out")(jnp.einsum("hs,shd->hd", share, v).reshape(-1))
        h = nn.relu(nn.Dense(2 * self.units)(nn.LayerNorm(use_fast_variance=False)(x)))
        return x + nn.Dense(self.units)(h), keys, values


class _Network(nn.Module):
    units: int
    layers: int
    heads: int
    steps: int
    action: Discrete | Box

    @nn.compact
    def __call__(self, memory: Seen, x: Array) -> tuple[Seen, Any, Array]:
        place = self.param("place", nn.initializers.normal(0.02), (self.steps, self.units), jnp.float32)
        x = nn.Dense(self.units)(x) + place[memory.count]
        keys, values = [], []
        for i in range(self.layers):
            x, k, v = _Layer(self.units, self.heads)(x, memory.keys[i], memory.values[i], memory.count)
            keys.append(k)
            values.append(v)
        seen = Seen(jnp.stack(keys), jnp.stack(values), memory.count + 1)
        return seen, *Heads(self.action)(nn.LayerNorm(use_fast_variance=False)(x))


def attention_policy(
    inputs: int, action: Discrete | Box, *, steps: int, units: int = 32, layers: int = 2, heads: int = 2
) -> Policy:
    """A causal transformer over the steps of a trial, which keeps the keys and values of those before.

    Its memory is `Seen`. A step costs as many products as there were steps before.

    Args:
        steps: the most that a trial has, which are remembered; 1 or more.
        units: width, a multiple of `heads`.
        layers: of attention, 1 or more.
        heads: of each layer, 1 or more.

    Raises:
        ValueError: if a number is below 1 or `units` is no multiple of `heads`.

    Differs from the paper: attention alone, with a learned place for each step, where SNAIL has temporal convolutions
    between its layers of attention.

    Source: Mishra et al. 2018, A Simple Neural Attentive Meta-Learner. https://arxiv.org/abs/1707.03141
    """
    check_counts(units=units, steps=steps, layers=layers, heads=heads)
    if units % heads:
        raise ValueError(f"units must be a multiple of the {heads} heads, got {units}")
    empty = jnp.zeros((layers, steps, units), jnp.float32)
    return of_network(_Network(units, layers, heads, steps, action), Seen(empty, empty, jnp.int32(0)), inputs)
