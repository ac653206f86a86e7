"""Losses of several tasks at once: one model and one batch, over which tasks are a `vmap`."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax

from jmeta.losses import LossFn, cross_entropy, mean_loss
from jmeta.mtl.types import Losses, MultiTaskModel
from jmeta.types import Batch, Params, filled, wide


def predictions(model: MultiTaskModel, params: Params, batch: Batch) -> Array:
    """Predictions `[T, N, k]` of all tasks.

    Args:
        model, params: of T tasks.
        batch: labels `[T, N, k]`, and inputs `[T, N, ...]`; or `[N, ...]` that all tasks have in common, where what the
            tasks share is computed once. Weights `[T, N]`, or `[N]` for all tasks, are 0 for rows that are not there:
            they have no part in normalization, nor in anything else, and their predictions mean nothing.
    """
    numbers, common, weight = jnp.arange(model.tasks, dtype=jnp.int32), has_common_inputs(batch), batch.weight
    x, each = wide(jnp.asarray(batch.x)), _weight_axis(batch)
    if common:
        x = filled(x, weight if weight is None or each is None else jnp.max(jnp.abs(weight), axis=0))
    else:
        x = jax.vmap(filled, in_axes=(0, each))(x, weight)
    return jax.vmap(model.apply, in_axes=(None, None if common else 0, 0, each))(params, x, numbers, weight)


def present_tasks(batch: Any) -> Array | None:
    """Which tasks `[T]` have rows in a batch as in `predictions`, of a weight that is not 0; None for all."""
    if not isinstance(batch, Batch) or batch.weight is None:
        return None
    return jnp.broadcast_to(jnp.any(batch.weight != 0, axis=-1), batch.y.shape[:1])


def shared_leaves(params: Params, shared: Callable[[Params], Params] | None) -> list[int]:
    """The numbers of the leaves that `shared`, any selection of them, takes, in its order; None for all."""
    leaves, structure = jax.tree.flatten(params)
    numbers = jax.tree.unflatten(structure, list(range(len(leaves))))
    return jax.tree.leaves(numbers if shared is None else shared(numbers))


def _weight_axis(batch: Batch) -> int | None:
    return 0 if batch.weight is not None and batch.weight.ndim == 2 else None


def has_common_inputs(batch: Batch) -> bool:
    """Whether all tasks have the same inputs `[N, ...]`, and not each its own `[T, N, ...]`."""
    tasks, n = batch.y.shape[:2]
    if batch.x.shape[:2] == (tasks, n):
        return False
    if batch.x.shape[:1] == (n,):
        return True
    raise ValueError(
        f"inputs must be [{tasks}, {n}, ...], or [{n}, ...] for all tasks, to go with labels {batch.y.shape}, "
        f"got {batch.x.shape}"
    )


def task_losses(model: MultiTaskModel, loss_fn: LossFn | Sequence[LossFn] = cross_entropy) -> Losses:
    """The losses of all tasks of a batch.

        L_i = weighted mean over n of loss_fn_i(model(params, x_in, i), y_in)

    Args:
        model: of T tasks.
        loss_fn: `(prediction [N, k], y [N, k]) -> [N]` for all tasks, or one for each, such as `cross_entropy` for
            classes, `binary_cross_entropy` for yes and no, and `squared_error` for numbers.

    Returns:
        `losses(params, batch) -> [T]`. The batch has a leading axis of tasks, as in `predictions`: `weight [T, N]` for
        tasks of fewer examples, and `classes [T, k]` for tasks of fewer classes or targets. The loss of a task without
        rows is 0, and so is its gradient.

    Raises:
        ValueError: if there is not a loss for each task, or, when it is called, if model and labels do not fit.
    """
    fns = [loss_fn] * model.tasks if callable(loss_fn) else list(loss_fn)
    if len(fns) != model.tasks:
        raise ValueError(f"there must be a loss for each of the {model.tasks} tasks, got {len(fns)}")
    kinds = list(dict.fromkeys(fns))
    which = jnp.asarray([kinds.index(fn) for fn in fns], jnp.int32)

    def one(prediction: Array, y: Array, weight: Array | None, classes: Array | None, kind: Array) -> Array:
        own = kinds[0] if len(kinds) == 1 else lambda prediction, y: lax.switch(kind, kinds, prediction, y)
        return mean_loss(prediction, Batch(prediction, y, weight, classes), own)

    def losses(params: Params, batch: Batch) -> Array:
        found = predictions(model, params, batch)
        if found.shape != batch.y.shape:
            raise ValueError(
                f"the model predicts {found.shape} where the labels are {batch.y.shape}: "
                "give it as many tasks and outputs"
            )
        axes = (0, 0, _weight_axis(batch), None if batch.classes is None else 0, 0)
        return jax.vmap(one, in_axes=axes)(found, batch.y, batch.weight, batch.classes, which)

    return losses


def binary_cross_entropy(logits: Array, y: Array) -> Array:
    """Cross-entropy `[N]` of the sigmoid of one logit, in nats.

        loss_n = -y_n log sigmoid(logit_n) - (1 - y_n) log(1 - sigmoid(logit_n))

    Of logits `[N, k]` and `y [N, k]` the first column counts, in which y is 0 or 1; others are padding.

    Example:
        >>> round(binary_cross_entropy(jnp.zeros((1, 1)), jnp.ones((1, 1))).item(), 4)  # log 2
        0.6931
    """
    return optax.sigmoid_binary_cross_entropy(logits[:, 0], y[:, 0])
