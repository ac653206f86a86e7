"""Random tabular MDPs with normal rewards (Duan et al. 2016)."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jmeta.rl.checks import check_counts
from jmeta.rl.types import Discrete, Env, Step


class MDP(NamedTuple):
    """A task, float32."""

    reward: Array  # mean of an action in a state, `[states, actions]`
    transition: Array  # probability of the next state, `[states, actions, states]`


class MDPState(NamedTuple):
    """Where an episode is: the state and the number of steps so far, int32 `[]`."""

    state: Array
    time: Array


def tabular_mdp(*, states: int = 10, actions: int = 5, horizon: int = 10) -> Env:
    """MDPs drawn at random, always started in state 0; an observation is the one-hot state, `[states]`.

        task    r(s, a) ~ N(1, 1),  P(. | s, a) ~ Dirichlet(1, ..., 1)
        reward  ~ N(r(s, a), 1),    s' ~ P(. | s, a)

    The reward is of the state that the action was taken in; the last of `horizon` steps is done. A task is an `MDP`, a
    state an `MDPState`.

    Raises:
        ValueError: if a number is below 1.

    Source: Duan et al. 2016, RL^2, section 3.2. https://arxiv.org/abs/1611.02779
    """
    check_counts(states=states, actions=actions, horizon=horizon)

    def sample_task(key: Array) -> MDP:
        of_reward, of_transition = jax.random.split(key)
        # Exponentials divided by their sum are a Dirichlet of ones. Drawn in one row, they compile many times as fast.
        weight = jax.random.exponential(of_transition, (states * actions * states,), jnp.float32)
        weight = jnp.reshape(weight, (states, actions, states))
        reward = jnp.float32(1) + jax.random.normal(of_reward, (states * actions,), jnp.float32)
        return MDP(jnp.reshape(reward, (states, actions)), weight / jnp.sum(weight, axis=-1, keepdims=True))

    def observe(state: Array) -> Array:
        return jax.nn.one_hot(state, states, dtype=jnp.float32)

    def reset(key: Array, task: MDP) -> tuple[MDPState, Array]:
        return MDPState(jnp.int32(0), jnp.int32(0)), observe(jnp.int32(0))

    def step(key: Array, state: MDPState, action: Array, task: MDP) -> tuple[MDPState, Step]:
        of_reward, of_state = jax.random.split(key)
        reward = task.reward[state.state, action] + jax.random.normal(of_reward, (), jnp.float32)
        after = draw(of_state, task.transition[state.state, action])
        time = state.time + jnp.int32(1)
        return MDPState(after, time), Step(observe(after), reward, time >= horizon)

    return Env(sample_task, reset, step, Discrete(actions), states, horizon, (-math.inf, math.inf))


def draw(key: Array, probabilities: Array) -> Array:
    """An index, int32 `[]`, drawn with `probabilities [N]`, from one uniform number."""
    below = jnp.cumsum(probabilities)
    # The sum may be off 1 by rounding: the number is drawn below it. It may round to it, so the last is the most.
    point = jax.random.uniform(key, (), probabilities.dtype) * below[-1]
    return jnp.minimum(jnp.sum(below <= point, dtype=jnp.int32), jnp.int32(len(probabilities) - 1))
