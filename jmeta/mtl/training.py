"""The multi-task training step, and many of them as one compiled program."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.tree_util import Partial

from jmeta import loop, rules
from jmeta.mtl.aggregators.gram import gram, with_mean
from jmeta.mtl.tasks import present_tasks, shared_leaves
from jmeta.mtl.types import Aggregator, Losses, View, Weighting
from jmeta.mtl.weightings.rule import held
from jmeta.mtl.weightings.stateless import uniform
from jmeta.types import Params

Sample = Callable[[Array], Any]
"""`key -> batch`, or `key -> (batch, validation batch)` with `validation=True`."""


class MTLState(NamedTuple):
    """All that a run goes on from: `weighting` is the state of the weights, `step` `[]` counts the steps taken."""

    params: Params
    opt_state: optax.OptState
    weighting: Any
    key: Array
    step: Array


class MTLMetrics(NamedTuple):
    """The losses `[T]` before a step, and their weights `[T]`, which an aggregator's work on gradients is not in."""

    losses: Array
    weights: Array


def init_state(
    params: Params,
    optimizer: optax.GradientTransformation,
    key: Array,
    *,
    tasks: int,
    weighting: Weighting | None = None,
) -> MTLState:
    """The state before the first step.

    Args are those of `make_step`, the number of `tasks`, and the `key` of the run, which decides the batches and the
    numbers that weights and aggregators draw.
    """
    weighting = uniform() if weighting is None else weighting
    return MTLState(params, optimizer.init(params), weighting.init(tasks), key, jnp.int32(0))


def make_step(
    losses: Losses,
    optimizer: optax.GradientTransformation,
    *,
    weighting: Weighting | None = None,
    aggregate: Aggregator | None = None,
    shared: Callable[[Params], Params] | None = None,
    present: Callable[[Any], Array | None] = present_tasks,
) -> Callable[..., tuple[MTLState, MTLMetrics]]:
    """One step on the losses of several tasks.

        g_i   = gradient of w_i L_i(params),   w from the weighting
        g     = sum_i g_i, or aggregate(g_1 .. g_T)
        params <- the Optax rule's update along g

    Without an aggregator that is one backward pass, of the sum. With one, or where a weighting asks for the products of
    the gradients, each task has its own, in one `vmap`. A task without rows in a batch has no part in the step: its
    loss is 0, what the weighting knows of it stays as it is, and so do its own parameters, which a rule with a memory,
    or with weight decay, would move. That memory goes on as with gradients of 0.

    Args:
        losses: `(params, batch) -> [T]`.
        optimizer: any Optax rule.
        weighting: weights for the losses; None for `uniform()`, 1 / T each.
        aggregate: makes one gradient of T, such as `jmeta.mtl.pcgrad()`; None adds them.
        shared: `params -> params`, the part that tasks share, such as `model.shared`. Aggregators and products of
            gradients see that part alone, and the tasks' own parts, in which gradients cannot conflict, have the sum.
            Leaves of own parts `[T, ...]` have a row for each task. None for all.
        present: `batch -> [T]`, which tasks have rows in it, or None if all have; by the weights of a `jmeta.Batch`.

    Returns:
        `step(state, batch, validation=None) -> (state, MTLMetrics)`, which can be compiled. `validation` is a batch for
        weightings that look at other examples than those trained on.
    """
    weighting = uniform() if weighting is None else weighting
    shared = (lambda params: params) if shared is None else shared

    def step(state: MTLState, batch: Any, validation: Any = None) -> tuple[MTLState, MTLMetrics]:
        weigh_key, aggregate_key = jax.random.split(jax.random.fold_in(state.key, state.step))
        here = present(batch)

        def losses_at(params: Params) -> Array:
            found = losses(params, batch)
            return found if here is None else jnp.where(here, found, 0)

        values, pullback = jax.vjp(losses_at, state.params)

        def jacobian() -> Params:
            return jax.vmap(lambda row: pullback(row)[0])(jnp.eye(len(values), dtype=values.dtype))

        def validation_at(params: Params) -> Array:
            if validation is None:
                raise ValueError("these weights learn from other examples than the network: give the step such a batch")
            return losses(params, validation)

        view = View(
            weigh_key, state.step, state.params, values, lambda: gram(shared(jacobian())),
            losses_at, validation_at, here,
        )  # fmt: skip
        weights = weighting.weigh(state.weighting, view)
        if aggregate is None:
            grads = pullback(weights.astype(values.dtype))[0]
        else:
            rows = jax.tree.map(lambda g: g * _column(weights, g), jacobian())
            seen = shared(rows)
            if here is not None and getattr(aggregate, "of_hull", False):
                seen = with_mean(seen, here)
            grads = _with_shared(rows, aggregate(seen, aggregate_key), shared)
        weighted = lambda params: jnp.sum(weights.astype(values.dtype) * losses_at(params))
        params, opt_state = rules.move(optimizer, grads, state.opt_state, state.params, value_fn=weighted)
        if here is not None:
            params = _own_held(here, params, state.params, shared)
        learned = weighting.update(state.weighting, weights, view, params)
        learned = learned if here is None else held(here, learned, state.weighting)
        return MTLState(params, opt_state, learned, state.key, state.step + 1), MTLMetrics(values, weights)

    return step


def make_run(
    step: Callable[..., tuple[MTLState, MTLMetrics]], sample: Sample, *, validation: bool = False
) -> Callable[[MTLState, int], tuple[MTLState, MTLMetrics]]:
    """Many steps as one compiled program that draws its own batches.

    Args:
        step: of `make_step`.
        sample: `key -> batch`, pure; a `jax.tree_util.Partial` carries its data as arguments of the program.
        validation: whether `sample` gives a pair, of a batch and another for the weights to learn from.

    Returns:
        `run(state, num_steps) -> (state, MTLMetrics)`, with metrics `[num_steps, T]`. One program runs any number of
        steps, so that a run which is cut into pieces anywhere gives the same bits. It can be under `vmap` over states:
        several seeds in one program.
    """

    def update(sample: Sample, state: MTLState) -> tuple[MTLState, MTLMetrics]:
        drawn = sample(jax.random.fold_in(jax.random.fold_in(state.key, state.step), _DRAWING))
        return step(state, *drawn) if validation else step(state, drawn)

    return loop.repeat(Partial(update, loop.as_partial(sample)))


_DRAWING = 0xBA7C
"""Folded into a step's key for its batch, so that weights and aggregators draw other numbers."""


def _column(weights: Array, like: Array) -> Array:
    return weights.astype(like.dtype).reshape(-1, *(1,) * (like.ndim - 1))


def _with_shared(rows: Params, chosen: Params, shared: Callable[[Params], Params]) -> Params:
    """The sum of the rows, with the shared part of it replaced by what was chosen."""
    total = jax.tree.map(lambda g: jnp.sum(g, axis=0), rows)
    if jax.tree.structure(chosen) == jax.tree.structure(total):
        return chosen
    leaves, structure = jax.tree.flatten(total)
    for number, leaf in zip(shared_leaves(total, shared), jax.tree.leaves(chosen), strict=True):
        leaves[number] = leaf
    return jax.tree.unflatten(structure, leaves)


def _own_held(here: Array, new: Params, old: Params, shared: Callable[[Params], Params]) -> Params:
    """The new parameters, but the old ones of tasks that are not here `[T]`, of leaves that are not shared."""
    kept, (leaves, structure) = set(shared_leaves(new, shared)), jax.tree.flatten(new)
    pairs = enumerate(zip(leaves, jax.tree.leaves(old), strict=True))
    return jax.tree.unflatten(structure, [a if i in kept else held(here, a, b) for i, (a, b) in pairs])
