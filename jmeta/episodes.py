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
from jmeta.ragged import Ragged, ragged
from jmeta.types import Batch, Episode

AUGMENTING = 0xA06
"""Folded into an episode's key for its augmentation, so that all else is drawn as without one."""

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
    known = _check_few_shot(images, way, shot, query_shot, rotations, counts)
    large = None if groups is None else _large_groups(groups, way, len(known))
    draw = functools.partial(_draw_few_shot, way, shot, query_shot, rotations, augment, int(known.counts.max()))
    return Partial(draw, *_held(known), large)


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
    there = (_places(way * shot) // way < drawn).astype(support.y.dtype)
    weight = there if support.weight is None else there * support.weight
    return episode._replace(support=support._replace(weight=weight))


def _held(known: Ragged) -> tuple[Any, Array, Array]:
    """Rows, and where each class begins and how many it has, on the device."""
    return jax.tree.map(jnp.asarray, known.rows), jnp.asarray(known.starts), jnp.asarray(known.counts)


def _large_groups(groups: Sequence[Any], way: int, classes: int) -> Array:
    """The number of each class's group, or -1 where it has fewer than `way` classes."""
    if np.shape(groups) != (classes,):
        raise ValueError(f"groups must have one for each of the {classes} classes, got {list(np.shape(groups))}")
    _, numbers, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    if sizes.max() < way:
        raise ValueError(
            f"{way}-way episodes within a group need one of {way} classes, and the largest has {sizes.max()}"
        )
    return jnp.asarray(np.where(sizes[numbers] < way, -1, numbers), jnp.int32)


def _check_few_shot(examples: Any, way: int, shot: int, query_shot: int, rotations: bool, counts: Any) -> Ragged:
    check_sizes(way=way, shot=shot, query_shot=query_shot)
    known = _check_examples(examples, rotations, counts)
    if way > len(known):
        raise ValueError(f"{way}-way episodes need {way} classes, got {len(known)}: ask for a smaller way")
    if shot + query_shot > known.counts.min():
        raise ValueError(
            f"{shot}-shot episodes with {query_shot} queries a class need {shot + query_shot} examples of each class, "
            f"got {known.counts.min()}: ask for a smaller shot or query_shot"
        )
    return known


def _check_examples(examples: Any, rotations: bool, counts: Any) -> Ragged:
    """Examples by class; ValueError for arrays of other forms, and for rotations of what can't be turned."""
    known = ragged(examples, counts)
    if rotations:
        shapes = [tuple(leaf.shape[1:]) for leaf in jax.tree.leaves(known.rows)]
        if len(shapes) != 1 or len(shapes[0]) != 3:
            got = " and ".join(map(str, shapes))
            raise ValueError(f"rotations need pictures [classes, examples, H, W, C], got examples of {got}")
        if shapes[0][0] != shapes[0][1]:
            raise ValueError(f"rotations by 90 degrees need square images, got {shapes[0][0]} x {shapes[0][1]}")
    return known


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
        classes = _classes_of_one_group(class_key, groups, way)
    noise = jax.random.uniform(example_key, (way, most))
    noise = jnp.where(_places(most)[None] < counts[classes, None], noise, 2.0)
    _, examples = jax.lax.top_k(-noise, shot + query_shot)
    x = _taken(rows, starts[classes, None] + examples)
    if rotations:
        turns = jax.random.randint(turn_key, (way,), 0, 4)
        x = jax.vmap(rotate)(x, turns if groups is None else jnp.broadcast_to(turns[0], (way,)))
    if augment is not None:
        keys = jax.random.split(jax.random.fold_in(key, AUGMENTING), (way, shot + query_shot))
        x = jax.vmap(jax.vmap(augment))(keys, x)
    support, query = (jax.tree.map(lambda a, part=part: a[:, part], x) for part in (slice(shot), slice(shot, None)))
    return Episode(example_major(support), example_major(query))


def _classes_of_one_group(key: Array, groups: Array, way: int) -> Array:
    """`[way]` classes of the group of a class that is drawn among those of large groups."""
    anchor_key, order_key = jax.random.split(key)
    noise = jax.random.uniform(anchor_key, groups.shape)
    group = groups[jnp.argmax(jnp.where(groups >= 0, noise, -1.0))]
    noise = jax.random.uniform(order_key, groups.shape)
    return jax.lax.top_k(jnp.where(groups == group, noise, -1.0), way)[1]


def _whole_group(key: Array, groups: Array, way: int) -> tuple[Array, Array]:
    """`way` classes of which the first are one group's, all of it or as many as fit, and how many classes it has.

    A group is drawn by its first class, so that small ones are as likely as large ones.
    """
    group_key, class_key = jax.random.split(key)
    same = groups[:, None] == groups[None]
    first = (groups >= 0) & (jnp.argmax(same, axis=1) == _places(len(groups)))
    one = jax.random.categorical(group_key, jnp.where(first, 0.0, -jnp.inf))
    inside = groups == groups[one]
    noise = jnp.where(inside, jax.random.uniform(class_key, (len(groups),)), 2.0)
    return jnp.argsort(noise)[:way], jnp.sum(inside, dtype=jnp.int32)


def example_major(x: Any) -> Batch:
    """`[way, n, ...]` to a batch whose row `i * way + k` is example i of class k."""
    way, n = jax.tree.leaves(x)[0].shape[:2]
    y = jnp.tile(jnp.eye(way, dtype=_label_dtype(x)), (n, 1))
    return Batch(jax.tree.map(lambda a: jnp.swapaxes(a, 0, 1).reshape(n * way, *a.shape[2:]), x), y)


def _places(n: int) -> Array:
    """0 to n - 1 as int32, whichever integers are the default."""
    return jnp.arange(n, dtype=jnp.int32)


def _taken(rows: Any, places: Array) -> Any:
    """Examples of a tree, bytes as float32 in 0 to 1, and what is no bytes as it is."""
    taken = jax.tree.map(lambda a: a[places], rows)
    return jax.tree.map(lambda a: a.astype(jnp.float32) / 255 if a.dtype == jnp.uint8 else a, taken)


def _label_dtype(x: Any) -> Any:
    """That of the first floats among the arrays that are as wide as float32, or float32 where none are."""
    kinds = (a.dtype for a in jax.tree.leaves(x))
    return next((k for k in kinds if jnp.issubdtype(k, jnp.floating) and k.itemsize >= 4), jnp.float32)


def rotate(images: Array, turns: Array) -> Array:
    """Turn images `[..., H, H, C]` anticlockwise by `turns` times 90 degrees, with `turns` a traced 0 to 3."""
    flipped = jnp.where(turns >= 2, images[..., ::-1, ::-1, :], images)
    return jnp.where(turns % 2 == 1, jnp.swapaxes(flipped, -3, -2)[..., ::-1, :, :], flipped)


def varied_sampler(
    images: Any,
    *,
    max_way: int = 50,
    max_support: int = 500,
    max_query_shot: int = 10,
    min_way: int = 5,
    rotations: bool = False,
    counts: Any = None,
    groups: Sequence[Any] | None = None,
) -> Partial:
    """Sampler `sample(key) -> Episode` of varied way and shot in one shape, by Meta-Dataset's rules.

        way          ~ U{min_way .. min(max_way, classes)}
        query_shot   = min(max_query_shot, floor(min_c |c| / 2))                       over the episode's classes c
        support size = min(max_support, sum_c ceil(beta min(100, |c| - query_shot))),  beta ~ U(0, 1]
        shot_c       = min(1 + floor(p_c (support size - way)), |c| - query_shot),     p_c ~ |c| exp(U(log 1/2, log 2))

    with p normalized to sum to 1 and |c| the examples that class c has. What an episode lacks of the largest shape is
    padding, which `weight` and `classes` of its batches mark; so one compiled program takes all of them. Its sets are
    `[max_support, ...]` and `[way * query_shot, ...]` for the largest way and the most queries, `min(max_query_shot,
    examples // 2)` a class. Rows are ordered by example first, and padding is last in the support set.

    Args:
        images, rotations, counts: as in `few_shot_sampler`.
        groups: the group of each class, such as its alphabet. All classes of an episode are then of one group, drawn
            uniformly from those of `min_way` classes or more, and way ~ U{min_way .. min(max_way, classes of it)}.
        max_way, min_way: the most and the fewest classes of an episode.
        max_support: the most support examples of an episode, of all its classes together.
        max_query_shot: the most query examples of a class.

    Raises:
        ValueError: if a size is below 1, there are fewer than `min_way` classes or two examples of one, or more classes
            than support examples can be drawn.

    Example:
        >>> images = jnp.zeros((30, 20, 28, 28, 1), jnp.uint8)
        >>> episode = varied_sampler(images, max_way=10, max_support=50)(jax.random.key(0))
        >>> episode.support.x.shape, episode.query.x.shape, 5 <= episode.support.classes.sum() <= 10
        ((50, 28, 28, 1), (100, 28, 28, 1), Array(True, dtype=bool))

    Differs from the paper: classes are drawn from all that there are, or from a group, as there for Omniglot; there is
    no hierarchy, as there for ImageNet.
    Source: Triantafillou et al. 2020, Meta-Dataset, section 3.2 and appendix. https://arxiv.org/abs/1903.03096
    """
    known = _check_few_shot(images, min_way, 1, 1, rotations, counts)
    large = None if groups is None else _large_groups(groups, min_way, len(known))
    room = len(known) if large is None else int(np.bincount(np.asarray(large)[np.asarray(large) >= 0]).max())
    way, most = min(max_way, room), int(known.counts.max())
    if max_way < min_way:
        raise ValueError(f"max_way must be min_way, {min_way}, or more, got {max_way}")
    check_sizes(max_query_shot=max_query_shot, max_way=max_way, max_support=max_support)
    if max_support < way:
        raise ValueError(f"max_support must be {way} or more, one for each class of the largest way, got {max_support}")
    sizes = way, max_support, min(max_query_shot, most // 2), min_way, most
    return Partial(functools.partial(_draw_varied, *sizes, rotations), *_held(known), large)


def _draw_varied(
    max_way: int,
    max_support: int,
    most_queries: int,
    min_way: int,
    most: int,
    rotations: bool,
    rows: Any,
    starts: Array,
    counts: Array,
    groups: Array | None,
    key: Array,
) -> Episode:
    way_key, size_key, share_key, class_key, example_key, turn_key = jax.random.split(key, 6)
    if groups is None:
        most_way, drawn = max_way, jax.random.choice(class_key, len(starts), (max_way,), replace=False)
    else:
        drawn, own = _whole_group(class_key, groups, max_way)
        most_way = jnp.minimum(own, max_way)
    way = jax.random.randint(way_key, (), min_way, most_way + 1, jnp.int32)
    present = _places(max_way) < way
    examples = counts[drawn]
    query_shot = jnp.min(jnp.where(present, jnp.minimum(examples // 2, most_queries), most_queries))
    left = examples - query_shot
    beta = 1.0 - jax.random.uniform(size_key)
    wanted = jnp.ceil(beta * jnp.minimum(100, left).astype(beta.dtype)).astype(jnp.int32)
    size = jnp.minimum(max_support, jnp.sum(jnp.where(present, wanted, 0), dtype=jnp.int32))
    ratio = jnp.exp2(jax.random.uniform(share_key, (max_way,), minval=-1, maxval=1))
    share = jnp.where(present, examples.astype(ratio.dtype) * ratio, 0)
    spare = jnp.maximum(size - way, 0).astype(share.dtype)
    shots = 1 + jnp.floor(share / jnp.sum(share) * spare).astype(jnp.int32)
    shots = jnp.where(present, jnp.minimum(shots, left), 0)

    noise = jax.random.uniform(example_key, (max_way, most))
    noise = jnp.where(_places(most)[None] < examples[:, None], noise, 2.0)
    order = jnp.argsort(noise, axis=1)
    turns = jax.random.randint(turn_key, (max_way,), 0, 4)

    def batch(place: Array, row: Array, real: Array) -> Batch:
        x = _taken(rows, starts[drawn[row]] + order[row, jnp.minimum(place, most - 1)].astype(jnp.int32))
        x = jax.vmap(rotate)(x, turns[row]) if rotations else x
        y = jax.nn.one_hot(row, max_way, dtype=_label_dtype(x))
        weight = real.astype(y.dtype)
        return Batch(x, y * weight[:, None], weight, present.astype(y.dtype))

    # All pairs of an example and a class, by example; those of the support set first, and no more than fit.
    shown = min(most - 1, max_support)
    example, row = jnp.divmod(_places(shown * max_way), max_way)
    chosen = example < shots[row]
    places = jnp.argsort(~chosen)[jnp.arange(max_support) % len(chosen)]
    real = chosen[places] & (jnp.arange(max_support) < len(chosen))
    support = batch(query_shot + example[places], row[places], real)
    example, row = jnp.divmod(_places(most_queries * max_way), max_way)
    return Episode(support, batch(example, row, present[row] & (example < query_shot)))


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
    known = _check_examples(images, rotations, counts)
    if not len(known) or known.counts.min() < 1:
        raise ValueError(f"every class must have 1 example or more, got {known.counts.min(initial=0)}")
    draw = functools.partial(_draw_batch, batch_size, rotations, augment)
    return Partial(draw, jax.tree.map(jnp.asarray, known.rows), jnp.asarray(np.cumsum(known.counts), jnp.int32))


def _draw_batch(
    batch_size: int, rotations: bool, augment: Augment | None, rows: Any, ends: Array, key: Array
) -> Episode:
    example_key, turn_key = jax.random.split(key)
    classes = len(ends)
    place = jax.random.randint(example_key, (batch_size,), 0, ends[-1], jnp.int32)
    label = jnp.searchsorted(ends, place, side="right")
    x = _taken(rows, place)
    if rotations:
        turns = jax.random.randint(turn_key, (batch_size,), 0, 4, jnp.int32)
        x, label, classes = jax.vmap(rotate)(x, turns), turns * classes + label, 4 * classes
    if augment is not None:
        x = jax.vmap(augment)(jax.random.split(jax.random.fold_in(key, AUGMENTING), batch_size), x)
    batch = Batch(x, jax.nn.one_hot(label, classes, dtype=_label_dtype(x)))
    return Episode(batch, batch)
