"""Experience replay: each step is on the batch and on examples from a reservoir (Chaudhry et al. 2019)."""

from typing import Any, NamedTuple

import jax
import optax
from jax import Array

from jmeta.continual.online import memory as reservoir
from jmeta.continual.online.memory import Memory
from jmeta.continual.online.types import Online, check_memory, judged, moved, online, together, weighed
from jmeta.losses import LossFn, cross_entropy
from jmeta.types import Batch, Metrics, Model, Params, examples


class ReplayState(NamedTuple):
    """Parameters, what the Optax rule keeps, the memory of `(x, y)`, and the key of what is drawn next."""

    params: Params
    opt_state: Any
    memory: Memory
    key: Array


def replay(
    model: Model,
    *,
    optimizer: optax.GradientTransformation,
    memory_size: int = 200,
    replay_size: int = 10,
    loss_fn: LossFn = cross_entropy,
) -> Online:
    """Experience replay; an `Online`.

        params <- params + update(grad L_B(params))     with B = batch + replay_size examples of the memory
        memory <- reservoir(memory, batch)

    L_B is the mean over all rows of B. What is replayed is drawn before the batch is offered to the memory, without
    replacement. Examples are kept as they came: pictures as bytes.

    Args:
        model, optimizer, loss_fn: as in `sgd`.
        memory_size: examples that the memory holds, 1 or more.
        replay_size: of them in each step; fewer while the memory has fewer.

    Raises:
        ValueError: if one of the sizes is below 1: without a memory this is `sgd`.

    Source: Chaudhry et al. 2019, On Tiny Episodic Memories in Continual Learning, algorithm 1, with reservoir sampling.
    https://arxiv.org/abs/1902.10486
    """
    check_memory(memory_size, replay_size)
    loss = judged(model, loss_fn)

    def init(key: Array, x: Any, y: Array) -> ReplayState:
        start_key, own_key = jax.random.split(key)
        params = model.init(start_key, examples(Batch(x, y)).x)
        return ReplayState(params, optimizer.init(params), memory_for(x, y, memory_size), own_key)

    def step(state: ReplayState, batch: Batch) -> tuple[ReplayState, Metrics]:
        key, draw_key, add_key = jax.random.split(state.key, 3)
        metrics, both = loss(state.params, batch)[1], together(batch, replayed(state.memory, draw_key, replay_size))
        params, opt_state = moved(optimizer, lambda p: loss(p, both)[0], state.params, state.opt_state)
        return ReplayState(params, opt_state, remembered(state.memory, add_key, batch), key), metrics

    return online(model, init, step)


def memory_for(x: Any, y: Array, size: int) -> Memory:
    """An empty memory for examples like those of a batch."""
    known = weighed(Batch(x, y))
    return reservoir.empty(jax.tree.map(lambda a: a[0], (known.x, known.y)), size)


def remembered(memory: Memory, key: Array, batch: Batch) -> Memory:
    """The memory after the examples of a batch were offered to it."""
    known = weighed(batch)
    return reservoir.add(memory, key, (known.x, known.y), known.weight)


def replayed(memory: Memory, key: Array, number: int) -> Batch:
    """Examples of the memory as a batch, whose padding has weight 0."""
    (x, y), weight = reservoir.draw(memory, key, number)
    return Batch(x, y, weight)
