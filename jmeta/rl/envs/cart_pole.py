"""Cart-poles of many masses and lengths (Barto, Sutton and Anderson 1983)."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jmeta.rl.checks import check_counts, check_range
from jmeta.rl.types import Discrete, Env, Step

GRAVITY = 9.8
CART = 1.0  # mass, kg
FORCE = 10.0  # newtons, to the right or to the left
SECONDS = 0.02  # of a step
FARTHEST = 2.4  # meters from the middle at which an episode is over
STEEPEST = math.radians(12)  # angle from upright at which an episode is over


class Pole(NamedTuple):
    """A task: the pole's mass in kg and half of its length in meters, float32 `[]`."""

    mass: Array
    length: Array


class CartPoleState(NamedTuple):
    """Where an episode is: what is observed, float32 `[4]`, and the number of steps so far, int32 `[]`."""

    motion: Array
    time: Array


def cart_pole(
    *, horizon: int = 200, mass: tuple[float, float] = (0.05, 0.5), length: tuple[float, float] = (0.25, 1.0)
) -> Env:
    """Keep a pole upright on a cart that is pushed to the left (0) or to the right (1); the pole is the task.

        task    m ~ U(mass), the pole's in kg;  l ~ U(length), half of its length in meters
        start   x, x', a, a' ~ U(-0.05, 0.05),  place and angle and how fast they change
        push    f  = 10 or -10,  q = (f + m l a'^2 sin a) / (1 + m)
                a'' = (9.8 sin a - q cos a) / (l (4/3 - m cos^2 a / (1 + m)))
                x'' = q - m l a'' cos a / (1 + m)
        move    each of x, x', a, a' by 0.02 s of its derivative before the step
        reward  1
        done    |x| > 2.4, |a| > 12 degrees, or after `horizon` steps

    A task is a `Pole`, a state a `CartPoleState`, and an observation `(x, x', a, a')`, `[4]`. With `horizon=500,
    mass=(0.1, 0.1), length=(0.5, 0.5)` every task is the CartPole-v1 of Gymnasium.

    Raises:
        ValueError: if `horizon` is below 1, or a range is empty or not above 0.

    Example:
        >>> env = cart_pole()
        >>> task = Pole(jnp.float32(0.1), jnp.float32(0.5))
        >>> state = CartPoleState(jnp.zeros(4), jnp.int32(0))
        >>> _, step = env.step(jax.random.key(0), state, jnp.int32(1), task)
        >>> step.observation.round(4).tolist() == jnp.array([0.0, 0.1951, 0.0, -0.2927]).tolist()
        True

    Source: Barto, Sutton and Anderson 1983, Neuronlike Adaptive Elements That Can Solve Difficult Learning Control
    Problems, https://doi.org/10.1109/TSMC.1983.6313077, without friction and with the constants of Gymnasium's
    CartPole-v1; the ranges of the tasks are ours.
    """
    check_counts(horizon=horizon)
    check_range("mass", mass)
    check_range("length", length)

    def sample_task(key: Array) -> Pole:
        of_mass, of_length = jax.random.split(key)
        return Pole(
            jax.random.uniform(of_mass, (), jnp.float32, *mass),
            jax.random.uniform(of_length, (), jnp.float32, *length),
        )

    def reset(key: Array, task: Pole) -> tuple[CartPoleState, Array]:
        motion = jax.random.uniform(key, (4,), jnp.float32, -0.05, 0.05)
        return CartPoleState(motion, jnp.int32(0)), motion

    def step(key: Array, state: CartPoleState, action: Array, task: Pole) -> tuple[CartPoleState, Step]:
        _, speed, angle, turn = state.motion
        sin, cos = jnp.sin(angle), jnp.cos(angle)
        share = task.mass / (CART + task.mass)
        force = jnp.where(action == 1, jnp.float32(FORCE), jnp.float32(-FORCE)) / (CART + task.mass)
        push = force + share * task.length * jnp.square(turn) * sin
        turning = (GRAVITY * sin - push * cos) / (task.length * (4 / 3 - share * jnp.square(cos)))
        speeding = push - share * task.length * turning * cos
        motion = state.motion + SECONDS * jnp.stack([speed, speeding, turn, turning])
        time = state.time + jnp.int32(1)
        fallen = (jnp.abs(motion[0]) > FARTHEST) | (jnp.abs(motion[2]) > STEEPEST)
        return CartPoleState(motion, time), Step(motion, jnp.float32(1), fallen | (time >= horizon))

    return Env(sample_task, reset, step, Discrete(2), 4, horizon, (1.0, 1.0))
