"""Episodes of varied way and shot, by Meta-Dataset's rules, in one shape."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import Partial

from jmeta.checks import check_sizes
from jmeta.drawing import checked_few_shot, held, label_dtype, large_groups, rotate, taken, up_to, whole_group
from jmeta.types import Batch, Episode


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
    known = checked_few_shot(images, min_way, 1, 1, rotations, counts)
    large = None if groups is None else large_groups(groups, min_way, len(known))
    room = len(known) if large is None else int(np.bincount(np.asarray(large)[np.asarray(large) >= 0]).max())
    way, most = min(max_way, room), int(known.counts.max())
    if max_way < min_way:
        raise ValueError(f"max_way must be min_way, {min_way}, or more, got {max_way}")
    check_sizes(max_query_shot=max_query_shot, max_way=max_way, max_support=max_support)
    if max_support < way:
        raise ValueError(f"max_support must be {way} or more, one for each class of the largest way, got {max_support}")
    sizes = way, max_support, min(max_query_shot, most // 2), min_way, most
    return Partial(functools.partial(_draw_varied, *sizes, rotations), *held(known), large)


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
        drawn, own = whole_group(class_key, groups, max_way)
        most_way = jnp.minimum(own, max_way)
    way = jax.random.randint(way_key, (), min_way, most_way + 1, jnp.int32)
    present, examples = up_to(max_way) < way, counts[drawn]
    query_shot, shots = _shots(size_key, share_key, present, examples, max_support, most_queries)

    noise = jax.random.uniform(example_key, (max_way, most))
    noise = jnp.where(up_to(most)[None] < examples[:, None], noise, 2.0)
    order = jnp.argsort(noise, axis=1)
    turns = jax.random.randint(turn_key, (max_way,), 0, 4)

    def batch(place: Array, row: Array, real: Array) -> Batch:
        x = taken(rows, starts[drawn[row]] + order[row, jnp.minimum(place, most - 1)].astype(jnp.int32))
        x = jax.vmap(rotate)(x, turns[row]) if rotations else x
        y = jax.nn.one_hot(row, max_way, dtype=label_dtype(x))
        weight = real.astype(y.dtype)
        return Batch(x, y * weight[:, None], weight, present.astype(y.dtype))

    # All pairs of an example and a class, by example; those of the support set first, and no more than fit.
    shown = min(most - 1, max_support)
    example, row = jnp.divmod(up_to(shown * max_way), max_way)
    chosen = example < shots[row]
    places = jnp.argsort(~chosen)[jnp.arange(max_support) % len(chosen)]
    real = chosen[places] & (jnp.arange(max_support) < len(chosen))
    support = batch(query_shot + example[places], row[places], real)
    example, row = jnp.divmod(up_to(most_queries * max_way), max_way)
    return Episode(support, batch(example, row, present[row] & (example < query_shot)))


def _shots(
    size_key: Array, share_key: Array, present: Array, examples: Array, max_support: int, most_queries: int
) -> tuple[Array, Array]:
    """Queries of each class `[]`, and support examples of each `[way]`, 0 for one that is not in the episode."""
    query_shot = jnp.min(jnp.where(present, jnp.minimum(examples // 2, most_queries), most_queries))
    left = examples - query_shot
    beta = 1.0 - jax.random.uniform(size_key)
    wanted = jnp.ceil(beta * jnp.minimum(100, left).astype(beta.dtype)).astype(jnp.int32)
    size = jnp.minimum(max_support, jnp.sum(jnp.where(present, wanted, 0), dtype=jnp.int32))
    ratio = jnp.exp2(jax.random.uniform(share_key, present.shape, minval=-1, maxval=1))
    share = jnp.where(present, examples.astype(ratio.dtype) * ratio, 0)
    spare = jnp.maximum(size - jnp.sum(present, dtype=jnp.int32), 0).astype(share.dtype)
    shots = 1 + jnp.floor(share / jnp.sum(share) * spare).astype(jnp.int32)
    return query_shot, jnp.where(present, jnp.minimum(shots, left), 0)
