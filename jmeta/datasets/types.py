"""The types of the data sets: `Dataset`, `Split`, `DataError`."""

import hashlib
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jmeta.checks import bytes_of
from jmeta.datasets.look import Look, look
from jmeta.datasets.splits import Split, split
from jmeta.errors import DataError as DataError
from jmeta.errors import printable
from jmeta.report.arrays import check_fits


class Dataset(NamedTuple):
    """Labeled images as one array, grouped by class.

    name: name of the data set, without the path it was read from.
    images: uint8 [classes, examples, H, W, C], 0 to 255; in drawings ink is bright (255) and paper 0.
    class_names: one unique name a class.
    groups: the group of each class (its alphabet), or the data set's name where there are none.
    counts: int32 [classes], how many examples are real; the rest of the row is zeros.
    checksum: sha256 hex of the images and all of the above.
    look: size, channels and ink of the images.
    """

    name: str
    images: np.ndarray
    class_names: tuple[str, ...]
    groups: tuple[str, ...]
    counts: np.ndarray
    checksum: str
    look: Look

    def split(self, protocol: str = "default") -> Split:
        """Divides the classes by a named protocol, as `jmeta.datasets.split`."""
        return split(self, protocol)


def make_dataset(
    name: str,
    images: np.ndarray,
    class_names: Sequence[str] | np.ndarray | None = None,
    groups: Sequence[str] | np.ndarray | None = None,
    counts: np.ndarray | None = None,
    *,
    seen: Look | None = None,
) -> Dataset:
    """Makes a `Dataset` after checking that its parts agree.

    Args:
        name: of the data set; of this and other names, what isn't printable is put in backslash notation.
        images: uint8 [classes, examples, H, W, C] or [classes, examples, H, W], or other integers or bools that can
            mean nothing else, see `jmeta.checks.bytes_of`.
        class_names: unique names; None numbers the classes "0", "1", ...
        groups: the group of each class; None puts all in one group called `name`.
        counts: [classes], how many examples are real; None means all.
        seen: the look of the images; None finds it out.

    Raises:
        DataError: an array of another type or rank, an empty one, or names, groups or counts that do not fit it.
    """
    if images.dtype.kind not in "biu" or images.ndim not in (4, 5):
        raise DataError(
            f"{name}: images must be uint8 of shape [classes, examples, H, W] or [classes, examples, H, W, C], "
            f"got {images.dtype} of shape {list(images.shape)}: convert them."
        )
    if 0 in images.shape:
        raise DataError(f"{name}: images are empty, got shape {list(images.shape)}: add at least one of each.")
    try:
        images = images if images.dtype == np.uint8 else bytes_of(images)
    except ValueError as error:
        raise DataError(f"{name}: {error}.") from error
    images = np.ascontiguousarray(images if images.ndim == 5 else images[..., None])
    name, (classes, examples) = printable(name), images.shape[:2]
    names = tuple(map(str, range(classes))) if class_names is None else _texts(name, "class_names", class_names)
    grouping = (name,) * classes if groups is None else _texts(name, "groups", groups)
    real = np.full(classes, examples) if counts is None else np.asarray(counts)
    if len(set(names)) != classes or len(names) != classes:
        raise DataError(f"{name}: {classes} classes need as many different names, got {len(set(names))}: rename them.")
    if len(grouping) != classes or real.shape != (classes,):
        raise DataError(
            f"{name}: {classes} classes need as many groups and counts, got {len(grouping)} and {real.size}: add them."
        )
    if real.dtype.kind not in "iu" or real.min() < 1 or real.max() > examples:
        got = real if real.dtype.kind not in "iu" else f"{real.min()} to {real.max()}"
        raise DataError(f"{name}: counts must be integers from 1 to {examples}, got {got!s:.60}: correct them.")
    real = real.astype(np.int32)
    digest = hashlib.sha256(repr((name, images.shape, names, grouping, real.tolist())).encode())
    digest.update(images.data)
    seen = look(images, real) if seen is None else seen
    return Dataset(name, images, names, grouping, real, digest.hexdigest(), seen)


def _texts(name: str, what: str, values: Any) -> tuple[str, ...]:
    found = np.asarray(values)
    if found.ndim != 1 or found.dtype.kind not in "USOiub":
        raise DataError(f"{name}: {what} must be a list of names, got {found.dtype} of shape {list(found.shape)}.")
    return tuple(printable(v.decode(errors="surrogateescape") if isinstance(v, bytes) else v) for v in found.tolist())


def changed(dataset: Dataset, images: np.ndarray, seen: Look) -> Dataset:
    """The data set with other images and their look, and the checksum of what it has now."""
    if images is dataset.images:
        return dataset._replace(look=seen)
    return make_dataset(dataset.name, images, dataset.class_names, dataset.groups, dataset.counts, seen=seen)


def by_class(pictures: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Images `[classes, examples, H, W, C]`, padded with zeros, and counts `[classes]`, of lists of `[H, W, C]`."""
    counts = np.array([len(row) for row in pictures], np.int32)
    images = room(counts, pictures[0][0].shape)
    for c, row in enumerate(pictures):
        images[c, : len(row)] = row
    return images, counts


def room(counts: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Zeros for pictures uint8 `[classes, examples, *shape]` of classes of so many; DataError where they don't fit."""
    sizes = (len(counts), int(counts.max()), *shape)
    try:
        check_fits(
            f"an array of {sizes[0]} classes x {sizes[1]} examples, as many as the largest has,", math.prod(sizes)
        )
    except ValueError as error:
        raise DataError(f"{error}.") from error
    return np.zeros(sizes, np.uint8)
