"""Meta-experience replay: Reptile over single examples of the stream and of a reservoir (Riemer et al. 2019)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jmeta.checks import check_sizes
from jmeta.continual.online.memory import Memory
from jmeta.continual.online.replay import memory_for, remembered, replayed
from jmeta.continual.online.types import (
    Online,
    between,
    check_memory,
    check_rate,
    descended,
    judged,
    online,
    together,
    weighed,
    weights_of,
)
from jmeta.losses import LossFn, cross_entropy
from jmeta.types import Batch, Metrics, Model, Params, examples


class MERState(NamedTuple):
    """Parameters, the memory, and the key of what is drawn next."""

    params: Params
    memory: Memory
    key: Array


def mer(
    model: Model,
    *,
    lr: float = 0.03,
    within: float = 0.03,
    across: float = 1.0,
    batches: int = 10,
    memory_size: int = 200,
    replay_size: int = 10,
    loss_fn: LossFn = cross_entropy,
) -> Online:
    """Meta-experience replay; an `Online`.

        for each example of the batch, from theta_A = theta:
            `batches` times, from theta_B = theta:
                for each of (the example, then replay_size of the memory):   theta <- theta - lr * grad L(theta)
                theta <- theta_B + within * (theta - theta_B)
            theta <- theta_A + across * (theta - theta_A)
            memory <- reservoir(memory, the example)

    By Reptile's expansion it descends the losses and, by lr, raises the products of gradients of examples: transfer.
    With `within` and `across` 1 it is gradient descent on one example after another.

    Args:
        model, loss_fn: as in `sgd`.
        lr: of the steps on single examples, above 0.
        within, across: the paper's beta and gamma, above 0.
        batches: for each example, the paper's s.
        memory_size: as in `replay`.
        replay_size: the paper's k - 1.

    Raises:
        ValueError: if a size is below 1, or a rate is not above 0.

    Differs from the released code: its reservoir is off by one, and what is replayed is drawn with replacement there.
    It can't go through the rows of a batch at once: a batch of N is N * batches * (1 + replay_size) steps.

    Source: Riemer et al. 2019, Learning to Learn without Forgetting by Maximizing Transfer and Minimizing Interference,
    algorithm 1. https://arxiv.org/abs/1810.11910
    """
    check_memory(memory_size, replay_size)
    check_sizes(batches=batches)
    for name, rate in (("lr", lr), ("within", within), ("across", across)):
        check_rate(name, rate)
    loss = judged(model, loss_fn)

    def on_one(params: Params, row: Batch) -> tuple[Params, None]:
        one = jax.tree.map(lambda a: a[None], row)
        return descended(params, jax.grad(lambda p: loss(p, one)[0])(params), lr), None  # 0 for one of weight 0

    def on_example(state: MERState, row: Batch) -> tuple[MERState, None]:
        key, batches_key, add_key = jax.random.split(state.key, 3)
        one = jax.tree.map(lambda a: a[None], row)

        def on_batch(params: Params, key: Array) -> tuple[Params, None]:
            rows = together(one, replayed(state.memory, key, replay_size))
            rows = rows._replace(weight=jnp.where(row.weight != 0, weights_of(rows), 0))
            return between(params, jax.lax.scan(on_one, params, rows)[0], within), None

        end = jax.lax.scan(on_batch, state.params, jax.random.split(batches_key, batches))[0]
        memory = remembered(state.memory, add_key, one)
        return MERState(between(state.params, end, across), memory, key), None

    def init(key: Array, x: Any, y: Array) -> MERState:
        start_key, own_key = jax.random.split(key)
        return MERState(model.init(start_key, examples(Batch(x, y)).x), memory_for(x, y, memory_size), own_key)

    def step(state: MERState, batch: Batch) -> tuple[MERState, Metrics]:
        return jax.lax.scan(on_example, state, weighed(batch))[0], loss(state.params, batch)[1]

    return online(model, init, step)
