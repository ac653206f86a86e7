"""The types of the data sets: `Dataset`, `Split`, `DataError`."""

import hashlib
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jmeta.checks import bytes_of, native
from jmeta.datasets.look import Look, look
from jmeta.datasets.splits import Split, split
from jmeta.errors import DataError as DataError
from jmeta.errors import printable
from jmeta.ragged import Ragged, check_channels, ragged
from jmeta.report.arrays import check_fits
from jmeta.stored import Stored, stored


class Dataset(NamedTuple):
    """Labeled examples grouped by class.

    name: name of the data set, without the path it was read from.
    examples: of each class; `images` has them as one array.
    class_names: one unique name a class.
    groups: the group of each class (its alphabet), or the data set's name where there are none.
    checksum: sha256 hex of the examples and all of the above.
    look: size, channels and ink of pictures; None for other examples.
    """

    name: str
    examples: Ragged
    class_names: tuple[str, ...]
    groups: tuple[str, ...]
    checksum: str
    look: Look | None

    @property
    def images(self) -> Any:
        """An array `[classes, examples, ...]`, of pictures uint8 `[classes, examples, H, W, C]`, 0 to 255, whose ink is
        bright (255) and paper 0. Where classes are of unlike sizes, `examples`, which is indexed like an array and has
        no padding that could be taken for examples; `examples.padded()` has. So too where they stay in a file."""
        whole = len(np.unique(self.counts)) == 1 and not isinstance(self.examples.rows, Stored)
        return self.examples.padded() if whole else self.examples

    @property
    def counts(self) -> np.ndarray:
        """Int32 `[classes]`, how many examples each class has."""
        return self.examples.counts

    def split(self, protocol: str = "default") -> Split:
        """Divides the classes by a named protocol, as `jmeta.datasets.split`."""
        return split(self, protocol)


def make_dataset(
    name: str,
    images: Any,
    class_names: Sequence[str] | np.ndarray | None = None,
    groups: Sequence[str] | np.ndarray | None = None,
    counts: np.ndarray | None = None,
    *,
    seen: Look | None = None,
) -> Dataset:
    """Makes a `Dataset` after checking that its parts agree.

    Args:
        name: of the data set; of this and other names, what isn't printable is put in backslash notation.
        images: pictures `[classes, examples, H, W, C]` or, of integers, `[classes, examples, H, W]`: uint8, floats of 0
            to 1 or of 0 to 255, or integers or bools that can mean nothing else, see `jmeta.checks.bytes_of`. Or other
            examples `[classes, examples, ...]`: vectors, series, floats of other ranges, tokens. Or a `Ragged`.
        class_names: unique names; None numbers the classes "0", "1", ...
        groups: the group of each class; None puts all in one group called `name`.
        counts: [classes], how many examples are real; None means all.
        seen: the look of the pictures; None finds it out.

    Raises:
        DataError: an array of another type or rank, an empty one, or names, groups or counts that do not fit it.
    """
    try:
        known = images if isinstance(images, Ragged) else ragged(np.asarray(images), counts)
        check_channels(known.shape)
        rows = known.rows
        rows = stored(rows) if stays(rows) else rows
        known = Ragged(rows if isinstance(rows, Stored) else np.ascontiguousarray(_pictures(rows)), known.counts)
    except ValueError as error:
        raise DataError(f"{name}: {error}.") from error
    if 0 in known.shape:
        raise DataError(f"{name}: images are empty, got shape {list(known.shape)}: add at least one of each.")
    if known.counts.min() < 1:
        raise DataError(f"{name}: counts must be 1 or more, got {known.counts.min()}: leave empty classes out.")
    if known.rows.dtype.kind == "f" and not np.isfinite(known.rows).all():
        raise DataError(f"{name}: examples must be finite numbers, and some are NaN or infinite: correct them.")
    name, classes = printable(name), len(known)
    names = tuple(map(str, range(classes))) if class_names is None else _texts(name, "class_names", class_names)
    grouping = (name,) * classes if groups is None else _texts(name, "groups", groups)
    if len(set(names)) != classes or len(names) != classes:
        raise DataError(f"{name}: {classes} classes need as many different names, got {len(set(names))}: rename them.")
    if len(grouping) != classes:
        raise DataError(f"{name}: {classes} classes need as many groups, got {len(grouping)}: add them.")
    digest = hashlib.sha256(repr((name, known.shape, names, grouping, known.counts.tolist())).encode())
    for block in known.rows.blocks() if isinstance(known.rows, Stored) else (known.rows,):
        digest.update(np.ascontiguousarray(block).data)
    pictures = known.rows.dtype == np.uint8 and known.rows.ndim == 4
    seen = look(known.rows) if seen is None and pictures else seen
    return Dataset(name, known, names, grouping, digest.hexdigest(), seen)


def stays(rows: Any) -> bool:
    """Whether rows `[N, ...]` can stay where they are: pictures of bytes in a file that is mapped."""
    return isinstance(rows, np.memmap) and rows.dtype == np.uint8 and rows.ndim == 4


def _pictures(rows: np.ndarray) -> np.ndarray:
    """Pictures as bytes `[N, H, W, C]`, of floats by their range; what are no pictures, as they are."""
    if rows.dtype.kind not in "biuf":
        raise ValueError(f"examples must be numbers, got {rows.dtype}: convert them")
    rows = native(rows)
    if rows.dtype.kind != "f":
        rows = bytes_of(rows) if rows.ndim in (3, 4) else rows
        return rows[..., None] if rows.ndim == 3 else rows
    low, high = (float(rows.min()), float(rows.max())) if rows.size else (0.0, 0.0)
    if rows.ndim != 4 or low < 0 or not high <= 255:  # NaN too
        return rows
    return (rows * (255 if high <= 1 else 1)).round().astype(np.uint8)


def _texts(name: str, what: str, values: Any) -> tuple[str, ...]:
    found = np.asarray(values)
    if found.ndim != 1 or found.dtype.kind not in "USOiub":
        raise DataError(f"{name}: {what} must be a list of names, got {found.dtype} of shape {list(found.shape)}.")
    return tuple(printable(v.decode(errors="surrogateescape") if isinstance(v, bytes) else v) for v in found.tolist())


def changed(dataset: Dataset, rows: np.ndarray | Stored, seen: Look) -> Dataset:
    """The data set with other pictures `[N, H, W, C]` and their look, and the checksum of what it has now."""
    if rows is dataset.examples.rows:
        return dataset._replace(look=seen)
    examples = Ragged(rows, dataset.counts)
    return make_dataset(dataset.name, examples, dataset.class_names, dataset.groups, seen=seen)


def by_class(pictures: Sequence[Sequence[Any]]) -> Ragged:
    """The pictures of each class, of lists of `[H, W, C]`."""
    rows = room(sum(map(len, pictures)), pictures[0][0].shape)
    for place, picture in enumerate(picture for row in pictures for picture in row):
        rows[place] = picture
    return Ragged(rows, np.array([len(row) for row in pictures], np.int32))


def room(number: int, shape: tuple[int, ...]) -> np.ndarray:
    """An array for so many pictures, uint8 `[number, *shape]`; DataError where they don't fit into memory."""
    try:
        check_fits(f"an array of {number} pictures of {' x '.join(map(str, shape))}", number * math.prod(shape))
    except ValueError as error:
        raise DataError(f"{error}.") from error
    return np.zeros((number, *shape), np.uint8)
