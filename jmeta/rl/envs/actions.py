"""Actions of an environment: what they look like, some at random, and in units of their bounds."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jmeta.rl.types import Box, Discrete, Env, EnvState, Step, Task


def action_like(env: Env) -> jax.ShapeDtypeStruct:
    """Shape and dtype of an action."""
    if isinstance(env.action, Discrete):
        return jax.ShapeDtypeStruct((), jnp.int32)
    return jax.ShapeDtypeStruct((env.action.size,), jnp.float32)


def random_action(key: Array, env: Env) -> Array:
    """An action, each as likely as another; a bound of a `Box` that is infinite counts as -1 or 1."""
    if isinstance(env.action, Discrete):
        return jax.random.randint(key, (), 0, env.action.n, jnp.int32)
    low, high = (bound if math.isfinite(bound) else math.copysign(1, bound) for bound in env.action[1:])
    return jax.random.uniform(key, (env.action.size,), jnp.float32, low, high)


def unit_actions(env: Env) -> Env:
    """The same environment, whose real actions are from -1 to 1.

        action = low + (high - low) (u + 1) / 2

    A policy then starts at the scale of its environment. It matters most for inner steps, which share one rate: of a
    mean in actions as small as 0.1, a rate that is right for the last layer leaves the layers before it, and the
    logarithm of the spread, where they were. Where actions are `Discrete`, it is `env` itself.

    Raises:
        ValueError: if a bound of the actions is not finite.

    Example:
        >>> from jmeta.rl.envs import point_navigation
        >>> env = unit_actions(point_navigation())
        >>> env.action
        Box(size=2, low=-1.0, high=1.0)
        >>> state, _ = env.reset(jax.random.key(0), jnp.zeros(2))
        >>> state, step = env.step(jax.random.key(1), state, jnp.array([1.0, -0.5]), jnp.zeros(2))
        >>> [round(x, 3) for x in step.observation.tolist()]
        [0.1, -0.05]
    """
    if not isinstance(env.action, Box):
        return env
    size, low, high = env.action
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError(f"actions must have finite bounds to be brought to -1 and 1, got {low} and {high}")
    middle, half = (high + low) / 2, (high - low) / 2

    def step(key: Array, state: EnvState, action: Array, task: Task) -> tuple[EnvState, Step]:
        return env.step(key, state, middle + half * action, task)

    return env._replace(step=step, action=Box(size, -1.0, 1.0))


def action_of(space: Any) -> Discrete | Box:
    """The actions of a space of gymnax or Gymnasium, known by its attributes `n`, or `shape`, `low` and `high`.

    Raises:
        ValueError: if it has neither, or its bounds differ from number to number.
    """
    if hasattr(space, "n") and np.ndim(space.n) == 0:
        return Discrete(int(space.n))
    if not all(hasattr(space, name) for name in ("shape", "low", "high")):
        raise ValueError(f"an action space must be Discrete or Box, got {space!r}")
    low, high = np.unique(np.asarray(space.low)), np.unique(np.asarray(space.high))
    if len(low) != 1 or len(high) != 1:
        raise ValueError(f"the bounds of a Box of actions must be the same for all numbers, got {space!r}")
    return Box(int(np.prod(space.shape)), float(low[0]), float(high[0]))
