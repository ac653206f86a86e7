"""The types of meta-reinforcement learning: an environment as pure functions, whose task is an argument."""

from collections.abc import Callable
from typing import Any, NamedTuple

from jax import Array

Task = Any
"""Any pytree of arrays: what differs from task to task, such as the arms of a bandit. An agent does not see it."""

EnvState = Any
"""Any pytree of arrays: where an episode is."""


class Discrete(NamedTuple):
    """Actions 0 to n - 1, int32 `[]`."""

    n: int


class Box(NamedTuple):
    """Actions of real numbers, float32 `[size]`; environments clip them to `low` and `high`, of all or of each."""

    size: int
    low: float | tuple[float, ...]
    high: float | tuple[float, ...]


class Step(NamedTuple):
    """What an agent gets for an action.

    Attributes:
        observation: float32 `[D]`, of the state that the action led to.
        reward: float32 `[]`.
        done: bool `[]`, whether the episode is over. What comes after is undefined until the next `reset`.
        truncated: bool `[]`, whether it is over by a limit of time alone: in truth it would go on, so that what the
            last observation is worth counts. An end that is part of the task, such as a bandit's last pull, is none.
    """

    observation: Array
    reward: Array
    done: Array
    truncated: Array | bool = False


class Env(NamedTuple):
    """A family of environments, one for each task: pure functions for one agent, which `vmap` makes many.

    Attributes:
        sample_task: `key -> task`.
        reset: `(key, task) -> (state, observation [D])`, the start of an episode.
        step: `(key, state, action, task) -> (state, Step)`.
        action: what actions are, `Discrete` or `Box`.
        observation_size: D; 0 where there is nothing to see.
        horizon: the most steps of an episode.
        reward_range: the least and the largest reward, infinite where there is no bound.
        shows_reward: whether an agent with a memory is shown its rewards; else 0 in their place.
    """

    sample_task: Callable[[Array], Task]
    reset: Callable[[Array, Task], tuple[EnvState, Array]]
    step: Callable[[Array, EnvState, Array, Task], tuple[EnvState, Step]]
    action: Discrete | Box
    observation_size: int
    horizon: int
    reward_range: tuple[float, float]
    shows_reward: bool = True
