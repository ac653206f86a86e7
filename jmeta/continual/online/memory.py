"""A memory of fixed size that holds a uniform sample of all that went by: a reservoir, as a tree of arrays."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jmeta.checks import check_sizes


class Memory(NamedTuple):
    """A reservoir.

    Attributes:
        items: any tree of arrays, whose leaves `[M, ...]` have a row for each place.
        seen: int32 `[]`, the number of items that were offered so far; the first `min(seen, M)` places are filled.
    """

    items: Any
    seen: Array


def empty(item: Any, size: int) -> Memory:
    """A memory of `size` places for items like `item`, a tree of arrays `[...]`; ValueError for a size below 1."""
    check_sizes(size=size)
    return Memory(jax.tree.map(lambda a: jnp.zeros((size, *jnp.shape(a)), a.dtype), item), jnp.int32(0))


def places(memory: Memory) -> int:
    """M."""
    return len(jax.tree.leaves(memory.items)[0])


def add(memory: Memory, key: Array, rows: Any, weight: Array | None = None) -> Memory:
    """The memory after items were offered one after another, by algorithm R.

        item n = 1, 2, ...:   n <= M: it fills place n
                              n >  M: j ~ U{1, ..., n}; j <= M: it takes place j

    After N >= M items each of them is there with probability M / N, and any two with M (M - 1) / (N (N - 1)).

    Args:
        memory: before.
        key: decides which places are taken.
        rows: leaves `[N, ...]`, like the memory's.
        weight: `[N]`; rows of weight 0 are not offered. None for all.

    Example:
        >>> memory = add(empty(jnp.float32(0), 3), jax.random.key(0), jnp.arange(2.0))
        >>> memory.items.tolist(), memory.seen.item()
        ([0.0, 1.0, 0.0], 2)

    Differs from the code released with MER and La-MAML, which draw j from n + 1 numbers and so keep later items with
    M / (n + 1). Rows are written at once, where of those for one place the last one is: as one after another.

    Source: Vitter 1985, Random Sampling with a Reservoir, algorithm R. https://doi.org/10.1145/3147.3165
    """
    number, size = len(jax.tree.leaves(rows)[0]), places(memory)
    offered = jnp.ones(number, bool) if weight is None else weight != 0
    count = memory.seen + jnp.cumsum(offered, dtype=jnp.int32)
    drawn = jax.random.randint(key, (number,), 0, jnp.maximum(count, 1), jnp.int32)
    place = jnp.where(count <= size, count - 1, drawn)
    taken = offered & (place < size)
    row = jnp.arange(number, dtype=jnp.int32)
    last = jnp.full(size, -1, jnp.int32).at[jnp.where(taken, place, size)].max(row, mode="drop")
    written = taken & (last[jnp.clip(place, 0, size - 1)] == row)
    place = jnp.where(written, place, size + row)
    items = jax.tree.map(lambda kept, new: kept.at[place].set(new, mode="drop"), memory.items, rows)
    return Memory(items, memory.seen + jnp.sum(offered, dtype=jnp.int32))


def draw(memory: Memory, key: Array, number: int) -> tuple[Any, Array]:
    """Different items, uniformly drawn, and which of them are there.

    Args:
        memory: of M places.
        key: decides which.
        number: of items; where fewer are there, all of them come, and the rest is padding.

    Returns:
        Leaves `[number, ...]`, and float weights `[number]`, 0 for padding.

    Differs from the code released with MER and La-MAML, which draws with replacement.
    """
    size = places(memory)
    filled = jnp.arange(size, dtype=jnp.int32) < memory.seen
    order = jax.lax.top_k(jnp.where(filled, jax.random.uniform(key, (size,)), -1.0), min(number, size))[1]
    order = jnp.pad(order, (0, number - len(order)), constant_values=-1)
    there = (order >= 0) & filled[order]
    return jax.tree.map(lambda a: a[order], memory.items), there.astype(float)
