"""Episodes that are streams: one class after another, each example once, for continual learning."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.tree_util import Partial

from jmeta.augment import Augment
from jmeta.checks import check_sizes
from jmeta.drawing import AUGMENTING, rotate
from jmeta.ragged import ragged
from jmeta.types import Batch, Episode


def stream_sampler(
    examples: Any,
    *,
    classes: int,
    shot: int,
    query_shot: int,
    remember: int = 0,
    rotations: bool = False,
    drawn: bool = True,
    augment: Augment | None = None,
) -> Partial:
    """Sampler `sample(key) -> Episode` whose support set is a stream in order: all examples of a class, then the next.

    Classes are drawn without replacement, and come in the order in which they were drawn: row `k * shot + i` of the
    support set is example i of the k-th class. The query has `query_shot` others of each, in the same order, then
    one example each of `remember` classes that the stream has not.

    Labels are one-hot. Without `remember`, they are over the classes of the stream, by their place in it. With it, over
    all that there are, since a head has to keep what it knows of the others; class `turns * len(examples) + k` is class
    k turned `turns` times.

    Args:
        examples: an array `[classes, examples, ...]` of pictures, vectors or other examples, or a `Ragged`, as in
            `few_shot_sampler`. uint8 is 0 to 255 and comes out as 0 to 1.
        classes: classes of a stream.
        shot, query_shot: examples of each class in the stream, and in the query.
        remember: queries of other classes.
        rotations: count classes that are turned by multiples of 90 degrees as classes of their own, four of each. Needs
            pictures of H = W.
        drawn: whether examples are drawn within a class; or else the first ones are the stream's, and the next the
            query's, as drawers of Omniglot are numbered.
        augment: `(key, example) -> example`, which changes each example, after its turn.

    Raises:
        ValueError: if a size is below 1, there are too few classes or examples, or the arrays are of another form.

    Example:
        >>> images = jnp.zeros((30, 20, 28, 28, 1), jnp.uint8)
        >>> sample = stream_sampler(images, classes=3, shot=5, query_shot=2, remember=10)
        >>> episode = sample(jax.random.key(0))
        >>> episode.support.x.shape, episode.query.y.shape
        ((15, 28, 28, 1), (16, 30))

    Source: Javed and White 2019, Meta-Learning Representations for Continual Learning, section 3.
    https://arxiv.org/abs/1905.12588
    """
    check_sizes(classes=classes, shot=shot, query_shot=query_shot)
    if remember < 0:
        raise ValueError(f"remember must be 0 or more queries of other classes, got {remember}")
    known = ragged(examples)
    shape = known.shape[2:]
    if rotations and (len(shape) != 3 or shape[0] != shape[1]):
        raise ValueError(f"rotations need square pictures [classes, examples, H, H, C], got examples of {list(shape)}")
    there = len(known) * (4 if rotations else 1)
    if classes + remember > there:
        others = f" and {remember} others to remember" if remember else ""
        raise ValueError(f"a stream of {classes} classes{others} needs {classes + remember}, got {there}: ask for less")
    if shot + query_shot > known.counts.min():
        raise ValueError(
            f"a stream of {shot} examples a class with {query_shot} queries needs {shot + query_shot} of each class, "
            f"got {known.counts.min()}: ask for a smaller shot or query_shot"
        )
    sizes = classes, shot, query_shot, remember, there, int(known.counts.max())
    held = jax.tree.map(jnp.asarray, (known.rows, known.starts, known.counts))
    return Partial(functools.partial(_draw, *sizes, rotations, drawn, augment), *held)


def _draw(
    classes: int,
    shot: int,
    query_shot: int,
    remember: int,
    there: int,
    most: int,
    rotations: bool,
    drawn: bool,
    augment: Augment | None,
    rows: Array,
    starts: Array,
    counts: Array,
    key: Array,
) -> Episode:
    class_key, example_key, other_key = jax.random.split(key, 3)
    chosen = jax.random.choice(class_key, there, (classes + remember,), replace=False).astype(jnp.int32)
    turns, base = jnp.divmod(chosen, jnp.int32(len(starts)))
    own = base[:classes]
    places = jnp.broadcast_to(jnp.arange(shot + query_shot, dtype=jnp.int32), (classes, shot + query_shot))
    if drawn:
        noise = jax.random.uniform(example_key, (classes, most))
        noise = jnp.where(jnp.arange(most)[None] < counts[own][:, None], noise, 2.0)
        places = jax.lax.top_k(-noise, shot + query_shot)[1].astype(jnp.int32)
    one = jax.random.randint(other_key, (remember,), 0, counts[base[classes:]], jnp.int32)
    which = jnp.concatenate([places[:, :shot].ravel(), places[:, shot:].ravel(), one])
    of = jnp.arange(classes, dtype=jnp.int32)
    of = jnp.concatenate([jnp.repeat(of, shot), jnp.repeat(of, query_shot), classes + jnp.arange(remember)])
    x = rows[starts[base[of]] + which]
    x = x.astype(jnp.float32) / 255 if x.dtype == jnp.uint8 else x
    if rotations:
        x = jax.vmap(rotate)(x, turns[of])
    if augment is not None:
        x = jax.vmap(augment)(jax.random.split(jax.random.fold_in(key, AUGMENTING), len(x)), x)
    label, way = (chosen[of], there) if remember else (of, classes)
    y = jax.nn.one_hot(label, way, dtype=x.dtype if jnp.issubdtype(x.dtype, jnp.floating) else jnp.float32)
    n = classes * shot
    return Episode(Batch(x[:n], y[:n]), Batch(x[n:], y[n:]))
