"""Follow the meta-leader: the start that would have been the best for all tasks so far (Finn et al. 2019)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jmeta import inner
from jmeta.checks import check_sizes
from jmeta.continual.online import memory as reservoir
from jmeta.continual.online.memory import Memory
from jmeta.continual.online.types import Online, check_rate, descended, judged, moved, online, weighed
from jmeta.losses import LossFn, cross_entropy
from jmeta.types import Batch, Metrics, Model, Params, examples


class FTMLState(NamedTuple):
    """Parameters, what the Optax rule keeps, the memory of rounds, and the key of which of them stay."""

    params: Params
    opt_state: Any
    memory: Memory
    key: Array


def ftml(
    model: Model,
    *,
    optimizer: optax.GradientTransformation,
    inner_lr: float = 0.1,
    steps: int = 1,
    rounds: int = 100,
    first_order: bool = False,
    loss_fn: LossFn = cross_entropy,
) -> Online:
    """Follow the meta-leader; an `Online`, each of whose steps is a round with one task.

        w_{t+1} = argmin_w sum_{i <= t} L_i(w - inner_lr * grad L'_i(w))

    L'_i is the loss on the first half of the rows of round i, and L_i that on the others. The argmin is approached by
    `steps` of an Optax rule, which go on from where they were, on the mean over all rounds in the memory.

    Args:
        model, loss_fn: as in `sgd`.
        optimizer: any Optax rule.
        inner_lr: of the one inner step, above 0.
        steps: of the rule in each round.
        rounds: that the memory holds, with all their rows; beyond, a uniform sample of them stays.
        first_order: leave out the inner step's second derivative.

    Returns:
        An `Online` whose batches are all of one size, 2 or more, and whose `predict` is that of w, before any task. Its
        metrics are those of a round's second half after the inner step, before w learns from it: what regret adds up.

    Raises:
        ValueError: if a number of steps or rounds is below 1, `inner_lr` is not above 0, or a batch has one row.

    With the loss |w - c_t|^2 / 2 the inner step makes (1 - inner_lr)^2 |w - c_t|^2 / 2 of it: the leader is the running
    mean of c, and regret is (1 - inner_lr)^2 of that without the inner step.

    Differs from the paper, which has as many examples of each task as time allows, and draws batches of them.
    Source: Finn et al. 2019, Online Meta-Learning, eq. 4 and algorithm 1. https://arxiv.org/abs/1902.08438
    """
    check_sizes(steps=steps, rounds=rounds)
    check_rate("inner_lr", inner_lr)
    loss = judged(model, loss_fn)

    def adapted_loss(params: Params, batch: Batch) -> tuple[Array, Metrics]:
        half = len(batch.y) // 2
        first, second = (jax.tree.map(lambda a, part=part: a[part], batch) for part in (slice(half), slice(half, None)))
        grad = jax.grad(lambda p: loss(p, first)[0])
        grads = inner.first_order(grad)(params) if first_order else grad(params)
        return loss(descended(params, grads, inner_lr), second)

    def init(key: Array, x: Any, y: Array) -> FTMLState:
        if len(y) < 2:
            raise ValueError(f"a round of FTML is a batch of 2 rows or more, got {len(y)}: half of them are adapted to")
        start_key, own_key = jax.random.split(key)
        params = model.init(start_key, examples(Batch(x, y)).x)
        return FTMLState(params, optimizer.init(params), reservoir.empty(weighed(Batch(x, y)), rounds), own_key)

    def step(state: FTMLState, batch: Batch) -> tuple[FTMLState, Metrics]:
        key, add_key = jax.random.split(state.key)
        batch = weighed(batch)
        some = jnp.any(batch.weight != 0).astype(float)
        held = reservoir.add(state.memory, add_key, jax.tree.map(lambda a: a[None], batch), some[None])
        there = (jnp.arange(rounds) < held.seen).astype(float)

        def regretted(params: Params) -> Array:
            losses = jax.vmap(lambda one: adapted_loss(params, one)[0])(held.items)
            return jnp.sum(there * losses) / jnp.maximum(jnp.sum(there), 1)

        metrics = adapted_loss(state.params, batch)[1]
        move = lambda _, now: moved(optimizer, regretted, *now)
        params, opt_state = jax.lax.fori_loop(0, steps, move, (state.params, state.opt_state))
        return FTMLState(params, opt_state, held, key), metrics

    return online(model, init, step)
