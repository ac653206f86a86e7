"""Label or ask: a stream of examples whose labels are shown only when they are asked for (Woodward and Finn 2017)."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from jmeta.rl.checks import check_counts
from jmeta.rl.types import Discrete, Env, Step


class Stream(NamedTuple):
    """A task of `label_or_ask`: what comes, in order."""

    label: Array  # int32 `[length]`, that of each example in this stream
    example: Array  # int32 `[length, 2]`, class and number of each example in `features`


def label_or_ask(
    features: Array | None = None, *, classes: int = 3, length: int = 30, pool: int = 20, ask: float = -0.05
) -> Env:
    """Name each example of a stream, or ask for its label, which is then shown beside the next example.

        action  a < classes: the label a;  a = classes: ask
        reward  1 if the label is right, -1 if wrong, `ask` for a request
        see     (features of the example, one-hot label of the last one if it was asked for and zeros if not)

    The classes of a stream are drawn without replacement, so are its examples, `length` of `classes * pool`, and which
    label is which class's is drawn anew. Rewards are not shown to the agent: one that sees whether a guess was right
    needs to ask less. Over after the last example; a state is the number of examples so far, int32 `[]`.

    Args:
        features: `[all classes, examples, ...]`, such as pictures or what an encoder makes of them, flattened here.
            None for classes that are told apart at sight: each is one-hot.
        classes: of a stream, 2 or more.
        length: examples of a stream, at most `classes * pool`.
        pool: examples of each class that a stream is drawn from, at most those of `features`.
        ask: the reward of a request.

    Raises:
        ValueError: if a number is out of its range.

    Source: Woodward and Finn 2017, Active One-shot Learning. https://arxiv.org/abs/1702.06559
    """
    check_counts(2, classes=classes)
    check_counts(length=length, pool=pool)
    if not math.isfinite(ask):
        raise ValueError(f"ask, the reward of a request, must be a finite number, got {ask}")
    if length > classes * pool:
        raise ValueError(f"length must be at most classes * pool = {classes * pool}, got {length}: ask for fewer")
    shown = jnp.eye(classes, dtype=jnp.float32)[:, None] if features is None else jnp.asarray(features, jnp.float32)
    shown = shown.reshape(*shown.shape[:2], -1)
    if features is not None and (shown.shape[0] < classes or shown.shape[1] < pool):
        raise ValueError(f"features must be of {classes} classes with {pool} examples each, got {shown.shape[:2]}")

    def sample_task(key: Array) -> Stream:
        of_classes, of_labels, of_order, of_examples = jax.random.split(key, 4)
        chosen = jax.random.permutation(of_classes, shown.shape[0])[:classes]
        labels = jax.random.permutation(of_labels, classes)
        order = jax.random.permutation(of_order, classes * pool)[:length]
        which = jax.vmap(lambda key: jax.random.permutation(key, shown.shape[1]))(
            jax.random.split(of_examples, classes)
        )
        own, number = order % classes, order // classes
        number = jnp.where(features is None, 0, which[own, number % shown.shape[1]])
        example = jnp.stack([chosen[own], number], axis=-1)
        return Stream(labels[own].astype(jnp.int32), example.astype(jnp.int32))

    def see(time: Array, task: Stream, told: Array) -> Array:
        # After the last example there is none; what is shown then is never acted on.
        kind, number = task.example[jnp.minimum(time, length - 1)]
        return jnp.concatenate([shown[kind, number], told])

    def reset(key: Array, task: Stream) -> tuple[Array, Array]:
        return jnp.int32(0), see(jnp.int32(0), task, jnp.zeros(classes, jnp.float32))

    def step(key: Array, state: Array, action: Array, task: Stream) -> tuple[Array, Step]:
        label, asked = task.label[state], action == classes
        named = jnp.where(action == label, jnp.float32(1), jnp.float32(-1))
        told = asked.astype(jnp.float32) * jax.nn.one_hot(label, classes, dtype=jnp.float32)
        state = state + jnp.int32(1)
        reward = lax.select(asked, jnp.float32(ask), named)
        return state, Step(see(state, task, told), reward, state >= length)

    size = shown.shape[-1] + classes
    bounds = min(-1.0, ask), max(1.0, ask)
    return Env(sample_task, reset, step, Discrete(classes + 1), size, length, bounds, shows_reward=False)


class ByInstance(NamedTuple):
    """What an agent does at the first, second, ... example of a class in a stream, each `[instances]`."""

    requests: Array  # share of these examples whose labels it asks for
    right: Array  # share of those that it names which are right; NaN where it names none


def by_instance(action: Array, label: Array, *, classes: int) -> ByInstance:
    """What was done at the i-th example of a class, over many streams.

    Args:
        action: int32 `[streams, length]`, of which `classes` is a request.
        label: int32 `[streams, length]`, the right ones.
        classes: of a stream.

    Example:
        >>> found = by_instance(jnp.array([[2, 0, 1, 1]]), jnp.array([[0, 0, 1, 1]]), classes=2)
        >>> found.requests.tolist()[:2], found.right.tolist()[:2]
        ([0.5, 0.0], [1.0, 1.0])
    """
    of_class = jax.nn.one_hot(label, classes, dtype=jnp.int32)
    before = jnp.sum((jnp.cumsum(of_class, axis=1) - 1) * of_class, axis=-1)
    at = jax.nn.one_hot(before, label.shape[1], dtype=jnp.float32)  # `[streams, length, instances]`
    total = lambda share: jnp.einsum("st,sti->i", share.astype(jnp.float32), at)
    asked = total(action == classes)
    named = total(action != classes)
    return ByInstance(asked / (asked + named), total(action == label) / named)
