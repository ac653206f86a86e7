"""The form of a learner that sees one batch after another, and what the learners in it have in common."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jmeta import calls, rules
from jmeta.checks import check_above_zero
from jmeta.losses import LossFn, query_loss
from jmeta.types import Batch, Metrics, Model, Params, examples


class Online(NamedTuple):
    """A learner of a sequence of tasks that it meets once: four pure functions on one sequence.

    All of them can be compiled, and are under `vmap` over seeds as they are.

    Attributes:
        init: `(key, x, y) -> state`, with x and y of one batch, for their shapes alone. The state is a tree of arrays
            of fixed sizes with `params` in it, and where there is a memory, that is a part of it.
        step: `(state, batch) -> (state, Metrics)`, one batch `[N, ...]` of what is learned now. The metrics are those
            of its examples before the step. Rows of weight 0 are not there.
        finish: `(state, batch) -> state`, told once at the end of a task with examples of it. Only learners that have
            to know where tasks end make something of it, see `ewc`.
        predict: `(state, x) -> logits [N, way]`.
    """

    init: Callable[[Array, Any, Array], Any]
    step: Callable[[Any, Batch], tuple[Any, Metrics]]
    finish: Callable[[Any, Batch], Any]
    predict: Callable[[Any, Any], Array]


Judged = Callable[[Params, Batch], tuple[Array, Metrics]]
"""`(params, batch) -> (mean loss [], Metrics)`."""


def online(
    model: Model,
    init: Callable[[Array, Any, Array], Any],
    step: Callable[[Any, Batch], tuple[Any, Metrics]],
    finish: Callable[[Any, Batch], Any] = lambda state, batch: state,
) -> Online:
    """An `Online` whose states have `params` of a model. A batch of weight 0 alone leaves the state as it is.

    The functions are compiled once for a shape where they are called by themselves.
    """

    def step_if_any(state: Any, batch: Batch) -> tuple[Any, Metrics]:
        if batch.classes is not None:
            raise ValueError("a memory keeps no classes beside its examples: leave them out in the model, as `masked`")
        moved, metrics = step(state, batch)
        return _kept_without_rows(batch, moved, state), metrics

    def finish_if_any(state: Any, batch: Batch) -> Any:
        return _kept_without_rows(batch, finish(state, batch), state)

    def predict(state: Any, x: Any) -> Array:
        one = jax.tree.leaves(x)[0]
        return calls.apply(model, state.params, examples(Batch(x, jnp.zeros((len(one), 2)))).x)

    return Online(*(jax.jit(f, inline=True) for f in (init, step_if_any, finish_if_any, predict)))


def _kept_without_rows(batch: Batch, moved: Any, state: Any) -> Any:
    if batch.weight is None:
        return moved
    some = jnp.any(batch.weight != 0)
    return jax.tree.map(lambda new, old: jnp.where(some, new, old), moved, state)


def judged(model: Model, loss_fn: LossFn) -> Judged:
    """The mean loss of a batch and its metrics, as a function of the parameters."""

    def loss(params: Params, batch: Batch) -> tuple[Array, Metrics]:
        batch = examples(batch)
        return query_loss(calls.apply(model, params, batch.x, batch.weight), batch, loss_fn)

    return loss


def weights_of(batch: Batch) -> Array:
    """`[N]`, ones where a batch has no weights."""
    return jnp.ones(len(batch.y)) if batch.weight is None else jnp.asarray(batch.weight, float)


def weighed(batch: Batch) -> Batch:
    """The batch as `x`, `y` and weights, of which sets of rows can be put together."""
    return Batch(jax.tree.map(jnp.asarray, batch.x), jnp.asarray(batch.y), weights_of(batch))


def together(*batches: Batch) -> Batch:
    """Batches one after another as one."""
    return jax.tree.map(lambda *parts: jnp.concatenate(parts), *map(weighed, batches))


def moved(
    optimizer: optax.GradientTransformation, loss: Callable[[Params], Any], params: Params, opt_state: Any
) -> tuple[Params, Any]:
    """Parameters and the rule's state after a step of any Optax rule on a loss `params -> []`."""
    grads = jax.grad(loss)(params)
    return rules.move(optimizer, grads, opt_state, params, value_fn=loss)


def descended(params: Params, grads: Params, lr: Any) -> Params:
    """`params - lr * grads`."""
    return jax.tree.map(lambda p, g: p - jnp.asarray(lr, p.dtype) * g, params, grads)


def between(start: Params, end: Params, share: Any) -> Params:
    """`start + share * (end - start)`, the step of Reptile."""
    return jax.tree.map(lambda a, b: a + jnp.asarray(share, a.dtype) * (b - a), start, end)


def check_memory(memory_size: int, replay_size: int) -> None:
    """ValueError for a memory that holds nothing or gives nothing back."""
    advice = "give 1 or more, or take sgd, which has no memory"
    for name, size in (("memory_size", memory_size), ("replay_size", replay_size)):
        if not hasattr(size, "__index__") or size < 1:
            raise ValueError(f"{name} must be a whole number of 1 or more, got {size!r}: {advice}")


check_rate = partial(check_above_zero, purpose="for anything to be learned")
