"""Where the pictures of many files are put: one array, or a file in the cache folder if they are more than memory."""

import glob
import hashlib
import json
import math
import os
import time
import warnings
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from jmeta.datasets.cache import cache_dir, most_memory
from jmeta.datasets.sources import File, Member, tracked
from jmeta.datasets.types import DataError
from jmeta.errors import advice
from jmeta.report.files import write_json, writing
from jmeta.stored import Stored, stored

_FORM = 1
"""Of what is kept; a change of how pictures are read is another."""
_UNUSED = 24 * 3600
"""Seconds after which a file of what has changed since is removed."""
_STATE, _TRIES = 16, 3


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
    path = _place(name, files, shape)
    note = path.with_suffix(".json")
    sizes = (f"{nbytes / 2**30:.3g}" for nbytes in (len(files) * math.prod(shape), most_memory()))
    more = "needs {} GiB, more than the {} that it may take of memory".format(*sizes)
    for _ in range(_TRIES):
        known = _whole(path, note, len(files), shape)
        if known is not None:
            rows, lost = known
            if bad is not None:
                bad += [files[i] for i in lost]
            return stored(rows)
        try:
            _write(path, note, f"Reading {name}", files, read, strict=bad is None)
        except OSError as error:
            raise DataError(
                f"{name} {more}, and can't be kept in {path.parent} ({error.strerror}): {advice(error)}, or set "
                "JMETA_CACHE to another folder."
            ) from error
        warnings.warn(f"{name} {more}: its pictures are in {path}, and each episode reads its own.", stacklevel=4)
    raise DataError(f"{path} was removed or changed as soon as it was written: let no other program do so.")


def _place(name: str, files: Sequence[File], shape: tuple[int, ...]) -> Path:
    """The file of a place's pictures at a size, as its files are now."""
    folder = cache(lambda place: os.path.realpath(place))
    states = [_state(file, folder) for file in files]
    origin = os.path.commonpath([str(state[0]) for state in states])
    digests = (hashlib.sha256(repr(of).encode()).hexdigest() for of in (origin, [_FORM, shape, states]))
    plain = "".join(c if c.isalnum() else "-" for c in name)[:100]
    return cache_dir() / f"{plain}-{'x'.join(map(str, shape))}-{next(digests)[:8]}-{next(digests)[:_STATE]}.rows"


def _write(
    path: Path, note: Path, what: str, files: Sequence[File], read: Callable[[File], np.ndarray], *, strict: bool
) -> None:
    lost: list[int] = []
    checksum = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path) as out:
        for i, file in enumerate(tracked(files, what)):
            bad: list[File] = []
            picture = _picture(file, read, None if strict else bad)
            if picture is None:
                lost.append(i)
                continue
            data = np.ascontiguousarray(picture).data
            checksum = zlib.crc32(data, checksum)
            out.write(data)
    write_json(note, {"files": len(files), "lost": lost, "crc32": checksum})
    # Of the same place at the same size, as it was before its files changed.
    for old in path.parent.glob(f"{glob.escape(path.stem[:-_STATE])}*.json"):
        with suppress(OSError):
            if old != note and time.time() - old.stat().st_mtime > _UNUSED:
                old.with_suffix(".rows").unlink(missing_ok=True)
                old.unlink()


def _whole(path: Path, note: Path, number: int, shape: tuple[int, ...]) -> tuple[np.ndarray, list[int]] | None:
    """The rows in a file, and which files had no picture; None where it is not there, or not as it was written."""
    try:
        known = json.loads(note.read_text())
        lost = [int(i) for i in known["lost"]]
        rows = np.zeros((0, *shape), np.uint8)
        if len(lost) < number:
            rows = np.memmap(path, np.uint8, "r", shape=(number - len(lost), *shape))
        if path.stat().st_size != rows.nbytes:
            return None
        checksum = 0
        for block in stored(rows).blocks():
            checksum = zlib.crc32(block.data, checksum)
        if checksum != known["crc32"]:
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    with suppress(OSError):  # of a folder that is for reading alone
        note.touch()
    return rows, lost


def _state(file: File, folder: Callable[[str], str]) -> tuple[Any, ...]:
    """A file's place, and what changes with it."""
    if isinstance(file, Member):
        info = file.archive.getinfo(file.name)
        return f"{folder(str(file.archive.filename))}/{file.name}", info.CRC, info.file_size
    seen, (parent, own) = os.stat(file), os.path.split(file)
    return f"{folder(parent or '.')}/{own}", seen.st_size, seen.st_mtime_ns
