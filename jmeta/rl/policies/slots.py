"""A policy that remembers what came of its actions under what it saw at the time: a memory of slots."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from jmeta.rl.checks import check_counts
from jmeta.rl.policies.policy import Heads, Policy, of_network
from jmeta.rl.types import Box, Discrete

SHARPNESS = 4.0  # spread of the logits of slots at the start: observations that differ have slots of their own


class Slots(NamedTuple):
    """What is remembered."""

    memory: Array  # `[slots, units // 2]`
    last: Array  # the observation before this one, `[D]`
    hidden: Array  # of a gated recurrent unit, `[units // 2]`


class _Network(nn.Module):
    observation: int
    units: int
    slots: int
    action: Discrete | Box

    @nn.compact
    def __call__(self, memory: Slots, x: Array) -> tuple[Slots, Any, Array]:
        seen, came = x[: self.observation], x[self.observation :]
        place = nn.Dense(self.slots, use_bias=False, kernel_init=nn.initializers.normal(SHARPNESS), name="place")
        value = nn.Dense(self.units // 2, name="value")(nn.relu(nn.Dense(self.units, name="came")(came)))
        slots = memory.memory + jnp.outer(nn.softmax(place(memory.last)), value)
        hidden, _ = nn.GRUCell(self.units // 2, name="cell")(memory.hidden, jnp.concatenate([x, memory.last]))
        out = jnp.concatenate([nn.softmax(place(seen)) @ slots, x, hidden])
        for i in range(2):
            out = nn.relu(nn.Dense(self.units, name=f"layer_{i}")(out))
        return Slots(slots, seen, hidden), *Heads(self.action)(out)


def slots_policy(inputs: int, action: Discrete | Box, *, observation: int, units: int = 64, slots: int = 48) -> Policy:
    """A memory that is written at what was seen and read at what is seen now, beside a gated recurrent unit.

        M       <- M + softmax(K o') mlp(a, r, d)^T      o' seen before, a done then, and what came of it
        h       <- GRU(h, [x, o']),   M = 0, h = 0 at the start of a trial
        y       =  mlp([softmax(K o) M, x, h])           o seen now
        actions =  linear(y),   value = linear(y)

    The same K writes and reads, so that what came of actions where the agent now is, is at hand from the first update
    on; a recurrent unit alone has first to learn to bind observation, action and reward. Made for tasks where what pays
    depends on the observation, as in an MDP of many states; a bandit has no use for it. Its memory is `Slots`.

    Args:
        inputs: numbers that the policy sees at a step, D of the observation and then `came`: `see_all` has that form.
        observation: D, from 1 to `inputs - 1`.
        units: of each layer, even; half as many in a slot and in the recurrent unit.
        slots: of the memory, best a few times as many as there are observations that matter; 1 or more.

    Raises:
        ValueError: if a number is out of its range.

    Source: ours, after fast weights that are written by an outer product of a key and a value (Schmidhuber 1992, and as
    linear attention: Schlag, Irie and Schmidhuber 2021, https://arxiv.org/abs/2102.11174).
    """
    check_counts(units=units, slots=slots)
    if units % 2:
        raise ValueError(f"units of a memory of slots must be even, got {units}")
    if not 1 <= observation < inputs:
        raise ValueError(f"observation must be from 1 to {inputs - 1}, one less than the inputs, got {observation}")
    empty = (jnp.zeros(shape, jnp.float32) for shape in ((slots, units // 2), (observation,), (units // 2,)))
    return of_network(_Network(observation, units, slots, action), Slots(*empty), inputs)
