"""Whether an environment is what it says: its functions traced, so that none of them runs."""

import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jmeta.rl.checks import returned
from jmeta.rl.envs.actions import action_like
from jmeta.rl.types import Box, Discrete, Env, Step


def checked(env: Env) -> Env:
    """The same environment, checked: that its functions fit together, before a program is built on them.

    Raises:
        ValueError: if a function cannot be traced, returns something of another form, shape or dtype than `Env` says,
            or a step changes the form of the state; or if a number of `env` is not possible.

    Example:
        >>> from jmeta.rl.envs import bernoulli_bandit
        >>> env = checked(bernoulli_bandit(arms=2, pulls=3))
        >>> checked(env._replace(observation_size=4))
        Traceback (most recent call last):
        ValueError: the observation of reset must be float32 [4], since observation_size is 4, got float32 [0]
    """
    _check_numbers(env)
    key = jax.random.key(0)
    task = _trace("sample_task(key)", env.sample_task, key)
    state, observation = returned("reset(key, task)", "(state, observation)", _trace("reset", env.reset, key, task))
    size = env.observation_size
    _check_array("the observation of reset", observation, (size,), jnp.float32, f"observation_size is {size}")
    action = action_like(env)
    after, step = returned("step", "(state, Step)", _trace("step", env.step, key, state, action, task))
    if not isinstance(step, Step):
        raise ValueError(f"step must return (state, Step), got a {type(step).__name__} in place of the Step")
    _check_array("the observation of step", step.observation, (size,), jnp.float32, f"observation_size is {size}")
    _check_array("the reward of step", step.reward, (), jnp.float32, "it is of one step")
    _check_array("done of step", step.done, (), jnp.bool_, "it is of one step")
    _check_array("truncated of step", step.truncated, (), jnp.bool_, "it is of one step")
    if _form(after) != _form(state):
        raise ValueError(f"step must return a state of the form that reset gives, {_form(state)}, got {_form(after)}")
    return env


def _check_numbers(env: Env) -> None:
    for name, value, least in (("horizon", env.horizon, 1), ("observation_size", env.observation_size, 0)):
        if not _whole(value, least):
            raise ValueError(f"{name} must be an integer, {least} or more, got {value!r}")
    action, (low, high) = env.action, env.reward_range
    if not isinstance(action, Discrete | Box):
        raise ValueError(f"action must be Discrete or Box, got {action!r}")
    if isinstance(action, Discrete) and not _whole(action.n, 1):
        raise ValueError(f"Discrete must have 1 action or more, got {action.n!r}")
    if isinstance(action, Box) and not (_whole(action.size, 1) and _in_order(action)):
        raise ValueError(f"Box must have a size of 1 or more and low below high, got {action}")
    if not low <= high:
        raise ValueError(f"reward_range must be (least, largest), got {env.reward_range}")


def _in_order(box: Box) -> bool:
    return all(np.shape(bound) in ((), (box.size,)) for bound in box[1:]) and bool(np.all(np.less(*box[1:])))


def _whole(value: Any, least: int) -> bool:
    try:
        return operator.index(value) >= least
    except TypeError:
        return False


def _trace(name: str, function: Callable[..., Any], *args: Any) -> Any:
    try:
        return jax.eval_shape(function, *args)
    except Exception as error:
        first = next(iter(str(error).strip().splitlines()), "")
        raise ValueError(f"{name} cannot be traced: {type(error).__name__}: {first}") from error


def _check_array(name: str, value: Any, shape: tuple[int, ...], dtype: Any, why: str) -> None:
    wanted = f"{name} must be {jnp.dtype(dtype).name} {list(shape)}, since {why}, got"
    if not hasattr(value, "shape"):
        raise ValueError(f"{wanted} a {type(value).__name__}")
    if value.shape != shape or value.dtype != dtype:
        raise ValueError(f"{wanted} {value.dtype} {list(value.shape)}")


def _form(tree: Any) -> str:
    return str(jax.tree.map(lambda leaf: f"{leaf.dtype}{list(leaf.shape)}", tree)).replace("'", "")
