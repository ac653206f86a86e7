"""Omniglot: 1,623 handwritten characters of 50 alphabets, each drawn by 20 people, read from its original archives."""

import hashlib
import io
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from jmeta.datasets import cache, downloads
from jmeta.datasets.pictures import decode
from jmeta.datasets.sources import tracked
from jmeta.datasets.types import DataError, Dataset, make_dataset
from jmeta.report.arrays import DAMAGED, member

SIZE = 28
DRAWINGS = 20
SOURCE = "github.com/brendenlake/omniglot, folder python"
URL = "https://github.com/brendenlake/omniglot/raw/master/python/"
CLASSES = {
    "images_background.zip": 964,
    "images_evaluation.zip": 659,
    "images_background_small1.zip": 136,
    "images_background_small2.zip": 156,
}
ARCHIVES = {
    "omniglot": ("images_background.zip", "images_evaluation.zip"),
    "omniglot-small1": ("images_background_small1.zip", "images_evaluation.zip"),
    "omniglot-small2": ("images_background_small2.zip", "images_evaluation.zip"),
}
_FULL_SIZE = (105, 105)
_INK = [255, *[0] * 255]
"""Of each gray: paper is 1, True or 255 by the encoding, but ink is always 0."""
_MOST_BYTES = 2**20
_MEMBER = re.compile(r"[^/]+/(?P<alphabet>[^/]+)/(?P<character>character\d+)/(?P<drawing>\d+_\d+)\.png")


class Characters(NamedTuple):
    """The contents of an archive: images uint8 [classes, 20, 28, 28], and class names "alphabet/character"."""

    images: np.ndarray
    names: tuple[str, ...]


def load(name: str, root: Path, download: bool = True) -> Dataset:
    """Loads Omniglot at 28x28, ink bright, from its archives or from the cache.

    The set is "omniglot", images [1623, 20, 28, 28, 1], or "omniglot-small1" [795, ...] or "omniglot-small2"
    [815, ...], a small background set with the evaluation set. Archives are looked for in `root/omniglot`, `root`, and
    the download folders of TFDS; missing ones may be downloaded through TFDS, where there is a network. Classes are in
    the order archive, alphabet, character.

    Raises:
        DataError: a missing, damaged or wrong archive.

    Source: Lake et al. 2015, Human-level concept learning through probabilistic program induction.
    """
    paths = archives(name, root, download)
    hashes = "".join(hashlib.sha256(path.read_bytes()).hexdigest() for path in paths.values())
    key = hashlib.sha256(hashes.encode()).hexdigest()[:16]
    return cache.cached(f"{name}{SIZE}-{key}", lambda: _build(name, paths))


def archives(name: str, root: Path, download: bool = True) -> dict[str, Path]:
    """Paths of the archives of a set by file name, as `load` finds or downloads them.

    Raises:
        DataError: archives that are neither there nor to be had; says so within a few seconds.
    """
    found = {file: find(file, root) for file in ARCHIVES[name]}
    missing = {file: URL + file for file, path in found.items() if path is None}
    if missing and not (download and downloads.reachable(next(iter(missing.values())))):
        places = [root / "omniglot", root, *(f / "downloads" for f in downloads.tfds_folders(root))]
        raise DataError(
            f"{name} needs {' and '.join(missing)}, not found in {', '.join(map(str, places))} and there is no network "
            f"to download from: get them from {SOURCE}, and put them in {root / 'omniglot'}."
        )
    fetched = downloads.download("omniglot", missing, root) if missing else {}
    return {file: path or fetched[file] for file, path in found.items()}


def find(file: str, root: Path) -> Path | None:
    """The path of an archive, or None."""
    return find_here(file, root) or downloads.find_in_tfds("omniglot", URL + file, root)


def find_here(file: str, root: Path) -> Path | None:
    """The path of a file in `root/omniglot` or `root`, or None."""
    return next((path for path in (root / "omniglot" / file, root / file) if path.is_file()), None)


@contextmanager
def opened(path: Path, source: str) -> Iterator[zipfile.ZipFile]:
    """A zip file from which what can't be read is told as a `DataError`."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except DataError:
        raise
    except DAMAGED as error:
        why = str(error).strip("'\"")
        raise DataError(
            f"{path} is damaged or another file ({why}), {path.stat().st_size} bytes long: delete it and get it again "
            f"from {source}."
        ) from error


def read(archive: zipfile.ZipFile, name: str) -> bytes:
    """A small member of a zip file; raises one of `DAMAGED` where it is none."""
    with member(archive, name, _MOST_BYTES) as file:
        return file.read()


def read_archive(path: Path, classes: int) -> Characters:
    """The `Characters`, in sorted order, of a zip file `images_x/<alphabet>/<characterNN>/<id>_<drawer>.png`.

    Raises:
        DataError: no zip file, one cut short, or one without so many classes of 20 drawings.
    """
    with opened(path, SOURCE) as archive:
        # The copies named ._x.png that some zip programs add do not match.
        found = [m for m in map(_MEMBER.fullmatch, archive.namelist()) if m]
        members = sorted((m.group("alphabet", "character", "drawing"), m.string) for m in found)
        _check_members(path, [key for key, _ in members], classes)
        images = np.stack([read_drawing(read(archive, name)) for _, name in tracked(members, f"Reading {path.name}")])
    names = tuple(f"{alphabet}/{character}" for (alphabet, character, _), _ in members[::DRAWINGS])
    return Characters(images.reshape(classes, DRAWINGS, SIZE, SIZE), names)


def read_drawing(content: bytes, size: int = SIZE) -> np.ndarray:
    """A drawing of 105x105 pixels, from the bytes of its PNG file, as uint8 `[size, size]` with ink 255 and paper 0.

    Raises:
        ValueError: a drawing of another size; or another of `DAMAGED`, for what is no picture.
    """
    picture = decode(io.BytesIO(content), _FULL_SIZE).convert("L").point(_INK)
    return np.asarray(picture.resize((size, size), Image.Resampling.LANCZOS))


def _build(name: str, paths: dict[str, Path]) -> Dataset:
    parts = [read_archive(path, CLASSES[file]) for file, path in paths.items()]
    names = [name for part in parts for name in part.names]
    images = np.concatenate([part.images for part in parts])
    return make_dataset(name, images, names, [name.partition("/")[0] for name in names])


def _check_members(path: Path, keys: list[tuple[str, ...]], classes: int) -> None:
    drawings = Counter(key[:2] for key in keys)
    if len(drawings) != classes or {*drawings.values()} != {DRAWINGS}:
        raise DataError(
            f"{path} must have {classes} characters of {DRAWINGS} drawings each, got {len(drawings)} characters and "
            f"{len(keys)} drawings: get the original from {SOURCE}."
        )
