"""Where the pictures of many files are put: one array, or a file in the cache folder if they are more than memory."""

import hashlib
import json
import math
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from jmeta.datasets.cache import cache_dir, most_memory
from jmeta.datasets.sources import File, Member, tracked
from jmeta.datasets.types import DataError
from jmeta.report.files import write_json, writing
from jmeta.stored import Stored, stored

_FORM = 1
"""Of what is kept; a change of how pictures are read is another."""


def gathered(
    name: str,
    files: Sequence[File],
    shape: tuple[int, ...],
    read: Callable[[File], np.ndarray],
    bad: list[File] | None = None,
) -> np.ndarray | Stored:
    """The pictures of files, uint8 `[N, *shape]`, in their order.

    What is more than `most_memory` is written to a file in the cache folder, once for the same files, and stays there.

    Args:
        name: of the data set, for the file's.
        files: where the pictures are.
        shape: of each.
        read: a file's picture; DataError where there is none.
        bad: takes the files that can't be read; without it, the first is a DataError.

    Raises:
        DataError: where the cache folder has no room for them.
    """
    needed = len(files) * math.prod(shape)
    if needed > most_memory():
        return _kept(name, files, shape, read, bad)
    rows, number = np.zeros((len(files), *shape), np.uint8), 0
    for file in tracked(files, f"Reading {name}"):
        if (picture := _picture(file, read, bad)) is not None:
            rows[number] = picture
            number += 1
    return rows[:number]


def _picture(file: File, read: Callable[[File], np.ndarray], bad: list[File] | None) -> np.ndarray | None:
    try:
        return read(file)
    except DataError:
        if bad is None:
            raise
        bad.append(file)
        return None


def _kept(
    name: str,
    files: Sequence[File],
    shape: tuple[int, ...],
    read: Callable[[File], np.ndarray],
    bad: list[File] | None,
) -> Stored:
    state = hashlib.sha256(repr([_FORM, shape, *map(_state, files)]).encode()).hexdigest()[:16]
    origin = hashlib.sha256(os.path.commonpath([*map(str, files)]).encode()).hexdigest()[:8]
    stem = f"{''.join(c if c.isalnum() else '-' for c in name)}-{origin}"
    path = cache_dir() / f"{stem}-{state}.rows"
    note = path.with_suffix(".json")
    lost = _lost(path, note, len(files), math.prod(shape))
    if lost is None:
        found: list[File] = []
        warnings.warn(
            f"{name} needs {len(files) * math.prod(shape) / 2**30:.3g} GiB, more than the {most_memory() / 2**30:.3g} "
            f"that it may take of memory: its pictures are put into {path}, and each episode reads its own.",
            stacklevel=4,
        )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with writing(path) as out:
                for file in tracked(files, f"Reading {name}"):
                    if (picture := _picture(file, read, None if bad is None else found)) is not None:
                        out.write(np.ascontiguousarray(picture).data)
            lost = [files.index(file) for file in found]
            write_json(note, {"files": len(files), "lost": lost})
            for old in path.parent.glob(f"{stem}-*"):  # of the same place, before its files changed
                if old.stem != path.stem:
                    old.unlink(missing_ok=True)
        except OSError as error:
            raise DataError(
                f"{name} does not fit into {path.parent} ({error.strerror}): make room there, set JMETA_CACHE to "
                "another folder, or ask for smaller pictures."
            ) from error
    if bad is not None:
        bad += [files[i] for i in lost]
    return stored(np.memmap(path, np.uint8, "r", shape=(len(files) - len(lost), *shape)))


def _lost(path: Path, note: Path, number: int, nbytes: int) -> list[int] | None:
    """Which files had no picture when `path` was written; None where it is not there, or not whole."""
    try:
        known = json.loads(note.read_text())
        lost = [int(i) for i in known["lost"]]
        return lost if path.stat().st_size == (number - len(lost)) * nbytes and len(lost) < number else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _state(file: File) -> object:
    """What changes with a file."""
    if isinstance(file, Member):
        info = file.archive.getinfo(file.name)
        return str(file), info.CRC, info.file_size
    seen = os.stat(file)
    return str(file.resolve()), seen.st_size, seen.st_mtime_ns
