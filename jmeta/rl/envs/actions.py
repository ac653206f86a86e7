"""Actions of an environment: what they look like, some at random, and in units of their bounds."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jmeta.rl.types import Box, Discrete, Env, EnvState, Step, Task

MOST_COMBINED = 4096  # choices of several parts that are one action; each is a number that a policy gives out


def action_like(env: Env) -> jax.ShapeDtypeStruct:
    """Shape and dtype of an action."""
    if isinstance(env.action, Discrete):
        return jax.ShapeDtypeStruct((), jnp.int32)
    return jax.ShapeDtypeStruct((env.action.size,), jnp.float32)


def random_action(key: Array, env: Env) -> Array:
    """An action, each as likely as another; a bound of a `Box` that is infinite counts as -1 or 1."""
    if isinstance(env.action, Discrete):
        return jax.random.randint(key, (), 0, env.action.n, jnp.int32)
    low, high = (np.where(np.isfinite(bound), bound, np.sign(bound)) for bound in bounds(env.action))
    low, high = (jnp.asarray(bound, jnp.float32) for bound in (low, high))
    return jax.random.uniform(key, (env.action.size,), jnp.float32, low, high)


def bounds(box: Box) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest value of each number of an action, `[size]` in double precision."""
    low, high = (np.broadcast_to(np.asarray(bound, np.float64), (box.size,)) for bound in box[1:])
    return low, high


def unit_actions(env: Env) -> Env:
    """The same environment, whose real actions are from -1 to 1.

        action = low + (high - low) (u + 1) / 2,   low and high of each number

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
    if not np.isfinite(bounds(env.action)).all():
        raise ValueError(f"actions must have finite bounds to be brought to -1 and 1, got {low} and {high}")
    low, high = bounds(env.action)
    middle, half = jnp.asarray((high + low) / 2, jnp.float32), jnp.asarray((high - low) / 2, jnp.float32)

    def step(key: Array, state: EnvState, action: Array, task: Task) -> tuple[EnvState, Step]:
        return env.step(key, state, middle + half * action, task)

    return env._replace(step=step, action=Box(size, -1.0, 1.0))


def choices_of(space: Any) -> np.ndarray | None:
    """How many values each part of a MultiDiscrete or MultiBinary space of Gymnasium has; None for another space."""
    if hasattr(space, "nvec"):
        return np.asarray(space.nvec)
    binary = hasattr(space, "n") and getattr(space, "shape", ()) != ()
    return np.full(space.shape, 2) if binary else None


def action_of(space: Any) -> Discrete | Box:
    """The actions of a space of gymnax or Gymnasium, known by its attributes `n`, `nvec`, or `shape`, `low` and `high`.

    Of parts that are chosen together, as in MultiDiscrete, each combination is an action.

    Raises:
        ValueError: if it has none of them, or there are more than `MOST_COMBINED` combinations.
    """
    choices = choices_of(space)
    if choices is not None:
        combined = math.prod(choices.ravel().tolist())
        if combined > MOST_COMBINED:
            raise ValueError(
                f"an action space must have {MOST_COMBINED} combinations or fewer, got {combined}: {space}"
            )
        return Discrete(combined)
    if hasattr(space, "n"):
        return Discrete(int(space.n))
    if not all(hasattr(space, name) for name in ("shape", "low", "high")):
        raise ValueError(f"an action space must be Discrete or Box, MultiDiscrete or MultiBinary, got {space!r}")
    size = math.prod(space.shape)
    each = (np.broadcast_to(bound, space.shape).ravel().tolist() for bound in (space.low, space.high))
    low, high = (bound[0] if len(set(bound)) == 1 else tuple(bound) for bound in each)
    return Box(size, low, high)
