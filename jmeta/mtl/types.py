"""The types of multi-task learning: a model of several tasks, weights for their losses, a rule for their gradients."""

from collections.abc import Callable
from typing import Any, NamedTuple

from jax import Array

from jmeta.types import Params

Losses = Callable[[Params, Any], Array]
"""`(params, batch) -> [T]`, the loss of each of T tasks."""

Aggregator = Callable[..., Params]
"""`(jacobian, key=None) -> gradient`. The Jacobian is any pytree whose leaves `[T, ...]` are the gradients of T tasks,
such as one array `[T, P]`; the gradient has the same leaves without their first axis. `key` is for those that draw
numbers."""


class MultiTaskModel(NamedTuple):
    """A model of T tasks, written for one of them.

    Attributes:
        init: `(key, x) -> params`, with `x [N, ...]` the inputs of any one task.
        apply: `(params, x, task, weight=None) -> [N, k]`, with `task` its number `[]`, an int32 that may be traced, and
            `weight [N]`, 0 for padding. Under `vmap` over tasks alone, with inputs that all tasks have in common, what
            the tasks share is computed once.
        shared: `params -> params`, the part that all tasks share.
        tasks: T.
    """

    init: Callable[[Array, Array], Params]
    apply: Callable[..., Array]
    shared: Callable[[Params], Params]
    tasks: int


class View(NamedTuple):
    """What a weighting may ask of a step of training. What is a function costs only where it is called.

    Attributes:
        key: of this step, for those that draw numbers.
        step: `[]`, int32, from 0.
        params: the parameters before the step.
        losses: `[T]`, the tasks' losses there.
        gram: `() -> [T, T]`, the products of the gradients of the losses in the shared parameters.
        losses_at: `params -> [T]`, the losses of the same batch elsewhere.
        validation_at: `params -> [T]`, the losses of a batch of other examples.
        present: `[T]`, which tasks have rows in the batch, whose losses are 0 where they have none; None for all.
    """

    key: Array
    step: Array
    params: Params
    losses: Array
    gram: Callable[[], Array]
    losses_at: Callable[[Params], Array]
    validation_at: Callable[[Params], Array]
    present: Array | None = None


class Weighting(NamedTuple):
    """Weights for the tasks' losses, which may be learned along the way: three pure functions.

    Attributes:
        init: `tasks -> state`, whose leaves `[T, ...]` have a row for each task: that of a task without rows in a batch
            stays as it is.
        weigh: `(state, view) -> weights [T]`, in the step that is about to be taken.
        update: `(state, weights, view, params) -> state`, with `params` as they are after the step.
    """

    init: Callable[[int], Any]
    weigh: Callable[[Any, View], Array]
    update: Callable[[Any, Array, View, Params], Any]
