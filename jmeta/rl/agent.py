"""The form of a meta-reinforcement learner, and its training as one program."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax import Array

from jmeta import loop
from jmeta.experiment import TrainState
from jmeta.rl.rollout import Trajectory
from jmeta.rl.types import Task
from jmeta.types import Params


class RLMetrics(NamedTuple):
    """What an update saw, each `[]`."""

    returns: Array  # mean total reward of a trial; of MAML, of an episode after adaptation
    loss: Array  # of the last gradient step
    entropy: Array  # mean of the decisions, in nats
    kl: Array  # mean, of the new policy from the one that acted, in nats


class Agent(NamedTuple):
    """An algorithm: three pure functions.

    Attributes:
        init: `key -> TrainState`.
        update: `state -> (state, RLMetrics)`; it draws its own tasks by the state's key and step.
        test: `(params, key, task) -> [rounds]`, the total reward of each round of learning a new task: of each episode
            of a trial for RL^2, of an episode after each number of inner steps for MAML.
        show: `(params, key, task) -> Trajectory [rounds, steps]` of the test; the whole trial is one row for RL^2.
    """

    init: Callable[[Array], TrainState]
    update: Callable[[TrainState], tuple[TrainState, RLMetrics]]
    test: Callable[[Params, Array, Task], Array]
    show: Callable[[Params, Array, Task], Trajectory]


def make_run(agent: Agent) -> Callable[[TrainState, int], tuple[TrainState, RLMetrics]]:
    """Many updates as one compiled program: `run(state, num_updates) -> (state, RLMetrics [num_updates])`.

    A run that is cut into pieces anywhere gives the same bits. `vmap` over states trains several seeds in one program.
    """
    return loop.repeat(agent.update)


def update_keys(state: TrainState, n: int) -> Array:
    """Keys `[n]` of an update, by the run's key and the step alone, so that a run can be cut anywhere."""
    return jax.random.split(jax.random.fold_in(state.key, state.step), n)


def first_state(init: Callable[[Array], Params], outer: Callable[[Params], Any], key: Array) -> TrainState:
    """The state before the first update, with that of the outer rule; parameters and updates have keys of their own."""
    init_key, run_key = jax.random.split(key)
    params = init(init_key)
    return TrainState(params, outer(params), run_key, jax.numpy.int32(0))
