"""CIFAR-100 from its official python archive, of which no code is run."""

import pickle
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from jmeta.datasets.published import CIFAR100
from jmeta.datasets.types import DataError, Dataset, make_dataset
from jmeta.errors import first_line
from jmeta.ragged import Ragged
from jmeta.report.arrays import check_fits, check_regular

ARCHIVE = "cifar-100-python.tar.gz"
PAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"
SIZE = 32
_PARTS = ("train", "test")
_MOST_BYTES = 2**28
_DAMAGED = (OSError, ValueError, KeyError, TypeError, EOFError, IndexError, AttributeError, zlib.error)
_FINE = sorted(range(len(CIFAR100)), key=lambda k: CIFAR100[k].partition("/")[2])
"""The place in `CIFAR100` of each number that the archive has for a class: those of its names in sorted order."""
_ABOVE = sorted({name.partition("/")[0] for name in CIFAR100})


class Pictures(NamedTuple):
    """A part of the archive: pictures uint8 `[N, 32, 32, 3]`, the place of the class of each, and its file's name."""

    images: np.ndarray
    classes: np.ndarray
    names: list[str]


def is_archive(path: Path) -> bool:
    """Whether a path is the archive, or the folder that it unpacks to."""
    return path.name.endswith((".tar.gz", ".tgz")) or all((path / part).is_file() for part in _PARTS)


def read(path: Path) -> Dataset:
    """CIFAR-100, both parts together, from the official archive or the folder that it unpacks to.

    Classes are superclass/class in sorted order, and the pictures of a class in the order of their files' names, so
    that the data set is the same as one of files with these names.

    Raises:
        DataError: for what is damaged, cut short, or of another form.

    Source: Krizhevsky 2009, Learning multiple layers of features from tiny images,
    https://www.cs.toronto.edu/~kriz/cifar.html
    """
    try:
        check_regular(path)
        parts = [_pictures(part) for part in (_of_folder(path) if path.is_dir() else _of_archive(path))]
    except (*_DAMAGED, tarfile.TarError, pickle.UnpicklingError) as error:
        raise DataError(
            f"{path} is damaged, cut short or another file ({first_line(error)}): get {ARCHIVE} again from {PAGE}."
        ) from error
    images, classes = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    names = [name for part in parts for name in part.names]
    order = sorted(range(len(names)), key=lambda i: (classes[i], names[i]))
    counts = np.bincount(classes, minlength=len(CIFAR100)).astype(np.int32)
    if counts.min() < 1:
        lost = CIFAR100[int(counts.argmin())]
        raise DataError(f"{path} has no picture of {lost}: get {ARCHIVE} again from {PAGE}.")
    groups = [name.partition("/")[0] for name in CIFAR100]
    return make_dataset("cifar100", Ragged(images[order], counts), CIFAR100, groups)


def _of_folder(path: Path) -> list[Mapping[str, Any]]:
    found = []
    for part in _PARTS:
        check_regular(path / part)
        with open(path / part, "rb") as file:
            found.append(_contents(file, (path / part).stat().st_size))
    return found


def _of_archive(path: Path) -> list[Mapping[str, Any]]:
    found = {}
    with tarfile.open(path, "r:gz") as archive:
        for member in archive:
            part = PurePosixPath(member.name).name
            if part in _PARTS and member.isfile() and (file := archive.extractfile(member)) is not None:
                found[part] = _contents(file, member.size)  # type: ignore[arg-type]
    return [found[part] for part in _PARTS]


def _contents(file: BinaryIO, size: int) -> Mapping[str, Any]:
    if size > _MOST_BYTES:
        raise ValueError(f"a part of {size:,} bytes, and {_MOST_BYTES:,} at most are expected")
    check_fits("a part", 2 * size)
    found = _Plain(file, encoding="bytes").load()
    if not isinstance(found, dict):
        raise ValueError(f"a part is a {type(found).__name__}, and no table")
    return {_text(name): value for name, value in found.items()}


def _pictures(found: Mapping[str, Any]) -> Pictures:
    pixels, fine, above = found["data"].values(), np.array(found["fine_labels"]), np.array(found["coarse_labels"])
    if not len(pixels) == len(fine) == len(above) or fine.dtype.kind != "i" or above.dtype.kind != "i":
        raise ValueError(f"{len(pixels)} pictures with {len(fine)} classes and {len(above)} superclasses")
    if fine.min() < 0 or fine.max() >= len(CIFAR100):
        raise ValueError(f"classes of {fine.min()} to {fine.max()}, and 0 to 99 are expected")
    classes = np.array(_FINE)[fine]
    wrong = [k for k, n in zip(classes, above, strict=True) if CIFAR100[k].partition("/")[0] != _ABOVE[n]]
    if wrong:
        raise ValueError(f"{CIFAR100[wrong[0]]} in another superclass")
    names = [_text(name) for name in found.get("filenames", [""] * len(pixels))]
    images = pixels.reshape(-1, 3, SIZE, SIZE).transpose(0, 2, 3, 1)
    return Pictures(images, classes, [PurePosixPath(name).stem for name in names])


def _text(found: Any) -> str:
    return found.decode("latin1") if isinstance(found, bytes) else str(found)


class _Kind:
    """Stands for NumPy's array type and its types of numbers: what it is made of is kept, and nothing else done."""

    def __init__(self, *given: Any) -> None:
        self.given = given

    def __setstate__(self, state: Any) -> None:
        pass


class _Array:
    """Stands for an array: what it says of itself."""

    def __init__(self, *_: Any) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def values(self) -> np.ndarray:
        """Bytes `[N, 3072]`."""
        _, shape, kind, by_column, data = self.state
        if _text(kind.given[0]) not in ("u1", "|u1") or by_column or tuple(shape)[1:] != (3 * SIZE**2,):
            raise ValueError(f"pictures of {_text(kind.given[0])} and shape {list(shape)}, and bytes are expected")
        data = data.encode("latin1") if isinstance(data, str) else data
        return np.frombuffer(data, np.uint8).reshape(shape)


_STANDING_IN = {
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _Array for core in ("core", "_core")},
    ("numpy", "ndarray"): _Kind,
    ("numpy", "dtype"): _Kind,
    ("_codecs", "encode"): lambda text, _: text.encode("latin1"),
}


class _Plain(pickle.Unpickler):
    """Reads tables of lists, numbers, texts and arrays; what would run code is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _STANDING_IN:
            raise ValueError(f"it names {module}.{name}, which is never run")
        return _STANDING_IN[module, name]
