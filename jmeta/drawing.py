"""What samplers of episodes share: examples held on the device, classes and examples drawn, rows put in their order."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jmeta.checks import check_sizes
from jmeta.ragged import Ragged, ragged
from jmeta.stored import Stored
from jmeta.types import Batch

AUGMENTING = 0xA06
"""Folded into an episode's key for its augmentation, so that all else is drawn as without one."""


def checked_few_shot(examples: Any, way: int, shot: int, query_shot: int, rotations: bool, counts: Any) -> Ragged:
    """As `checked`; ValueError also for too few classes, or examples of one, for an episode."""
    check_sizes(way=way, shot=shot, query_shot=query_shot)
    known = checked(examples, rotations, counts)
    if way > len(known):
        raise ValueError(f"{way}-way episodes need {way} classes, got {len(known)}: ask for a smaller way")
    if shot + query_shot > known.counts.min():
        raise ValueError(
            f"{shot}-shot episodes with {query_shot} queries a class need {shot + query_shot} examples of each class, "
            f"got {known.counts.min()}: ask for a smaller shot or query_shot"
        )
    return known


def checked(examples: Any, rotations: bool, counts: Any) -> Ragged:
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


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class _Apart:
    """Rows `[N, ...]` that stay off the device, indexed as if they were there: those asked for are brought."""

    rows: np.ndarray | Stored

    def __getitem__(self, places: Array) -> Array:
        row, dtype = self.rows.shape[1:], jax.dtypes.canonicalize_dtype(self.rows.dtype)

        def read(places: Any) -> np.ndarray:
            places = np.asarray(places)
            return np.asarray(self.rows[places.reshape(-1)], dtype).reshape(*places.shape, *row)

        brought = jax.ShapeDtypeStruct((*places.shape, *row), dtype)
        return jax.pure_callback(read, brought, places, vmap_method="broadcast_all")


def held(known: Ragged) -> tuple[Any, Array, Array]:
    """Rows, as `on_device`, and where each class begins and how many it has."""
    return on_device(known.rows), jnp.asarray(known.starts), jnp.asarray(known.counts)


def on_device(rows: Any) -> Any:
    """Rows `[N, ...]`, or a tree of them, for `taken`: on the device, but for those that are in a file, or are more
    than half of its memory, of which what is drawn is brought."""
    return jax.tree.map(lambda a: _Apart(a) if _is_apart(a) else jnp.asarray(a), rows)


def _is_apart(rows: Any) -> bool:
    if isinstance(rows, Stored | np.memmap):
        return True
    known = jax.local_devices()[0].memory_stats() if isinstance(rows, np.ndarray) else None
    return known is not None and rows.nbytes > known.get("bytes_limit", np.inf) / 2


def large_groups(groups: Sequence[Any], way: int, classes: int) -> Array:
    """The number of each class's group, or -1 where it has fewer than `way` classes."""
    if np.shape(groups) != (classes,):
        raise ValueError(f"groups must have one for each of the {classes} classes, got {list(np.shape(groups))}")
    _, numbers, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    if sizes.max() < way:
        raise ValueError(
            f"{way}-way episodes within a group need one of {way} classes, and the largest has {sizes.max()}"
        )
    return jnp.asarray(np.where(sizes[numbers] < way, -1, numbers), jnp.int32)


def classes_of_one_group(key: Array, groups: Array, way: int) -> Array:
    """`[way]` classes of the group of a class that is drawn among those of large groups."""
    anchor_key, order_key = jax.random.split(key)
    noise = jax.random.uniform(anchor_key, groups.shape)
    group = groups[jnp.argmax(jnp.where(groups >= 0, noise, -1.0))]
    noise = jax.random.uniform(order_key, groups.shape)
    return jax.lax.top_k(jnp.where(groups == group, noise, -1.0), way)[1]


def whole_group(key: Array, groups: Array, way: int) -> tuple[Array, Array]:
    """`way` classes of which the first are one group's, all of it or as many as fit, and how many classes it has.

    A group is drawn by its first class, so that small ones are as likely as large ones.
    """
    group_key, class_key = jax.random.split(key)
    same = groups[:, None] == groups[None]
    first = (groups >= 0) & (jnp.argmax(same, axis=1) == up_to(len(groups)))
    one = jax.random.categorical(group_key, jnp.where(first, 0.0, -jnp.inf))
    inside = groups == groups[one]
    noise = jnp.where(inside, jax.random.uniform(class_key, (len(groups),)), 2.0)
    return jnp.argsort(noise)[:way], jnp.sum(inside, dtype=jnp.int32)


def up_to(n: int) -> Array:
    """0 to n - 1 as int32, whichever integers are the default."""
    return jnp.arange(n, dtype=jnp.int32)


def taken(rows: Any, places: Array) -> Any:
    """Examples of a tree, bytes as float32 in 0 to 1, and what is no bytes as it is."""
    taken = jax.tree.map(lambda a: a[places], rows, is_leaf=lambda a: isinstance(a, _Apart))
    return jax.tree.map(lambda a: a.astype(jnp.float32) / 255 if a.dtype == jnp.uint8 else a, taken)


def rotate(images: Array, turns: Array) -> Array:
    """Turn images `[..., H, H, C]` anticlockwise by `turns` times 90 degrees, with `turns` a traced 0 to 3."""
    flipped = jnp.where(turns >= 2, images[..., ::-1, ::-1, :], images)
    return jnp.where(turns % 2 == 1, jnp.swapaxes(flipped, -3, -2)[..., ::-1, :, :], flipped)


def example_major(x: Any) -> Batch:
    """`[way, n, ...]` to a batch whose row `i * way + k` is example i of class k."""
    way, n = jax.tree.leaves(x)[0].shape[:2]
    y = jnp.tile(jnp.eye(way, dtype=label_dtype(x)), (n, 1))
    return Batch(jax.tree.map(lambda a: jnp.swapaxes(a, 0, 1).reshape(n * way, *a.shape[2:]), x), y)


def label_dtype(x: Any) -> Any:
    """That of the first floats among the arrays that are as wide as float32, or float32 where none are."""
    kinds = (a.dtype for a in jax.tree.leaves(x))
    return next((k for k in kinds if jnp.issubdtype(k, jnp.floating) and k.itemsize >= 4), jnp.float32)
