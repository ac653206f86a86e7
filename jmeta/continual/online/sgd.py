"""Gradient steps on whatever comes: what forgets, and what others are compared with."""

from typing import Any, NamedTuple

import optax
from jax import Array

from jmeta.continual.online.types import Online, judged, moved, online
from jmeta.losses import LossFn, cross_entropy
from jmeta.types import Batch, Metrics, Model, Params, examples


class SGDState(NamedTuple):
    """Parameters, and what the Optax rule keeps."""

    params: Params
    opt_state: Any


def sgd(model: Model, *, optimizer: optax.GradientTransformation, loss_fn: LossFn = cross_entropy) -> Online:
    """A step of any Optax rule on each batch, and nothing against forgetting; an `Online`.

        params <- params + update(grad L_batch(params))

    Args:
        model: anything with `init(key, x)` and `apply(params, x)`.
        optimizer: any Optax rule, which goes on from task to task.
        loss_fn: `(prediction [N, k], y [N, k]) -> [N]`.

    Its row in tables of continual learning is "none" or "fine-tuning", and "joint" where batches are of all tasks.
    """
    loss = judged(model, loss_fn)

    def init(key: Array, x: Any, y: Array) -> SGDState:
        params = model.init(key, examples(Batch(x, y)).x)
        return SGDState(params, optimizer.init(params))

    def step(state: SGDState, batch: Batch) -> tuple[SGDState, Metrics]:
        metrics = loss(state.params, batch)[1]
        params, opt_state = moved(optimizer, lambda p: loss(p, batch)[0], state.params, state.opt_state)
        return SGDState(params, opt_state), metrics

    return online(model, init, step)
