"""Samplers of several sources as one: episodes of each brought to one shape, and a source drawn for each episode."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.tree_util import Partial

from jmeta.checks import check_sizes
from jmeta.types import Batch, Episode


def padded_sampler(sample: Any, *, way: int, support: int, query: int) -> Partial:
    """A sampler whose episodes have `way` classes and `support` and `query` rows, of which what is added is padding.

    So episodes of sources that differ in their largest way go through one compiled program. Rows that are added are
    zeros of weight 0, and classes that are added are 0 in `classes`.

    Args:
        sample: `key -> Episode`.
        way, support, query: not less than those of the sampler.

    Raises:
        ValueError: if a size is below 1; from the sampler, if its episodes are larger.

    Example:
        >>> from jmeta import few_shot_sampler
        >>> sample = few_shot_sampler(jnp.zeros((9, 4, 8, 8, 1), jnp.uint8), way=5, shot=1, query_shot=2)
        >>> episode = padded_sampler(sample, way=8, support=10, query=20)(jax.random.key(0))
        >>> episode.support.y.shape, episode.support.weight.sum().item(), episode.query.classes.tolist()
        ((10, 8), 5.0, [1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
    """
    check_sizes(way=way, support=support, query=query)
    inner = sample if isinstance(sample, Partial) else Partial(sample)
    return Partial(partial(_draw_padded, way, support, query), inner)


def _draw_padded(way: int, support: int, query: int, sample: Any, key: Array) -> Episode:
    episode = sample(key)
    return Episode(_padded(episode.support, way, support, "support"), _padded(episode.query, way, query, "query"))


def _padded(batch: Batch, way: int, rows: int, name: str) -> Batch:
    more, classes = rows - len(batch.y), way - batch.y.shape[1]
    if more < 0 or classes < 0:
        raise ValueError(f"the {name} set has {list(batch.y.shape)} labels, more than {[rows, way]}: give larger sizes")

    def fill(a: Array) -> Array:
        return jnp.pad(a, [(0, more), *[(0, 0)] * (a.ndim - 1)])

    weight = jnp.ones_like(batch.y[:, 0]) if batch.weight is None else batch.weight
    there = jnp.ones_like(batch.y[0]) if batch.classes is None else batch.classes
    y = jnp.pad(batch.y, ((0, more), (0, classes)))
    return Batch(jax.tree.map(fill, batch.x), y, fill(weight), jnp.pad(there, (0, classes)))


def mixed_sampler(samplers: Sequence[Any]) -> Partial:
    """A sampler that draws the source of each episode, all as likely: `sample(key) -> Episode`.

        s ~ U{1 .. S},   episode = samplers[s](key)

    Args:
        samplers: 1 or more, whose episodes are of one shape and dtype, as by `padded_sampler`.

    Raises:
        ValueError: if there is none, or two have episodes of other shapes.

    Example:
        >>> from jmeta import few_shot_sampler
        >>> of = lambda value: few_shot_sampler(jnp.full((9, 4, 2), value), way=5, shot=1, query_shot=2)
        >>> sample = mixed_sampler([of(0.0), of(1.0)])
        >>> sorted({float(sample(key).query.x.mean()) for key in jax.random.split(jax.random.key(0), 8)})
        [0.0, 1.0]

    Source: Triantafillou et al. 2020, Meta-Dataset, section 3, which draws the source of each episode uniformly.
    https://arxiv.org/abs/1903.03096
    """
    parts = tuple(sample if isinstance(sample, Partial) else Partial(sample) for sample in samplers)
    if not parts:
        raise ValueError("mixed_sampler needs 1 sampler or more, got none: give some")
    shapes = [_shapes(part) for part in parts]
    for place, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise ValueError(
                f"sampler {place} has episodes of {shape[1]}, and the first of {shapes[0][1]}: bring them to one shape "
                "by jmeta.mixed.padded_sampler"
            )
    return Partial(_draw_mixed, parts)


def _shapes(sample: Any) -> tuple[Any, list[str]]:
    found = jax.eval_shape(sample, jax.random.key(0))
    return jax.tree.structure(found), [f"{a.dtype}{list(a.shape)}" for a in jax.tree.leaves(found)]


def _draw_mixed(parts: tuple[Any, ...], key: Array) -> Episode:
    place_key, key = jax.random.split(key)
    place = jax.random.randint(place_key, (), 0, len(parts), jnp.int32)
    strong = lambda part, key: jax.tree.map(lambda a: jax.lax.convert_element_type(a, a.dtype), part(key))
    return jax.lax.switch(place, [partial(strong, part) for part in parts], key)
