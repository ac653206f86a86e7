"""Environments of gymnax as families of tasks (Lange 2022)."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jmeta.rl.envs.actions import action_of, bounds, choices_of
from jmeta.rl.envs.observations import kinds_of, parts_of
from jmeta.rl.types import Box, Discrete, Env, Step


def from_gymnax(
    env: Any,
    params: Any,
    *,
    sample_params: Callable[[Array], Any] | None = None,
    reward_range: tuple[float, float] = (-math.inf, math.inf),
) -> Env:
    """An environment of gymnax 1.0 or newer; its parameters are the task.

    Some, such as its bandits, draw what would be the task at each reset. To keep it over episodes, let the key of the
    reset be the task, as in the example.

    A state is the environment's, and an observation all of its numbers in one row: one-hot where
    `env.observation_space` is Discrete, the parts one after another where it is a Dict or a Tuple. An episode is done
    where it is terminated or truncated.

    Args:
        env: what `gymnax.make` returns first: anything with its `reset_env`, `step_env`, `is_truncated` and spaces.
        params: what it returns second. `max_steps_in_episode` is the horizon.
        sample_params: `key -> params`, of the form of `params` and with the same horizon; None for `params` always.
        reward_range: see `Env`.

    Raises:
        ValueError: if the environment is of an older gymnax, or its actions are neither `Discrete` nor a `Box`.

    Example::

        made = from_gymnax(*gymnax.make("BernoulliBandit-misc"))
        fixed = made._replace(
            sample_task=lambda key: (made.sample_task(key), key),
            reset=lambda key, task: made.reset(task[1], task[0]),
            step=lambda key, state, action, task: made.step(key, state, action, task[0]),
        )

    Source: Lange 2022, gymnax. https://github.com/RobertTLange/gymnax
    """
    for name in ("reset_env", "step_env", "is_truncated"):
        if not hasattr(env, name):
            raise ValueError(f"from_gymnax needs an environment of gymnax 1.0 or newer, got one without {name}")
    space, start = env.action_space(params), jax.tree.map(jnp.asarray, params)
    if choices_of(space) is not None:
        raise ValueError(f"actions of several choices are not taken from gymnax, got {space!r}: combine them first")
    action = action_of(space)
    low, high = bounds(action) if isinstance(action, Box) else (0, 0)

    observed = env.observation_space(params) if hasattr(env, "observation_space") else None

    def row(observation: Any) -> Array:
        return jnp.concatenate([a for part in parts_of(observed, observation) for a in _numbers(*part)])

    def sample_task(key: Array) -> Any:
        return start if sample_params is None else jax.tree.map(jnp.asarray, sample_params(key))

    def reset(key: Array, task: Any) -> tuple[Any, Array]:
        observation, state = env.reset_env(key, task)
        return jax.tree.map(jnp.asarray, state), row(observation)

    def step(key: Array, state: Any, taken: Array, task: Any) -> tuple[Any, Step]:
        if not isinstance(action, Discrete):
            taken = jnp.reshape(jnp.clip(taken, *(jnp.asarray(b, taken.dtype) for b in (low, high))), space.shape)
        observation, after, reward, terminated, _ = env.step_env(key, state, taken, task)
        ends, cut = (jnp.asarray(a, bool).reshape(()) for a in (terminated, env.is_truncated(after, task)))
        # A clock that starts as 0 and becomes 1.0 would not fit into a loop.
        after = jax.tree.map(lambda new, old: jnp.asarray(new, old.dtype), after, state)
        return after, Step(row(observation), jnp.asarray(reward, jnp.float32).reshape(()), ends | cut, cut & ~ends)

    shape = jax.eval_shape(reset, jax.random.key(0), start)[1].shape
    return Env(sample_task, reset, step, action, shape[0], int(params.max_steps_in_episode), reward_range)


def _numbers(space: Any, value: Any) -> list[Array]:
    kinds = kinds_of(space)
    if kinds is not None:
        return [(jnp.asarray(kinds) == jnp.asarray(value)).astype(jnp.float32)]
    return [jnp.ravel(jnp.asarray(a)).astype(jnp.float32) for a in jax.tree.leaves(value)]
