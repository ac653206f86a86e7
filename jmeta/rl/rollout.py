"""Acting: what a policy meets in an environment, as one scan."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from jmeta.rl.distributions import distribution_of
from jmeta.rl.policies.policy import Decision, Policy
from jmeta.rl.types import Env, Task
from jmeta.types import Params

See = Callable[[Array, Array, Array, Array], Array]
"""`(observation [D], encoded last action [E], last reward [], last done []) -> inputs` of a policy."""


class Cut(NamedTuple):
    """The state at which a limit of time cut the last episode; all 0 where it came to an end of its own."""

    at: Array  # `[steps]`, 1 for the action that led there
    inputs: Array  # `[D]`, what the policy would have seen there
    value: Array  # `[]`, the return that it expected from there


class Trajectory(NamedTuple):
    """What happened, with a leading axis of steps."""

    inputs: Array  # `[steps, D]`, what the policy saw
    action: Array  # `[steps, ...]`, what it did
    decision: Decision  # what it made of its inputs
    log_prob: Array  # `[steps]`, of the action
    reward: Array  # `[steps]`, for the action
    done: Array  # `[steps]`, whether the action ended an episode
    weight: Array  # `[steps]`, 0 for steps after the last episode is over, else 1
    cut: Cut | None = None  # None for an environment that never cuts an episode


def see_observation(observation: Array, action: Array, reward: Array, done: Array) -> Array:
    """The observation alone, for policies that learn in other ways than by memory."""
    return observation


def see_all(observation: Array, action: Array, reward: Array, done: Array) -> Array:
    """The observation, the last action, its reward, and whether it ended an episode, as RL^2 is shown them."""
    return jnp.concatenate([observation, action, reward[None], done[None]])


def inputs_size(env: Env, see: See) -> int:
    """How many numbers a policy is shown at a step."""
    shapes = ((env.observation_size,), (distribution_of(env.action).size,), (), ())
    return jax.eval_shape(see, *(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes)).shape[0]


def rollout(
    env: Env,
    policy: Policy,
    params: Params,
    key: Array,
    task: Task,
    *,
    episodes: int = 1,
    see: See = see_observation,
    tell: Callable[[Array], Array] = lambda reward: reward,
) -> Trajectory:
    """Act in one task for some episodes, one after another, with the policy's memory kept from one to the next.

    `see` is what the policy is shown at a step, and `tell` what becomes of a reward first; before there is one, and
    always where the environment does not show its rewards, it is shown 0. The `Trajectory` has `episodes * env.horizon`
    steps; where episodes end before their horizon, what is left over at the end has weight 0. An episode that a limit
    of time cuts within a trial is followed by the next one, as the agent meets them; the last one is followed by
    nothing, which `Trajectory.cut` makes good.
    """
    distribution = distribution_of(env.action)

    def step(carry: Any, key: Array) -> tuple[Any, tuple[Trajectory, Array | None]]:
        state, seen, memory, over = carry
        act_key, step_key, reset_key = jax.random.split(key, 3)
        inputs = see(*seen)
        memory, decision = policy.step(params, memory, inputs)
        action = lax.stop_gradient(distribution.sample(act_key, decision.action))
        state, after = env.step(step_key, state, action, task)
        reset = env.reset(reset_key, task)
        choose = lambda new, old: jnp.where(after.done, new, old)
        state, observation = jax.tree.map(choose, reset, (state, after.observation))
        reward, done = after.reward.astype(jnp.float32), after.done.astype(jnp.float32)
        weight = (over < episodes).astype(jnp.float32)
        row = Trajectory(inputs, action, decision, distribution.log_prob(decision.action, action), reward, done, weight)
        last = None
        if after.truncated is not False:
            last = after.done & after.truncated & (over + 1 == episodes)
            observation, done = jnp.where(last, after.observation, observation), jnp.where(last, 0, done)
        shown = tell(reward) if env.shows_reward else jnp.zeros_like(reward)
        seen = (observation, distribution.encode(action), shown, done)
        return (state, seen, memory, over + after.done.astype(jnp.int32)), (row, last)

    first_key, key = jax.random.split(key)
    state, observation = env.reset(first_key, task)
    seen = (observation, jnp.zeros((distribution.size,), jnp.float32), jnp.float32(0), jnp.float32(0))
    keys = jax.random.split(key, episodes * env.horizon)
    (_, seen, memory, _), (rows, last) = lax.scan(step, (state, seen, policy.start, jnp.int32(0)), keys)
    if last is None:
        return rows
    inputs = see(*seen)
    value = policy.step(params, memory, inputs)[1].value
    following = (jnp.concatenate([a[1:], b[None]]) for a, b in ((rows.inputs, inputs), (rows.decision.value, value)))
    inputs, value = (jnp.sum(jnp.where(_along(last, a), a, 0), axis=0) for a in following)
    return rows._replace(cut=Cut(last.astype(jnp.float32), inputs, value))


def _along(last: Array, a: Array) -> Array:
    return last.reshape(-1, *(1,) * (a.ndim - 1))


def total_reward(trajectory: Trajectory) -> Array:
    """The sum of rewards of all episodes, `[]`."""
    return jnp.sum(trajectory.reward * trajectory.weight)
