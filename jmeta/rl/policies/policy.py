"""The form of a policy, and its last layers."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array, lax

from jmeta.rl.distributions import Gaussian, distribution_of
from jmeta.rl.types import Box, Discrete
from jmeta.types import Params

_NEAR_ZERO = nn.initializers.variance_scaling(1e-4, "fan_in", "truncated_normal")


class Decision(NamedTuple):
    """What a policy makes of what it sees."""

    action: Any  # parameters of the distribution of actions, see `jmeta.rl.distributions`
    value: Array  # `[]`, the return that it expects from here


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


class Heads(nn.Module):
    """The last layers, from features to the parameters of a distribution of actions and a value."""

    action: Discrete | Box  # the environment's; the spread of a `Box` is a parameter of its own
    log_std: float = 0.0  # where the logarithm of the spread starts

    @nn.compact
    def __call__(self, x: Array) -> tuple[Any, Array]:
        """`[..., D]` to parameters `[..., size]` and a value `[...]`."""
        size = distribution_of(self.action).size
        out = nn.Dense(size, kernel_init=_NEAR_ZERO, name="action")(x)
        value = nn.Dense(1, kernel_init=_NEAR_ZERO, name="value")(x)[..., 0]
        if isinstance(self.action, Discrete):
            return out, value
        spread = self.param("log_std", nn.initializers.constant(self.log_std), (size,), jnp.float32)
        return Gaussian(out, jnp.broadcast_to(spread, out.shape)), value


def of_network(net: nn.Module, start: Any, inputs: int) -> Policy:
    """The policy of a module `(memory, inputs [D]) -> (memory, parameters of the distribution, value)`."""

    def step(params: Params, memory: Any, x: Array) -> tuple[Any, Decision]:
        memory, action, value = net.apply(params, memory, x)  # type: ignore[misc]
        return memory, Decision(action, value)

    return Policy(lambda key: net.init(key, start, jnp.zeros((inputs,), jnp.float32)), start, step)


def unroll(policy: Policy, params: Params, inputs: Array) -> Decision:
    """Decisions at all steps of the inputs `[steps, D]` that one agent saw, with a leading axis of steps."""
    if not jax.tree.leaves(policy.start):
        return jax.vmap(lambda x: policy.step(params, policy.start, x)[1])(inputs)
    return lax.scan(lambda memory, x: policy.step(params, memory, x), policy.start, inputs)[1]
