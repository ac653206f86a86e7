"""Environments in plain Python, as those of Gymnasium, called from compiled programs."""

import itertools
import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.custom_batching import custom_vmap
from jax.experimental import io_callback

from jmeta.rl.checks import check_counts, kind_of, returned
from jmeta.rl.envs.actions import action_of, bounds, choices_of
from jmeta.rl.envs.observations import kinds_of, parts_of
from jmeta.rl.types import Box, Discrete, Env, Step


class PythonState(NamedTuple):
    """Which Python environment it is, how many steps it has taken, int32 `[]`, and whether it is done, bool `[]`."""

    number: Array
    time: Array
    done: Array


def from_gymnasium(
    make: Callable[[Any], Any],
    *,
    horizon: int | None = None,
    sample_task: Callable[[Array], Any] | None = None,
    action: Discrete | Box | None = None,
    reward_range: tuple[float, float] = (-math.inf, math.inf),
    most_open: int = 4096,
) -> Env:
    """Any environment with the two methods of Gymnasium, called on the host from within a compiled program.

        env = make(task)
        observation, info = env.reset(seed=seed)
        observation, reward, terminated, truncated, info = env.step(action)

    An environment is made at each `reset`, for one episode, and closed when it is done. They step one after the other,
    as slow as Python is, and are not pure: a state can be stepped once only, which is checked, and no derivative can be
    taken. One environment is made, reset and stepped once at the start, to see what it returns. A state is a
    `PythonState`, an observation all numbers that the environment returns in one row: one-hot where
    `env.observation_space` is discrete, the parts one after another where it is a Dict or a Tuple. Each combination of
    a MultiDiscrete is an action. An episode that `horizon` or the environment itself cuts is `truncated`.

    Args:
        make: `task -> environment`, with arrays of NumPy in the task.
        horizon: the most steps of an episode, 1 or more; None for what `env.spec.max_episode_steps` says.
        sample_task: `key -> task`, a pytree of arrays in JAX; None for a seed, int32 `[]`.
        action: None for what `env.action_space` says, which then has to be there.
        reward_range: see `Env`; a reward outside is an error.
        most_open: environments that are kept at most, no fewer than the episodes that run side by side; those of
            episodes that were never finished are closed when there are more.

    Raises:
        ValueError: if a number is not possible, or the environment returns something of another form. What goes wrong
            later is raised by JAX, with the same sentence in its message.

    Example:
        >>> import numpy as np
        >>> class Walk:
        ...     def reset(self, seed=None):
        ...         self.place = 0
        ...         return np.zeros(1), {}
        ...     def step(self, action):
        ...         self.place += 2 * action - 1
        ...         return np.full(1, self.place), float(self.place), abs(self.place) == 3, False, {}
        >>> env = from_gymnasium(lambda seed: Walk(), horizon=10, action=Discrete(2))
        >>> state, observation = env.reset(jax.random.key(0), env.sample_task(jax.random.key(1)))
        >>> state, step = env.step(jax.random.key(2), state, jnp.int32(1), 0)
        >>> step.observation.tolist(), step.reward.item(), step.done.item()
        ([1.0], 1.0, False)

    Source: Towers et al. 2024, Gymnasium. https://arxiv.org/abs/2407.17032
    """
    check_counts(most_open=most_open, **({} if horizon is None else {"horizon": horizon}))

    seed_of = lambda key: jax.random.randint(key, (), 0, 2**31 - 1, jnp.int32)
    sample = seed_of if sample_task is None else sample_task
    host = _Host(make, reward_range, most_open)
    host.look(jax.tree.map(np.asarray, sample(jax.random.key(0))), action, horizon)
    seen = jax.ShapeDtypeStruct((host.size,), jnp.float32)
    number, scalar, truth = (jax.ShapeDtypeStruct((), dtype) for dtype in (jnp.int32, jnp.float32, jnp.bool_))

    begin, go_on = _on_host(host.reset, (number, seen)), _on_host(host.step, (number, seen, scalar, truth, truth))

    def reset(key: Array, task: Any) -> tuple[PythonState, Array]:
        which, observation = begin(seed_of(key), task)
        return PythonState(which, jnp.int32(0), jnp.bool_(False)), observation

    def step(key: Array, state: PythonState, taken: Array, task: Any) -> tuple[PythonState, Step]:
        time, *told = go_on(*state, taken)
        return PythonState(state.number, time, told[2]), Step(*told)

    return Env(sample, reset, step, host.action, host.size, host.horizon, reward_range)


def _on_host(function: Callable[..., Any], returns: Any) -> Callable[..., Any]:
    """A function of the host within a compiled program, in one call for all rows of a `vmap`: a call costs more than a
    step of most environments.

    Calls need no order of their own, with which they could not be under `vmap`: a step takes what the one before it
    returned.
    """

    @custom_vmap
    def call(*args: Any) -> Any:
        return io_callback(function, returns, *args)

    @call.def_vmap
    def _(size: int, batched: Any, *args: Any) -> tuple[Any, Any]:
        whole = lambda a, has: a if has else jnp.broadcast_to(a, (size, *jnp.shape(a)))
        rows = jax.tree.map(lambda a: jax.ShapeDtypeStruct((size, *a.shape), a.dtype), returns)

        def each(*args: Any) -> Any:
            args = jax.tree.map(np.asarray, args)
            found = [function(*jax.tree.map(lambda a, i=i: a[i], args)) for i in range(size)]
            return jax.tree.map(lambda *a: np.stack(a), *found)

        return _on_host(each, rows)(*jax.tree.map(whole, args, tuple(batched))), jax.tree.map(lambda _: True, returns)

    return call


class _Host:
    """The environments that are open, by number."""

    action: Discrete | Box
    size: int
    horizon: int

    def __init__(self, make: Callable[[Any], Any], reward_range: tuple[float, float], most: int) -> None:
        self.make, self.reward_range, self.most_open = make, reward_range, most
        self.open: OrderedDict[int, tuple[Any, int]] = OrderedDict()
        self.numbers, self.lock = itertools.count(), threading.Lock()

    def look(self, task: Any, action: Discrete | Box | None, horizon: int | None) -> None:
        """Learn the sizes of actions and observations from one environment, which is closed again."""
        env = self.make(task)
        for name in ("reset", "step"):
            if not callable(getattr(env, name, None)):
                raise ValueError(f"make must return an environment with reset and step, got a {type(env).__name__}")
        limit = getattr(getattr(env, "spec", None), "max_episode_steps", None) if horizon is None else horizon
        if limit is None:
            kind = type(getattr(env, "unwrapped", env)).__name__
            raise ValueError(f"{kind} has no spec.max_episode_steps: give from_gymnasium its horizon")
        self.horizon = limit
        space = getattr(env, "action_space", None)
        if action is None and space is None:
            raise ValueError(f"{type(env).__name__} has no action_space: give from_gymnasium its action")
        self.action = action_of(space) if action is None else action
        space, self.observed = space if action is None else None, getattr(env, "observation_space", None)
        self.first, self.shape = np.asarray(getattr(space, "start", 0)), getattr(space, "shape", None)
        self.choices = choices_of(space)
        self.size = -1
        self.size = len(self.started(env, 0))
        self.stepped(env, np.zeros(() if isinstance(self.action, Discrete) else (self.action.size,), np.float32))
        _close(env)

    def reset(self, seed: Any, task: Any) -> tuple[Any, ...]:
        env = self.make(jax.tree.map(np.asarray, task))
        observation = self.started(env, int(seed))
        with self.lock:
            number = next(self.numbers) % 2**31
            self.open[number] = env, 0
            gone = self.open.popitem(last=False)[1][0] if len(self.open) > self.most_open else None
        if gone is not None:
            _close(gone)
        return np.int32(number), observation

    def step(self, number: Any, time: Any, done: Any, action: Any) -> tuple[Any, ...]:
        number, time = int(number), int(time)
        if done:
            return np.int32(time), np.zeros(self.size, np.float32), np.float32(0), np.bool_(True), np.bool_(False)
        with self.lock:
            env, so_far = self.open.get(number, (None, 0))
        if env is None:
            raise ValueError(
                f"an environment was stepped whose episode was over, or which made place for others: more than "
                f"most_open={self.most_open} ran side by side, or a state was stepped twice"
            )
        if so_far != time:
            raise ValueError(
                f"a state of a Python environment can be stepped once only: it was after {time} steps, and the "
                f"environment has taken {so_far}"
            )
        observation, reward, ends, cut = self.stepped(env, np.asarray(action))
        over = ends or cut or time + 1 >= self.horizon
        with self.lock:
            self.open[number] = env, time + 1
            self.open.move_to_end(number)
            if over:
                del self.open[number]
        if over:
            _close(env)
        return np.int32(time + 1), observation, np.float32(reward), np.bool_(over), np.bool_(over and not ends)

    def started(self, env: Any, seed: int) -> np.ndarray:
        return self.row("reset", returned("reset(seed=)", "(observation, info)", env.reset(seed=seed))[0])

    def stepped(self, env: Any, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool]:
        if self.choices is not None:
            value = np.reshape(np.unravel_index(int(action), self.choices.ravel()), self.choices.shape) + self.first
        elif isinstance(self.action, Discrete):
            value = int(action) + int(self.first)
        else:
            low, high = (bound.astype(np.float32) for bound in bounds(self.action))
            value = np.clip(action.astype(np.float32), low, high)
            value = value if self.shape is None else value.reshape(self.shape)
        form = "(observation, reward, terminated, truncated, info)"
        observation, reward, terminated, truncated, _ = returned("step(action)", form, env.step(value))
        if np.size(reward) != 1:
            raise ValueError(f"the reward of step must be one number, got shape {list(np.shape(reward))}")
        reward = float(np.reshape(reward, ()))
        if not math.isfinite(reward):
            raise ValueError(f"the reward of step must be finite, got {reward} for action {value}")
        low, high = self.reward_range
        if not low <= reward <= high:
            raise ValueError(f"the reward of step must be within reward_range {self.reward_range}, got {reward}")
        return self.row("step", observation), reward, bool(terminated), bool(truncated)

    def row(self, name: str, observation: Any) -> np.ndarray:
        try:
            row = np.concatenate([_numbers(*part) for part in parts_of(self.observed, observation)])
        except (TypeError, ValueError, LookupError):
            wanted = "an array of numbers" if self.observed is None else self.observed
            raise ValueError(
                f"the observation of {name} must be {wanted}, got {kind_of(observation)}: flatten it first"
            ) from None
        if self.size >= 0 and len(row) != self.size:
            raise ValueError(f"the observation of {name} must have {self.size} numbers as at first, got {len(row)}")
        if not np.isfinite(row).all():
            raise ValueError(f"the observation of {name} must be finite, got {row}")
        return row


def _numbers(space: Any, value: Any) -> np.ndarray:
    kinds = kinds_of(space)
    if kinds is None:
        return np.asarray(value, np.float32).ravel()
    if int(value) not in kinds:
        raise ValueError
    return (kinds == int(value)).astype(np.float32)


def _close(env: Any) -> None:
    if callable(getattr(env, "close", None)):
        env.close()
