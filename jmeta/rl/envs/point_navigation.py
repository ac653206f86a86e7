"""2D navigation: a point that has to find a goal it does not see (Finn et al. 2017)."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jmeta.rl.envs.checks import check_count
from jmeta.rl.types import Box, Env, Step

SPEED = 0.1
"""The most that a step moves along each axis."""

REACHED = 0.01
"""How near the goal counts as there, along each axis."""


class PointState(NamedTuple):
    """Where an episode is: the position, float32 `[2]`, and the number of steps so far, int32 `[]`."""

    position: Array
    time: Array


def at_origin(key: Array, task: Array) -> tuple[PointState, Array]:
    """How every episode starts: the state, and the position that is seen."""
    start = jnp.zeros((2,), jnp.float32)
    return PointState(start, jnp.int32(0)), start


def moved(state: PointState, action: Array) -> PointState:
    """The state after a step, which goes as far as `SPEED` lets it."""
    position = state.position + jnp.clip(action.astype(jnp.float32), -SPEED, SPEED)
    return PointState(position, state.time + jnp.int32(1))


def point_navigation(*, horizon: int = 100) -> Env:
    """Move a point from the origin to a goal in the plane; the reward alone tells where it is.

        task    goal ~ U(-0.5, 0.5)^2
        move    x' = x + clip(action, -0.1, 0.1),  x_0 = (0, 0)
        reward  -|x' - goal|
        done    |x'_1 - goal_1| < 0.01 and |x'_2 - goal_2| < 0.01, or after `horizon` steps

    Args:
        horizon: the most steps of an episode, 1 or more.

    Returns:
        An `Env`. A task is the goal, float32 `[2]`; a state is a `PointState`; an observation is the position, `[2]`. A
        reward has a derivative in the action, which is taken to be 0 at the goal itself.

    Raises:
        ValueError: if `horizon` is below 1.

    Example:
        >>> env = point_navigation()
        >>> goal = jnp.array([0.3, -0.5])
        >>> state, observation = env.reset(jax.random.key(0), goal)
        >>> state, step = env.step(jax.random.key(1), state, jnp.array([9.0, -0.1]), goal)
        >>> [round(x, 3) for x in step.observation.tolist()], round(step.reward.item(), 3)
        ([0.1, -0.1], -0.447)

    Source: Finn et al. 2017, Model-Agnostic Meta-Learning, section 5.3, with the numbers of the authors' code.
    https://arxiv.org/abs/1703.03400
    """
    check_count("horizon", horizon)

    def sample_task(key: Array) -> Array:
        return jax.random.uniform(key, (2,), jnp.float32, -0.5, 0.5)

    def step(key: Array, state: PointState, action: Array, task: Array) -> tuple[PointState, Step]:
        position, time = after = moved(state, action)
        off = position - task
        square = jnp.sum(jnp.square(off))
        # The root has no finite derivative at 0.
        reward = -jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
        done = jnp.all(jnp.abs(off) < REACHED) | (time >= horizon)
        return after, Step(position, reward, done)

    farthest = math.sqrt(2) * (0.5 + SPEED * horizon)
    return Env(sample_task, at_origin, step, Box(2, -SPEED, SPEED), 2, horizon, (-farthest, 0.0))
