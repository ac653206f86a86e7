"""Small networks that learn to tell classes apart, by mini-batches."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array
from jax.tree_util import Partial

from jmeta.checks import check_sizes
from jmeta.losses import cross_entropy
from jmeta.optimizers.types import Problem
from jmeta.ragged import Ragged
from jmeta.types import Params

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {"sigmoid": nn.sigmoid, "relu": nn.relu, "tanh": nn.tanh}


class Layers(nn.Module):
    """Dense layers.

    Attributes:
        features: units of each hidden layer.
        out: outputs.
        activation: between layers.
    """

    features: Sequence[int]
    out: int
    activation: Callable[[Array], Array]

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """`[N, ...]` to `[N, out]`."""
        x = x.reshape(len(x), -1)
        for units in self.features:
            x = self.activation(nn.Dense(units)(x))
        return nn.Dense(self.out, name="head")(x)


class Examples(NamedTuple):
    """All rows `[N, ...]`, and of each class `[classes]` the row at which it begins, and how many are to learn from.

    Behind those there are as many in each class to judge by, and then to hold out.
    """

    rows: Array
    starts: Array
    counts: Array


def classification(
    examples: Ragged,
    *,
    way: int = 10,
    features: Sequence[int] = (20,),
    activation: Callable[[Array], Array] = nn.sigmoid,
    batch_size: int = 128,
    judged_by: float = 0.25,
    held_out: float = 0.25,
) -> Problem:
    """A network with weights drawn anew, on classes that are drawn anew where there are more of them.

        loss = mean cross-entropy of a mini-batch, each example of a class drawn with the same probability

    A task is the numbers of its classes `[way]`. The last examples of each class are held out, and those before them
    are for `judge`, so that a rule learns to find what holds for other examples too, as Metz et al. 2019 do.

    Args:
        examples: of each class; bytes are read as 0 to 1.
        way: classes of a problem.
        features: units of each hidden layer.
        activation: between layers, such as those of `ACTIVATIONS`.
        batch_size: examples of a step.
        judged_by: the share of each class, counted in the smallest, that a rule is judged by in its training; 0 for
            the examples that it learns from, as Andrychowicz et al. 2016 do.
        held_out: the share that is for the evaluation alone.

    Raises:
        ValueError: if a size is below 1, or there are too few classes or examples.

    Source: Andrychowicz et al. 2016, section 3.2, https://arxiv.org/abs/1606.04474; Metz et al. 2019, section 3.3,
    https://arxiv.org/abs/1810.10180.
    """
    check_sizes(way=way, batch_size=batch_size, **{f"features[{i}]": n for i, n in enumerate(features)})
    counts = np.asarray(examples.counts)
    judges, apart = int(counts.min() * judged_by), int(counts.min() * held_out)
    if way > len(counts) or apart < 1 or judges + apart >= counts.min() or (judges < 1 and judged_by):
        raise ValueError(
            f"{way} classes were asked for of {len(counts)}, of which the smallest has {counts.min()} examples, "
            f"{judges} of them to judge by and {apart} held out: ask for fewer classes, or take other data"
        )
    counts = jnp.asarray(counts - apart - judges, jnp.int32)
    data = Examples(jnp.asarray(examples.rows), jnp.asarray(examples.starts), counts)
    network = Layers(tuple(features), way, activation)

    def init(data: Examples, key: Array) -> tuple[Params, Array]:
        one, other = jax.random.split(key)
        classes = jax.random.permutation(other, len(counts))[:way] if len(counts) > way else jnp.arange(way)
        return network.init(one, _floats(data.rows[:1])), classes

    def batch_loss(params: Params, classes: Array, key: Array, rows: Array, first: Array, number: Array) -> Array:
        one, other = jax.random.split(key)
        labels = jax.random.randint(one, (batch_size,), 0, way)
        chosen, u = classes[labels], jax.random.uniform(other, (batch_size,))
        places = jnp.floor(u * number[chosen].astype(u.dtype)).astype(jnp.int32)
        return of(params, rows[first[chosen] + places], labels)

    def loss(data: Examples, params: Params, classes: Array, key: Array) -> Array:
        return batch_loss(params, classes, key, data.rows, data.starts, data.counts)

    def judge(data: Examples, params: Params, classes: Array, key: Array) -> Array:
        number = jnp.full_like(data.counts, judges)
        return batch_loss(params, classes, key, data.rows, data.starts + data.counts, number)

    def held_out_loss(data: Examples, params: Params, classes: Array) -> Array:
        first = data.starts[classes] + data.counts[classes] + judges
        rows = data.rows[(first[:, None] + jnp.arange(apart, dtype=jnp.int32)[None]).reshape(-1)]
        return of(params, rows, jnp.repeat(jnp.arange(way), apart))

    def of(params: Params, rows: Array, labels: Array) -> Array:
        logits: Any = network.apply(params, _floats(rows))
        return jnp.mean(cross_entropy(logits, jax.nn.one_hot(labels, way)))

    return Problem(
        Partial(init, data), Partial(loss, data), Partial(judge, data) if judges else None, Partial(held_out_loss, data)
    )


def _floats(rows: Array) -> Array:
    return rows.astype(jnp.float32) / 255 if rows.dtype == jnp.uint8 else rows
