"""The form of a policy."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array, lax

from jmeta.types import Params


class Decision(NamedTuple):
    """What a policy makes of what it sees.

    Attributes:
        action: parameters of the distribution of actions, see `jmeta.rl.distributions`.
        value: `[]`, the return that it expects from here.
    """

    action: Any
    value: Array


class Policy(NamedTuple):
    """A policy with or without memory, as pure functions for one agent.

    Attributes:
        init: `key -> params`.
        start: the memory before the first step, any pytree; `()` for none.
        step: `(params, memory, inputs [D]) -> (memory, Decision)`.
    """

    init: Callable[[Array], Params]
    start: Any
    step: Callable[[Params, Any, Array], tuple[Any, Decision]]


def of_network(net: nn.Module, start: Any, inputs: int) -> Policy:
    """The policy of a module `(memory, inputs [D]) -> (memory, parameters of the distribution, value)`.

    Args:
        net: the module.
        start: the memory before the first step.
        inputs: D.
    """

    def step(params: Params, memory: Any, x: Array) -> tuple[Any, Decision]:
        memory, action, value = net.apply(params, memory, x)  # type: ignore[misc]
        return memory, Decision(action, value)

    return Policy(lambda key: net.init(key, start, jnp.zeros((inputs,), jnp.float32)), start, step)


def unroll(policy: Policy, params: Params, inputs: Array) -> Decision:
    """Decisions at all steps of what one agent saw.

    Args:
        policy: with or without memory.
        params: its parameters.
        inputs: `[steps, D]`.

    Returns:
        A `Decision` with a leading axis of steps.
    """
    if not jax.tree.leaves(policy.start):
        return jax.vmap(lambda x: policy.step(params, policy.start, x)[1])(inputs)
    return lax.scan(lambda memory, x: policy.step(params, memory, x), policy.start, inputs)[1]
