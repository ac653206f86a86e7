"""Reptile: move the initialization toward the adapted parameters (Nichol et al. 2018)."""

from functools import partial

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax

from jmeta import calls, inner
from jmeta.checks import check_sizes
from jmeta.losses import LossFn, cross_entropy, loss_on, query_loss
from jmeta.types import Batch, Episode, Learner, Metrics, Model, Params, learner


def reptile(
    model: Model,
    *,
    inner_optimizer: optax.GradientTransformation,
    inner_steps: int,
    batch_size: int | None = None,
    loss_fn: LossFn = cross_entropy,
) -> Learner:
    """Reptile: no meta-gradient at all, only the way the parameters went.

        adapted = K steps of inner_optimizer on the support set, from params
        d loss / d params := params - adapted

    With `optax.sgd(epsilon)` outside, the outer step is the paper's params + epsilon * (adapted - params). The value of
    the loss is the query loss, for the log alone.

    Args:
        model, inner_steps, loss_fn: as in `maml`.
        inner_optimizer: an Optax rule; the paper's is Adam with b1 = 0.
        batch_size: examples of each inner step; None takes the whole support set. Step k takes the rows
            `k * batch_size ...` in the support set's order, beginning again after the last. A sampler of episodes puts
            one example of each class before the second of any, so these mini-batches are balanced. Padding is left out.

    Raises:
        ValueError: if `inner_steps` is negative or `batch_size` below 1.

    Differs from the paper: mini-batches go through the support set in order, where the authors' code shuffles it before
    each pass; and the inner optimizer starts afresh in each task, where theirs keeps its second moments.
    Source: Nichol et al. 2018, On First-Order Meta-Learning Algorithms, algorithm 2. https://arxiv.org/abs/1803.02999
    """
    inner.check_steps(inner_steps)
    if batch_size is not None:
        check_sizes(batch_size=batch_size)
    predict = partial(calls.apply, model)

    def move(params: Params, support: Batch) -> Params:
        size = len(support.x)
        if support.weight is None:
            order, real = jnp.arange(size), size
        else:
            order, real = jnp.argsort(support.weight <= 0), jnp.maximum(jnp.sum(support.weight > 0), 1)

        def task_loss(params: Params, step: Array) -> Array:
            batch = support
            if batch_size is not None and batch_size < size:
                places = jnp.arange(batch_size)
                rows = order[(step * batch_size + places) % real]
                weight = None if support.weight is None else jnp.where(places < real, support.weight[rows], 0)
                batch = Batch(support.x[rows], support.y[rows], weight, support.classes)
            return loss_on(batch, predict, loss_fn)(params)

        return inner.descend_along(jax.grad(task_loss), params, inner_optimizer, inner_steps, value_fn=task_loss)

    def adapt(params: Params, support: Batch) -> Params:
        return calls.condition(model, move(params, support), support.x, support.weight)

    def loss(params: Params, episode: Episode) -> tuple[Array, Metrics]:
        moved = move(lax.stop_gradient(params), episode.support)
        adapted = calls.condition(model, moved, episode.support.x, episode.support.weight)
        value, metrics = query_loss(predict(adapted, episode.query.x, episode.query.weight), episode.query, loss_fn)
        return inner.attach_gradient(value, params, jax.tree.map(jnp.subtract, params, moved)), metrics

    return learner(model.init, adapt, predict, loss)
