"""Examples that stay in a file, of which those that are asked for are read: for data that are larger than memory."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

_BLOCK = 2**26


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Stored:
    """Rows `[N, ...]` of a file, indexed as an array is: a range or a list of places gives rows that stay there too,
    and a number, or any other index, gives an array. `numpy.asarray` reads them all.

    Attributes:
        file: `[M, ...]`, such as what `numpy.load(path, mmap_mode="r")` returns.
        places: int64 `[N]`, which of its rows, in which order.
        changes: what is done to each row after it is read, in their order.
        row: the shape of a row after it; of the rows of the file without changes.
    """

    file: np.ndarray
    places: np.ndarray
    changes: tuple[Callable[[np.ndarray], np.ndarray], ...] = ()
    row: tuple[int, ...] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """`(N, ...)`."""
        return (len(self.places), *(self.file.shape[1:] if self.row is None else self.row))

    @property
    def dtype(self) -> np.dtype:
        """Of the file; changes keep it."""
        return self.file.dtype

    @property
    def ndim(self) -> int:
        """Axes, that of the rows among them."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """How many numbers all rows have."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return self.size * self.dtype.itemsize

    def changed(self, change: Callable[[np.ndarray], np.ndarray], row: tuple[int, ...]) -> "Stored":
        """The same rows, each with one more change, which gives it the shape `row`."""
        return dataclasses.replace(self, changes=(*self.changes, change), row=row)

    def blocks(self) -> Iterator[np.ndarray]:
        """All rows, as arrays of some at a time."""
        number = max(_BLOCK * max(len(self), 1) // max(self.nbytes, 1), 1)
        for start in range(0, len(self), number):
            yield self._read(self.places[start : start + number])

    def _read(self, places: np.ndarray) -> np.ndarray:
        found = np.asarray(self.file[places])
        for change in self.changes:
            found = np.stack([change(row) for row in found]) if len(found) else found
        return found.reshape(len(places), *self.shape[1:])

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[np.ndarray]:
        for block in self.blocks():
            yield from block

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        found = self._read(self.places)
        return found if dtype is None else found.astype(dtype)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, tuple):
            first, *rest = place
            found = self[first]
            if isinstance(found, Stored) and rest:
                return np.asarray(found)[(slice(None), *rest)]
            return found[tuple(rest)] if rest else found
        places = np.asarray(self.places[place])
        if places.ndim == 1:
            return dataclasses.replace(self, places=places)
        return self._read(places.reshape(-1)).reshape(*places.shape, *self.shape[1:])


def stored(rows: np.ndarray) -> Stored:
    """All rows `[N, ...]` of a file that is mapped."""
    return Stored(rows, np.arange(len(rows)))
