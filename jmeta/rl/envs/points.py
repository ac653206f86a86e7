"""A point that has to find a goal that it does not see, in the plane or on a half circle."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jmeta.rl.checks import check_counts
from jmeta.rl.types import Box, Env, Step

SPEED = 0.1  # the most that a step moves along each axis
REACHED = 0.01  # how near the goal counts as there, along each axis
NEAR = 0.2  # how far from the goal on the half circle there is still a reward


class PointState(NamedTuple):
    """Where an episode is: the position, float32 `[2]`, and the number of steps so far, int32 `[]`."""

    position: Array
    time: Array


def _at_origin(key: Array, task: Array) -> tuple[PointState, Array]:
    start = jnp.zeros((2,), jnp.float32)
    return PointState(start, jnp.int32(0)), start


def _moved(state: PointState, action: Array) -> PointState:
    position = state.position + jnp.clip(action.astype(jnp.float32), -SPEED, SPEED)
    return PointState(position, state.time + jnp.int32(1))


def point_navigation(*, horizon: int = 100) -> Env:
    """Move a point from the origin to a goal in the plane; the reward alone tells where it is.

        task    goal ~ U(-0.5, 0.5)^2
        move    x' = x + clip(action, -0.1, 0.1),  x_0 = (0, 0)
        reward  -|x' - goal|
        done    |x'_1 - goal_1| < 0.01 and |x'_2 - goal_2| < 0.01, or after `horizon` steps

    A task is the goal, float32 `[2]`, a state a `PointState`, and an observation the position, `[2]`. A reward has a
    derivative in the action, which is taken to be 0 at the goal itself.

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
    check_counts(horizon=horizon)

    def sample_task(key: Array) -> Array:
        return jax.random.uniform(key, (2,), jnp.float32, -0.5, 0.5)

    def step(key: Array, state: PointState, action: Array, task: Array) -> tuple[PointState, Step]:
        position, time = after = _moved(state, action)
        off = position - task
        square = jnp.sum(jnp.square(off))
        # The root has no finite derivative at 0.
        reward = -jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
        done = jnp.all(jnp.abs(off) < REACHED) | (time >= horizon)
        return after, Step(position, reward, done)

    farthest = math.sqrt(2) * (0.5 + SPEED * horizon)
    return Env(sample_task, _at_origin, step, Box(2, -SPEED, SPEED), 2, horizon, (-farthest, 0.0))


def semi_circle(*, horizon: int = 60) -> Env:
    """Find a goal on the half circle of radius 1 above the origin; nothing is to be had until one is near it.

        task    goal = (cos a, sin a),  a ~ U(0, pi)
        move    x' = x + clip(action, -0.1, 0.1),  x_0 = (0, 0)
        reward  1 - |x' - goal| within 0.2 of the goal, otherwise 0
        done    after `horizon` steps

    An agent that knows the task goes there in ten steps or fewer; one that does not has to walk along the circle first,
    and may go straight there in the episodes that follow. Tasks, states, observations and errors are as in
    `point_navigation`.

    Example:
        >>> env = semi_circle()
        >>> goal, up = jnp.array([0.0, 1.0]), jnp.array([0.0, 1.0])
        >>> state, _ = env.reset(jax.random.key(0), goal)
        >>> rewards = []
        >>> for _ in range(9):
        ...     state, step = env.step(jax.random.key(1), state, up, goal)
        ...     rewards.append(round(step.reward.item(), 3))
        >>> rewards[5:]
        [0.0, 0.0, 0.8, 0.9]

    Source: Rakelly et al. 2019, Efficient Off-Policy Meta-Reinforcement Learning (PEARL), section 6.3, with the steps
    of `point_navigation`. https://arxiv.org/abs/1903.08254
    """
    check_counts(horizon=horizon)

    def sample_task(key: Array) -> Array:
        angle = jax.random.uniform(key, (), jnp.float32, 0.0, jnp.pi)
        return jnp.stack([jnp.cos(angle), jnp.sin(angle)])

    def step(key: Array, state: PointState, action: Array, task: Array) -> tuple[PointState, Step]:
        position, time = after = _moved(state, action)
        distance = jnp.sqrt(jnp.maximum(jnp.sum(jnp.square(position - task)), 1e-12))
        reward = jnp.where(distance <= NEAR, 1 - distance, 0)
        return after, Step(position, reward, time >= horizon)

    return Env(sample_task, _at_origin, step, Box(2, -SPEED, SPEED), 2, horizon, (0.0, 1.0))
