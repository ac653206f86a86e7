"""Omniglot: 1,623 handwritten characters of 50 alphabets, each drawn by 20 people, read from its original archives."""

import hashlib
import io
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jmeta.datasets import cache, downloads
from jmeta.datasets.pictures import decode, fit
from jmeta.datasets.types import DataError, Dataset, make_dataset

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
_MEMBER = re.compile(r"[^/]+/(?P<alphabet>[^/]+)/(?P<character>character\d+)/(?P<drawing>\d+_\d+)\.png")


class Characters(NamedTuple):
    """The contents of one archive: images uint8 [classes, 20, 28, 28], class names "alphabet/character", alphabets."""

    images: np.ndarray
    names: tuple[str, ...]
    alphabets: tuple[str, ...]


def load(name: str, root: Path, download: bool = True) -> Dataset:
    """Loads Omniglot at 28x28, ink bright, from its archives or from the cache.

    The archives are looked for in `root/omniglot`, `root`, and the download folders of TFDS; where they are missing
    and there is a network, they may be downloaded through TFDS. Classes are in the order archive, alphabet, character.

    Args:
        name: "omniglot", or "omniglot-small1" or "omniglot-small2" for a small background set with the evaluation set.
        root: folder to look in.
        download: whether missing archives may be downloaded.

    Returns:
        Images [1623, 20, 28, 28, 1]; for the small sets [795, ...] and [815, ...].

    Raises:
        DataError: a missing, damaged or wrong archive.

    Source: Lake et al. 2015, Human-level concept learning through probabilistic program induction.
    """
    paths = archives(name, root, download)
    key = hashlib.sha256("".join(_file_hash(path) for path in paths.values()).encode()).hexdigest()[:16]
    return cache.cached(f"{name}{SIZE}-{key}", lambda: _build(name, paths))


def archives(name: str, root: Path, download: bool = True) -> dict[str, Path]:
    """Finds the archives of a set, file name -> path, downloading those that are missing where there is a network.

    Args:
        name: of the set.
        root: folder to look in.
        download: False downloads nothing.

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
    """Finds one archive, or returns None."""
    for place in (root / "omniglot" / file, root / file):
        if place.is_file():
            return place
    return downloads.find_in_tfds("omniglot", URL + file, root)


def read_archive(path: Path, classes: int) -> Characters:
    """Reads one archive.

    Args:
        path: a zip file laid out as `images_x/<alphabet>/<characterNN>/<id>_<drawer>.png`.
        classes: how many characters it must have; each needs 20 drawings.

    Returns:
        Its `Characters`, in sorted order.

    Raises:
        DataError: a file that is no zip file, is cut short, or has other contents.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = sorted((m.group("alphabet", "character", "drawing"), m.string) for m in _members(archive))
            _check_members(path, [key for key, _ in members], classes)
            images = np.stack([read_drawing(archive.read(member)) for _, member in _progress(members, path)])
    except DataError:
        raise
    except cache.DAMAGED as error:
        raise DataError(
            f"{path} is damaged ({error}), {path.stat().st_size} bytes long: delete it and get it again from {SOURCE}."
        ) from error
    names = [key for key, _ in members[::DRAWINGS]]
    return Characters(
        images.reshape(classes, DRAWINGS, SIZE, SIZE),
        tuple(f"{alphabet}/{character}" for alphabet, character, _ in names),
        tuple(alphabet for alphabet, _, _ in names),
    )


def read_drawing(content: bytes, size: int = SIZE) -> np.ndarray:
    """Reads one drawing of 105x105 pixels, from a file in memory.

    Args:
        content: the bytes of a PNG file.
        size: height and width wanted.

    Returns:
        uint8 `[size, size]`, with ink 255 and paper 0.

    Raises:
        ValueError: a drawing of another size; or another of `cache.DAMAGED`, for what is no picture.
    """
    image = decode(io.BytesIO(content)).convert("L")
    if image.size != _FULL_SIZE:
        raise ValueError(f"a drawing of {image.width}x{image.height} pixels instead of 105x105")
    # Paper is 1, True or 255 by the encoding, but ink is always 0.
    ink = np.where(np.asarray(image) == 0, np.uint8(255), np.uint8(0))
    return fit(ink[..., None], (size, size, 1))[..., 0]


def _build(name: str, paths: dict[str, Path]) -> Dataset:
    parts = [read_archive(path, CLASSES[file]) for file, path in paths.items()]
    return make_dataset(
        name,
        np.concatenate([part.images for part in parts]),
        [n for part in parts for n in part.names],
        [a for part in parts for a in part.alphabets],
    )


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _members(archive: zipfile.ZipFile) -> list[re.Match[str]]:
    # The copies named ._x.png that some zip programs add do not match.
    return [m for m in map(_MEMBER.fullmatch, archive.namelist()) if m]


def _check_members(path: Path, keys: list[tuple[str, ...]], classes: int) -> None:
    drawings: dict[tuple[str, ...], int] = {}
    for alphabet, character, _ in keys:
        drawings[alphabet, character] = drawings.get((alphabet, character), 0) + 1
    if len(drawings) != classes or set(drawings.values()) != {DRAWINGS}:
        raise DataError(
            f"{path} must have {classes} characters of {DRAWINGS} drawings each, got {len(drawings)} characters and "
            f"{len(keys)} drawings: get the original from {SOURCE}."
        )


def _progress(members: list[tuple[tuple[str, ...], str]], path: Path) -> Iterable[tuple[tuple[str, ...], str]]:
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(members, f"Reading {path.name}", console=console, transient=True, disable=not console.is_terminal)
