"""Real actions in units of their bounds."""

import math

from jax import Array

from jmeta.rl.types import Box, Env, EnvState, Step, Task


def unit_actions(env: Env) -> Env:
    """The same environment, whose real actions are from -1 to 1.

        action = low + (high - low) (u + 1) / 2

    A policy then starts at the scale of its environment. It matters most for inner steps, all of which share one rate:
    of a mean in actions as small as 0.1, a rate that is right for the last layer leaves the layers before it, and the
    logarithm of the spread, where they were.

    Args:
        env: any environment.

    Returns:
        An `Env` that draws, shows and pays the same; `env` itself where actions are `Discrete`.

    Raises:
        ValueError: if a bound of the actions is not finite.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
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
