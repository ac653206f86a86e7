"""A point that looks for a goal somewhere on a half circle, and is paid only near it (Rakelly et al. 2019)."""

import jax
import jax.numpy as jnp
from jax import Array

from jmeta.rl.envs.checks import check_count
from jmeta.rl.envs.point_navigation import SPEED, PointState, at_origin, moved
from jmeta.rl.types import Box, Env, Step

NEAR = 0.2
"""How far from the goal there is still a reward."""


def semi_circle(*, horizon: int = 60) -> Env:
    """Find a goal on the half circle of radius 1 above the origin; nothing is to be had until one is near it.

        task    goal = (cos a, sin a),  a ~ U(0, pi)
        move    x' = x + clip(action, -0.1, 0.1),  x_0 = (0, 0)
        reward  1 - |x' - goal| within 0.2 of the goal, otherwise 0
        done    after `horizon` steps

    An agent that knows the task goes there in ten steps or fewer; one that does not has to walk along the circle first,
    and may go straight there in the episodes that follow.

    Args:
        horizon: steps of an episode, 1 or more.

    Returns:
        An `Env`. A task is the goal, float32 `[2]`; a state is a `PointState`; an observation is the position, `[2]`.

    Raises:
        ValueError: if `horizon` is below 1.

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
    check_count("horizon", horizon)

    def sample_task(key: Array) -> Array:
        angle = jax.random.uniform(key, (), jnp.float32, 0.0, jnp.pi)
        return jnp.stack([jnp.cos(angle), jnp.sin(angle)])

    def step(key: Array, state: PointState, action: Array, task: Array) -> tuple[PointState, Step]:
        position, time = after = moved(state, action)
        distance = jnp.sqrt(jnp.maximum(jnp.sum(jnp.square(position - task)), 1e-12))
        reward = jnp.where(distance <= NEAR, 1 - distance, 0)
        return after, Step(position, reward, time >= horizon)

    return Env(sample_task, at_origin, step, Box(2, -SPEED, SPEED), 2, horizon, (0.0, 1.0))
