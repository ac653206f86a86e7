"""Pure samplers of episodes: `sample(key) -> Episode`, made for use inside `jit` and under `vmap`."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import Partial

from jmeta.augment import Augment
from jmeta.checks import check_sizes
from jmeta.drawing import (
    AUGMENTING,
    checked,
    checked_few_shot,
    classes_of_one_group,
    example_major,
    held,
    label_dtype,
    large_groups,
    on_device,
    rotate,
    taken,
    up_to,
)
from jmeta.types import Batch, Episode

SHOTS = 0x5407
"""Folded into an episode's key for its number of shots, so that all else is drawn as without one."""

Sampler = Callable[[Array], Episode]
"""`key -> Episode`. A `jax.tree_util.Partial` carries its data as arguments through `jit`, not as constants."""


def few_shot_sampler(
    images: Any,
    *,
    way: int,
    shot: int,
    query_shot: int,
    rotations: bool = False,
    counts: Any = None,
    groups: Sequence[Any] | None = None,
    augment: Augment | None = None,
) -> Partial:
    """Sampler `sample(key) -> Episode` of N-way K-shot classification from arrays of examples held on the device.

    Classes are drawn without replacement, then examples within each without replacement, so that support and query
    share none. Row `i * way + k` is example i of class k; x is `[way * shot, ...]`, of pictures float32 in 0 to 1, and
    y one-hot.

    Args:
        images: an array `[classes, examples, ...]` of pictures, vectors, series or tokens, a tree of such arrays, or a
            `Ragged`, see `jmeta.ragged.ragged`. uint8 is 0 to 255 and comes out as 0 to 1, other numbers as they are.
            What is in a file, by `numpy.load(path, mmap_mode="r")`, or is more than half of the device's memory, stays
            there, and what an episode draws is brought.
        way: classes in an episode.
        shot, query_shot: support and query examples of each class.
        rotations: turn each class of each episode by its own multiple of 90 degrees, which makes four classes of one;
            support and query of a class turn together. With groups, all classes of an episode turn together, which
            makes four groups of one, and does not tell its classes apart. Needs pictures of H = W.
        counts: `[classes]`, how many of the examples of each class are real; None means all.
        groups: `[classes]`, the group that each class is of, such as its alphabet, to draw the classes of an episode
            from one group, which is harder; a group is as likely as it has classes, and one of fewer than `way` is left
            out. None draws from all classes.
        augment: `(key, example) -> example`, which changes each example, after its turn; such as
            `jmeta.augment.random_affine()`.

    Raises:
        ValueError: if a size is below 1, there are too few classes or examples, also in a group, or the arrays are of
            another form.

    Example:
        >>> images = jnp.zeros((30, 20, 28, 28, 1), jnp.uint8)
        >>> episode = few_shot_sampler(images, way=5, shot=1, query_shot=3)(jax.random.key(0))
        >>> episode.support.x.shape, episode.query.y.shape
        ((5, 28, 28, 1), (15, 5))
    """
    known = checked_few_shot(images, way, shot, query_shot, rotations, counts)
    large = None if groups is None else large_groups(groups, way, len(known))
    draw = functools.partial(_draw_few_shot, way, shot, query_shot, rotations, augment, int(known.counts.max()))
    return Partial(draw, *held(known), large)


def random_shots(sample: Sampler, *, way: int, shot: int, least: int = 1) -> Partial:
    """A sampler of episodes of `shot` support examples a class, of which a number is there that each episode draws.

        shot_e ~ U{least .. shot},   weight of row i * way + k = 1 if i < shot_e, else 0

    So all episodes are of one shape, and one compiled program takes them. Queries stay as they are.

    Args:
        sample: such as `few_shot_sampler` with the same `way` and `shot`.
        way: classes of an episode.
        shot: the most support examples of a class.
        least: the fewest.

    Raises:
        ValueError: if `least` is not 1 to `shot`; from the sampler, if its support sets are not of `way * shot` rows.

    Example:
        >>> images = jnp.zeros((30, 20, 28, 28, 1), jnp.uint8)
        >>> sample = few_shot_sampler(images, way=5, shot=10, query_shot=3)
        >>> support = random_shots(sample, way=5, shot=10, least=2)(jax.random.key(0)).support
        >>> support.x.shape, support.weight.sum().item() in range(10, 51, 5)
        ((50, 28, 28, 1), True)

    Source: Bertinetto et al. 2019, Meta-learning with differentiable closed-form solvers, the authors' code, which
    draws 1 to 10. https://arxiv.org/abs/1805.08136
    """
    check_sizes(way=way, shot=shot, least=least)
    if least > shot:
        raise ValueError(f"least must be 1 to {shot}, the shots of the sampler, got {least}: give a smaller one")
    inner = sample if isinstance(sample, Partial) else Partial(sample)
    return Partial(functools.partial(_draw_shots, way, shot, least), inner)


def _draw_shots(way: int, shot: int, least: int, sample: Sampler, key: Array) -> Episode:
    episode = sample(key)
    support = episode.support
    if len(support.y) != way * shot:
        raise ValueError(f"{way}-way {shot}-shot episodes have {way * shot} support examples, got {len(support.y)}")
    drawn = jax.random.randint(jax.random.fold_in(key, SHOTS), (), least, shot + 1, jnp.int32)
    there = (up_to(way * shot) // way < drawn).astype(support.y.dtype)
    weight = there if support.weight is None else there * support.weight
    return episode._replace(support=support._replace(weight=weight))


def _draw_few_shot(
    way: int,
    shot: int,
    query_shot: int,
    rotations: bool,
    augment: Augment | None,
    most: int,
    rows: Any,
    starts: Array,
    counts: Array,
    groups: Array | None,
    key: Array,
) -> Episode:
    class_key, example_key, turn_key = jax.random.split(key, 3)
    if groups is None:
        classes = jax.random.choice(class_key, len(starts), (way,), replace=False)
    else:
        classes = classes_of_one_group(class_key, groups, way)
    noise = jax.random.uniform(example_key, (way, most))
    noise = jnp.where(up_to(most)[None] < counts[classes, None], noise, 2.0)
    _, examples = jax.lax.top_k(-noise, shot + query_shot)
    x = taken(rows, starts[classes, None] + examples)
    if rotations:
        turns = jax.random.randint(turn_key, (way,), 0, 4)
        x = jax.vmap(rotate)(x, turns if groups is None else jnp.broadcast_to(turns[0], (way,)))
    if augment is not None:
        keys = jax.random.split(jax.random.fold_in(key, AUGMENTING), (way, shot + query_shot))
        x = jax.vmap(jax.vmap(augment))(keys, x)
    support, query = (jax.tree.map(lambda a, part=part: a[:, part], x) for part in (slice(shot), slice(shot, None)))
    return Episode(example_major(support), example_major(query))


def classification_sampler(
    images: Any, *, batch_size: int, rotations: bool = False, counts: Any = None, augment: Augment | None = None
) -> Partial:
    """Sampler of ordinary batches, in the form of episodes, to train a classifier of all classes on.

    Each example of the batch is drawn from all that there are, whichever were drawn before. Support and query are the
    same batch, since such training has no use for two: x `[batch_size, H, W, C]`, float32 in 0 to 1, and y one-hot over
    all classes.

    Args:
        images, counts, augment: as in `few_shot_sampler`.
        batch_size: examples of a batch.
        rotations: turn each example by a multiple of 90 degrees, and count what is turned as a class of its own: class
            `turns * classes + k` is class k turned `turns` times. Needs H = W.

    Raises:
        ValueError: if `batch_size` is below 1, a class has no example, or the array is of another form.

    Example:
        >>> images = jnp.zeros((30, 20, 28, 28, 1), jnp.uint8)
        >>> batch = classification_sampler(images, batch_size=64, rotations=True)(jax.random.key(0)).query
        >>> batch.x.shape, batch.y.shape
        ((64, 28, 28, 1), (64, 120))
    """
    check_sizes(batch_size=batch_size)
    known = checked(images, rotations, counts)
    if not len(known) or known.counts.min() < 1:
        raise ValueError(f"every class must have 1 example or more, got {known.counts.min(initial=0)}")
    draw = functools.partial(_draw_batch, batch_size, rotations, augment)
    return Partial(draw, on_device(known.rows), jnp.asarray(np.cumsum(known.counts), jnp.int32))


def _draw_batch(
    batch_size: int, rotations: bool, augment: Augment | None, rows: Any, ends: Array, key: Array
) -> Episode:
    example_key, turn_key = jax.random.split(key)
    classes = len(ends)
    place = jax.random.randint(example_key, (batch_size,), 0, ends[-1], jnp.int32)
    label = jnp.searchsorted(ends, place, side="right")
    x = taken(rows, place)
    if rotations:
        turns = jax.random.randint(turn_key, (batch_size,), 0, 4, jnp.int32)
        x, label, classes = jax.vmap(rotate)(x, turns), turns * classes + label, 4 * classes
    if augment is not None:
        x = jax.vmap(augment)(jax.random.split(jax.random.fold_in(key, AUGMENTING), batch_size), x)
    batch = Batch(x, jax.nn.one_hot(label, classes, dtype=label_dtype(x)))
    return Episode(batch, batch)
