"""Data sets from a user's own arrays: rows with their labels, or an npz file."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from jmeta.datasets.files import told_of_copies
from jmeta.datasets.types import DataError, Dataset, make_dataset, stays
from jmeta.ragged import Ragged, check_channels
from jmeta.report.arrays import DAMAGED, Declared, read_npz
from jmeta.stored import stored

_DATA = ("images", "x", "features", "data", "embeddings")
_LABELS = ("labels", "label", "y", "targets")
_ROWS = "rows"
_BESIDE = ("class_names", "groups", "counts", *_LABELS)


def from_labels(x: Any, y: Any, *, name: str = "data", groups: Mapping[str, str] | None = None) -> Dataset:
    """Rows with a label each, as nearly every data set is kept, as a data set of their classes.

    Args:
        x: `[N, ...]`: pictures `[N, H, W, C]` or, of integers, `[N, H, W]`; vectors, series or other examples. Pictures
            uint8 `[N, H, W, C]` of `numpy.load(path, mmap_mode="r")` stay in their file.
        y: `[N]` or `[N, 1]`, names or numbers of classes, which are in sorted order.
        name: of the data set.
        groups: the group of each class, by its name.

    Raises:
        DataError: for labels that are not one for each row, or are no classes; and as `make_dataset`.

    Example:
        >>> data = from_labels(np.eye(4), ["dog", "cat", "dog", "cat"])
        >>> data.class_names, data.counts.tolist(), data.images.shape
        (('cat', 'dog'), [2, 2], (2, 2, 4))
    """
    x, y = _as_array(name, "examples", x), _as_array(name, "labels", y)
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if x.ndim < 2 or not x.size or y.shape != x.shape[:1]:
        one_hot = y.ndim == 2 and len(y) == len(x) and y.dtype.kind in "biuf" and (y.sum(1) == 1).all()
        cure = "give labels.argmax(1), the numbers of classes" if one_hot else "give one label for each example"
        raise DataError(
            f"{name} has labels, so that examples must be [N, ...] and labels [N], got {list(x.shape)} and "
            f"{list(y.shape)}: {cure}."
        )
    try:
        check_channels(x.shape, rows=True)
    except ValueError as error:
        raise DataError(f"{name}: {error}.") from error
    if y.dtype.kind == "O" and any(label is None or label != label for label in y):
        raise DataError(
            f"{name}: {sum(v is None or v != v for v in y)} labels are missing, None or NaN: leave these out."
        )
    if y.dtype.kind not in "USOiubf" or (y.dtype.kind == "f" and not (y == np.round(y)).all()):
        raise DataError(f"{name}: labels must be names or numbers of classes, got {y.dtype}, {y[:3]}: correct them.")
    y = y.astype(np.int64) if y.dtype.kind == "f" else y.astype(str) if y.dtype.kind == "O" else y
    values, places, counts = np.unique(y, return_inverse=True, return_counts=True)
    names = [v.decode(errors="surrogateescape") if isinstance(v, bytes) else str(v) for v in values.tolist()]
    rows = (stored(x) if stays(x) else x)[np.argsort(places, kind="stable")]
    own = None if groups is None else [groups[label] for label in names]
    return make_dataset(name, Ragged(rows, counts.astype(np.int32)), names, own)


def _as_array(name: str, what: str, found: Any) -> np.ndarray:
    if hasattr(found, "toarray"):
        raise DataError(f"{name}: {what} are a sparse matrix: give {what}.toarray().")
    try:
        return np.asanyarray(found) if stays(found) else np.asarray(found)
    except ValueError as error:
        raise DataError(f"{name}: {what} must be of one shape, to be one array: pad or cut them.") from error


def load_npz(path: Path) -> Dataset:
    """Loads an npz file, as a data set of its name; warns of pictures that are there twice.

    It has an array `images` (or x, features, data, embeddings, or just one array of rank 5): of pictures `[classes,
    examples, H, W, C]` or `[classes, examples, H, W]`, of vectors `[classes, examples, D]`, as `make_dataset` takes
    them; and if wanted `class_names`, `groups` and `counts` `[classes]`. Or it has `images` `[N, ...]` and `labels`
    `[N]` (or y, targets), as `from_labels` takes them; or `rows` `[N, ...]` with `counts` `[classes]`, which sum to N.
    Other arrays are not read.

    Raises:
        DataError: a file that cannot be read, or other contents.
    """
    try:
        arrays = read_npz(path, partial(_wanted, path))
    except DataError:
        raise
    except DAMAGED as error:
        raise DataError(
            f"{path} cannot be read as an npz file ({error}): make it with numpy.savez(path, images=..., "
            "class_names=...)."
        ) from error
    known = {name.lower(): array for name, array in arrays.items()}
    data, labels = (next((known[n] for n in names if n in known), None) for names in ((*_DATA, _ROWS), _LABELS))
    data = next(a for n, a in known.items() if n not in _BESIDE) if data is None else data
    if known.get("images") is data and data.ndim == (3 if labels is not None else 4) and data.dtype.kind == "f":
        data = data[..., None]  # named as pictures, and without channels
    if labels is not None:
        if known.keys() & {"class_names", "counts"}:
            raise DataError(
                f"{path} has labels, which name the classes and say how many examples they have: leave class_names and "
                "counts out, or give the names as labels."
            )
        return told_of_copies(from_labels(data, labels, name=path.stem))
    names, groups, counts = (known.get(name) for name in _BESIDE[:3])
    if known.get(_ROWS) is data:
        return told_of_copies(make_dataset(path.stem, _as_rows(path, data, counts), names, groups))
    return told_of_copies(make_dataset(path.stem, data, names, groups, counts))


def load_rows(path: Path) -> np.ndarray:
    """The examples `[N, ...]` of an npz file, its `images` (or x, features, data, embeddings) or its only array.

    Raises:
        DataError: for a file that can't be read, or other contents.
    """

    def wanted(declared: Mapping[str, Declared]) -> list[str]:
        keys = [key for name in _DATA for key in declared if key.lower() == name]
        keys = keys or [key for key in declared if key.lower() not in _BESIDE]
        if len(keys) != 1 or len(declared[keys[0]].shape) < 2:
            has = ", ".join(f"{key} of shape {list(array.shape)}" for key, array in list(declared.items())[:8])
            raise DataError(f"{path} must have one array of examples [N, ...], got {has or 'no arrays'}: rename it.")
        return keys

    try:
        (found,) = read_npz(path, wanted).values()
    except DataError:
        raise
    except DAMAGED as error:
        raise DataError(
            f"{path} cannot be read as an npz file ({error}): make it with numpy.savez(path, images=...)."
        ) from error
    return found


def is_vectors(path: Path) -> bool:
    """Whether the examples of an npz file are no pictures, by its headers alone; False where they can't be read."""
    seen: dict[str, Declared] = {}

    def look(declared: Mapping[str, Declared]) -> list[str]:
        keys = _wanted(path, declared)
        seen.update({key.lower(): declared[key] for key in keys})
        return []

    try:
        read_npz(path, look)
    except DAMAGED:
        return False
    array = next(a for name, a in seen.items() if name not in _BESIDE)
    axes = len(array.shape) - (1 if _ROWS in seen or not seen.keys().isdisjoint(_LABELS) else 2)
    return axes == 1 or (axes == 2 and array.dtype.kind == "f" and "images" not in seen)


def _as_rows(path: Path, rows: np.ndarray, counts: np.ndarray | None) -> Ragged:
    if counts is None or counts.ndim != 1 or counts.dtype.kind not in "iu" or counts.min(initial=0) < 0:
        raise DataError(f"{path} has rows, which need counts [classes] of integers: add them.")
    if counts.sum() != len(rows):
        raise DataError(f"{path} has {len(rows)} rows, and counts that sum to {counts.sum()}: correct them.")
    return Ragged(rows, counts.astype(np.int32))


def _wanted(path: Path, declared: Mapping[str, Declared]) -> list[str]:
    """The names of the arrays that are read, from what there is."""
    known = {key: array for key, array in declared.items() if key.lower() not in _BESIDE}
    found = next(([key] for name in (*_DATA, _ROWS) for key in known if key.lower() == name), None)
    found = found or [key for key, array in known.items() if len(array.shape) == 5]
    if len(found) != 1:
        has = ", ".join(f"{key} of shape {list(array.shape)}" for key, array in list(declared.items())[:8])
        raise DataError(
            f"{path} must have an array called images of shape [classes, examples, H, W, C], or images [N, ...] and "
            f"labels [N], got {has or 'no arrays'}: rename it."
        )
    return found + [key for key in declared if key.lower() in _BESIDE]
