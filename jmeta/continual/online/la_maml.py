"""La-MAML: a look ahead over the batch's examples, by a learned rate for each parameter (Gupta et al. 2020)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jmeta import inner
from jmeta.checks import check_sizes
from jmeta.continual.online.memory import Memory
from jmeta.continual.online.replay import memory_for, remembered, replayed
from jmeta.continual.online.types import Online, check_memory, check_rate, judged, online, together, weighed
from jmeta.losses import LossFn, cross_entropy
from jmeta.types import Batch, Metrics, Model, Params, examples


class LaMAMLState(NamedTuple):
    """Parameters, a rate for each of them, the memory, and the key of what is drawn next."""

    params: Params
    rates: Params
    memory: Memory
    key: Array


def la_maml(
    model: Model,
    *,
    lr: float | Array = 0.15,
    rate_lr: float | Array = 0.3,
    memory_size: int = 200,
    replay_size: int = 10,
    glances: int = 1,
    first_order: bool = False,
    loss_fn: LossFn = cross_entropy,
) -> Online:
    """La-MAML; an `Online` with one learned rate for each parameter.

        B        = batch + replay_size examples of the memory
        w_i      = w_{i-1} - relu(rates) * grad L(w_{i-1}; example i of the batch),   w_0 = params,  i = 1 ... N
        meta     = mean_i L(w_i; B)
        rates  <- rates - rate_lr * d meta / d rates
        params <- params - relu(rates) * d meta / d params          with the new rates
        memory <- reservoir(memory, batch), after all glances

    Both derivatives go through all inner steps. With one example and one step, d meta / d rates is exactly
    -(grad L(w_1; B)) * (grad L(w_0; example)): a rate grows where the example's gradient and that of the memory agree.

    Args:
        model, loss_fn: as in `sgd`.
        lr: where every rate starts, above 0.
        rate_lr: of the rates, above 0.
        memory_size, replay_size: as in `replay`.
        glances: how often each batch is gone through, each time with others replayed.
        first_order: a constant for each inner gradient: d meta / d params is then mean_i grad L(w_i; B), and
            d meta / d rates leaves out that a step changes the next gradient.

    Raises:
        ValueError: if a size or `glances` is below 1, or a rate is not above 0.

    Differs from the released code: its MNIST commands lack `--second_order`, so that w moves by first order there; its
    clipping of inner gradients has no effect, and there is none here; its outer gradients are clipped by their norm,
    and are not here; its "memory of old tasks" is one list with that of the current task; its reservoir is off by one;
    and it draws from memory with replacement. A rate at or below 0 stays, as there: relu has no slope.

    Source: Gupta et al. 2020, La-MAML: Look-ahead Meta Learning for Continual Learning, algorithm 1 and eq. 5.
    https://arxiv.org/abs/2007.13904
    """
    check_memory(memory_size, replay_size)
    check_sizes(glances=glances)
    check_rate("lr", lr)
    check_rate("rate_lr", rate_lr)
    loss = judged(model, loss_fn)

    def meta(params: Params, rates: Params, batch: Batch, both: Batch) -> Array:
        def look_ahead(w: Params, row: Batch) -> tuple[Params, Array]:
            one = jax.tree.map(lambda a: a[None], row)
            grad = jax.grad(lambda w: loss(w, one)[0])
            grads = inner.first_order(grad)(w) if first_order else grad(w)
            w = jax.tree.map(lambda w, rate, g: w - jax.nn.relu(rate) * g, w, rates, grads)
            return w, loss(w, both)[0]

        losses = jax.lax.scan(look_ahead, params, batch)[1]
        there = (batch.weight != 0).astype(losses.dtype)
        return jnp.sum(there * losses) / jnp.maximum(jnp.sum(there), 1)

    def init(key: Array, x: Any, y: Array) -> LaMAMLState:
        start_key, own_key = jax.random.split(key)
        params = model.init(start_key, examples(Batch(x, y)).x)
        rates = jax.tree.map(lambda p: jnp.full_like(p, lr), params)
        return LaMAMLState(params, rates, memory_for(x, y, memory_size), own_key)

    def step(state: LaMAMLState, batch: Batch) -> tuple[LaMAMLState, Metrics]:
        key, glance_key, add_key = jax.random.split(state.key, 3)
        rows = weighed(examples(batch))

        def glance(now: tuple[Params, Params], key: Array) -> tuple[tuple[Params, Params], None]:
            params, rates = now
            both = together(batch, replayed(state.memory, key, replay_size))
            by_params, by_rates = jax.grad(meta, argnums=(0, 1))(params, rates, rows, both)
            rates = jax.tree.map(lambda r, g: r - rate_lr * g, rates, by_rates)
            return (jax.tree.map(lambda p, r, g: p - jax.nn.relu(r) * g, params, rates, by_params), rates), None

        metrics = loss(state.params, batch)[1]
        (params, rates), _ = jax.lax.scan(glance, (state.params, state.rates), jax.random.split(glance_key, glances))
        return LaMAMLState(params, rates, remembered(state.memory, add_key, batch), key), metrics

    return online(model, init, step)
