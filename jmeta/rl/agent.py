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
    """What an update saw, each `[]`.

    Attributes:
        returns: mean total reward of a trial; of MAML, of an episode after adaptation.
        loss: of the last gradient step.
        entropy: mean of the decisions, in nats.
        kl: mean, of the new policy from the one that acted, in nats.
    """

    returns: Array
    loss: Array
    entropy: Array
    kl: Array


class Agent(NamedTuple):
    """An algorithm: three pure functions.

    Attributes:
        init: `key -> TrainState`.
        update: `state -> (state, RLMetrics)`; it draws its own tasks by the state's key and step.
        test: `(params, key, task) -> [rounds]`, the total reward of each round of learning a new task: of each episode
            of a trial for RL^2, of an episode after each number of inner steps for MAML.
        show: `(params, key, task) -> Trajectory [rounds, steps]`, what the test looks like: one row of the whole trial
            for RL^2, an episode after each number of inner steps for MAML.
    """

    init: Callable[[Array], TrainState]
    update: Callable[[TrainState], tuple[TrainState, RLMetrics]]
    test: Callable[[Params, Array, Task], Array]
    show: Callable[[Params, Array, Task], Trajectory]


def make_run(agent: Agent) -> Callable[[TrainState, int], tuple[TrainState, RLMetrics]]:
    """Many updates as one compiled program: `run(state, num_updates) -> (state, RLMetrics [num_updates])`.

    One program runs any number of updates, so that a run which is cut into pieces anywhere gives the same bits. Under
    `vmap` over states it trains several seeds in one program.
    """
    return loop.repeat(agent.update)


def update_keys(state: TrainState, n: int) -> Array:
    """Keys `[n]` of an update, which depend on the run's key and the step alone, so that a run can be cut anywhere."""
    return jax.random.split(jax.random.fold_in(state.key, state.step), n)


def first_state(init: Callable[[Array], Params], outer: Callable[[Params], Any], key: Array) -> TrainState:
    """The state before the first update; parameters and updates have keys of their own.

    Args:
        init: `key -> params`.
        outer: `params -> ` the state of the outer rule.
        key: of the run.
    """
    init_key, run_key = jax.random.split(key)
    params = init(init_key)
    return TrainState(params, outer(params), run_key, jax.numpy.int32(0))
