"""Examples by class, whatever an example is: classes of unlike sizes take the memory of the examples that there are."""

import dataclasses
from typing import Any

import jax
import numpy as np

from jmeta.checks import bytes_of
from jmeta.stored import stored


@dataclasses.dataclass(frozen=True, eq=False)
class Ragged:
    """Examples of classes, one class after another.

    `ragged[k]` has the examples of class k, `ragged[k, i]` is one of them, `ragged[[2, 5]]` has these classes alone,
    and `ragged[:, :10]` the first ten examples of each.

    Attributes:
        rows: an array `[N, ...]`, or a tree of them, such as tokens with a mask.
        counts: int32 `[classes]`, how many each class has; they sum to N.
    """

    rows: Any
    counts: np.ndarray

    @property
    def starts(self) -> np.ndarray:
        """Int32 `[classes]`, the row at which each class begins."""
        return (np.cumsum(self.counts) - self.counts).astype(np.int32)

    @property
    def labels(self) -> np.ndarray:
        """Int32 `[N]`, the class of each row."""
        return np.repeat(np.arange(len(self.counts), dtype=np.int32), self.counts)

    @property
    def shape(self) -> tuple[int, ...]:
        """`(classes, examples, ...)` of an array that has room for the largest class; `rows` must be one array."""
        (rows,) = jax.tree.leaves(self.rows)
        return (len(self.counts), int(self.counts.max(initial=0)), *rows.shape[1:])

    @property
    def nbytes(self) -> int:
        """Of all examples."""
        return sum(leaf.nbytes for leaf in jax.tree.leaves(self.rows))

    def padded(self) -> Any:
        """Arrays `[classes, examples, ...]` with room for the largest class, in which what is missing is zeros."""
        classes, most = len(self), int(self.counts.max(initial=0))
        if (self.counts == most).all():
            return jax.tree.map(lambda a: np.reshape(a, (classes, most, *a.shape[1:])), self.rows)
        there = np.arange(most) < self.counts[:, None]

        def pad(rows: np.ndarray) -> np.ndarray:
            found = np.zeros((classes, most, *rows.shape[1:]), rows.dtype)
            found[there] = rows
            return found

        return jax.tree.map(pad, self.rows)

    def __len__(self) -> int:
        return len(self.counts)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, tuple):
            found = self[place[0]]
            return found._of_each(*place[1:]) if isinstance(found, Ragged) else _at(found, place[1:])
        classes = np.arange(len(self))[place]
        if not classes.ndim:
            start, count = self.starts[classes], self.counts[classes]
            return jax.tree.map(lambda a: a[start : start + count], self.rows)
        counts = self.counts[classes]
        rows = np.arange(counts.sum()) + np.repeat(self.starts[classes] - (np.cumsum(counts) - counts), counts)
        return Ragged(_at(self.rows, rows), counts)

    def _of_each(self, examples: Any, *rest: Any) -> "Ragged":
        if rest or not isinstance(examples, slice):
            raise IndexError("of several classes take a range of examples, as [:, :10], or an array of all by padded()")
        own = [np.arange(count)[examples] + start for start, count in zip(self.starts, self.counts, strict=True)]
        rows = np.concatenate([*own, np.zeros(0, np.int64)]).astype(np.int64)
        return Ragged(_at(self.rows, rows), np.array([len(each) for each in own], np.int32))


def _at(rows: Any, place: Any) -> Any:
    return jax.tree.map(lambda a: a[place], rows)


def ragged(examples: Any, counts: Any = None) -> Ragged:
    """Examples by class out of arrays `[classes, examples, ...]`; what is `Ragged` is taken as it is.

    Args:
        examples: an array, or a tree of arrays that are alike in their first two axes. Pictures `[classes, examples, H,
            W, C]`, or of integers `[classes, examples, H, W]`, are uint8, 0 to 255, floats, or other integers and bools
            that can mean nothing else, see `jmeta.checks.bytes_of`.
        counts: integers `[classes]`, how many of the examples of each class are real; None means all.

    Raises:
        ValueError: for arrays of other forms, and for counts that do not fit them.
    """
    if isinstance(examples, Ragged):
        if counts is not None and not np.array_equal(counts, examples.counts):
            raise ValueError("what is Ragged has its counts: leave counts out")
        return examples
    if isinstance(getattr(examples, "examples", None), Ragged):
        raise ValueError("give the examples of some classes of a data set, as data.examples[data.split().train]")
    examples = jax.tree.map(_checked, examples)
    leaves = jax.tree.leaves(examples)
    if not leaves:
        raise ValueError("examples must be arrays, got none")
    sizes = {leaf.shape[:2] for leaf in leaves}
    if len(sizes) != 1:
        raise ValueError(f"examples must be arrays that are alike in [classes, examples], got {sorted(sizes)}")
    ((classes, most),) = sizes
    real = np.full(classes, most) if counts is None else np.asarray(counts)
    if real.shape != (classes,) or real.dtype.kind not in "iu":
        got = f"{real.dtype} of shape {list(real.shape)}"
        raise ValueError(f"counts must be an integer for each of the {classes} classes, got {got}: correct them")
    if real.max(initial=0) > most or real.min(initial=0) < 0:
        got = f"{real.min()} to {real.max()}"
        raise ValueError(f"counts must be 0 to {most}, as many examples as the array has, got {got}: correct them")
    rows = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), examples)
    if (real < most).any():
        there = np.flatnonzero(np.arange(most) < real[:, None])
        rows = jax.tree.map(lambda a: (stored(a) if isinstance(a, np.memmap) else a)[there], rows)
    return Ragged(rows, real.astype(np.int32))


def _checked(examples: Any) -> Any:
    examples = examples if hasattr(examples, "dtype") else np.asarray(examples)
    shape, kind = tuple(examples.shape), np.dtype(examples.dtype)
    pictures = len(shape) == 4 and shape[3] in (1, 3, 4) and min(shape[1:3]) > 4
    no_classes = pictures and (shape[1] == shape[2] or kind == np.uint8)
    if len(shape) < 3 or no_classes:
        raise ValueError(
            f"examples must be [classes, examples, ...], such as [classes, examples, H, W, C], got {list(shape)}: "
            "group rows [N, ...] by their labels with jmeta.datasets.from_labels"
        )
    check_channels(shape)
    if len(shape) > 3 or kind.kind not in "biu":
        found = bytes_of(examples)
        return found[..., None] if len(shape) == 4 and kind.kind in "biu" else found
    return examples if kind.isnative else examples.astype(kind.newbyteorder("="))  # tokens, a mask


def check_channels(shape: tuple[int, ...], *, rows: bool = False) -> None:
    """Raise ValueError for pictures `[classes, examples, H, W, C]`, or rows `[N, H, W, C]` of them, whose channels can
    but come first."""
    before = 1 if rows else 2
    if len(shape) == before + 3 and shape[before] <= 4 < min(shape[before + 1 :]):
        form = "[N, H, W, C]" if rows else "[classes, examples, H, W, C]"
        raise ValueError(
            f"pictures must be {form}, and these, {list(shape)}, have their channels first: move them by "
            f"np.moveaxis(images, {before}, -1)"
        )
