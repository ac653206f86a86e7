"""Arrays out of npz files: names and sizes first, and of the contents what is asked for."""

import io
import math
import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import numpy as np

DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError)
"""What reading a damaged zip or npz file may raise."""
_MOST_MEMBERS, _LONGEST_HEADER = 10_000, 2**14


class Declared(NamedTuple):
    """What the header of an array says of it."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def nbytes(self) -> int:
        """Of its contents."""
        return math.prod(self.shape) * self.dtype.itemsize


def memory_at_hand() -> int:
    """Bytes that can be taken now, as far as the system says: of the machine, or of the container where it has less."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    with suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        found += [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    with suppress(OSError, ValueError):
        limit, used = (int(Path(f"/sys/fs/cgroup/memory.{name}").read_text()) for name in ("max", "current"))
        found.append(limit - used)
    return max(min(found), 0)


def check_fits(what: str, nbytes: int) -> None:
    """Raise ValueError for more bytes than there is memory at hand."""
    at_hand = memory_at_hand()
    if nbytes > at_hand:
        raise ValueError(f"{what} needs {nbytes:,} bytes, and {at_hand:,} of memory are at hand: ask for less")


def check_regular(path: str | os.PathLike[str]) -> None:
    """Raise ValueError for a pipe, a device or a socket, which could be read for ever; a folder is left to `open`."""
    mode = os.stat(path).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise ValueError("it is a pipe, a device or a socket, and no regular file")


def member(archive: zipfile.ZipFile, name: str, most: int | None = None) -> BinaryIO:
    """A member of a zip file to read from; ValueError if it is encrypted, packed in a rare way, or larger than `most`.

    What is read is never more than its size in the list of contents.
    """
    info = archive.getinfo(name)
    if info.flag_bits & 1:
        raise ValueError(f"{name} is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} is packed otherwise than by deflate")
    if most is not None and info.file_size > most:
        raise ValueError(f"{name} has {info.file_size:,} bytes, and {most:,} at most are expected")
    return cast(BinaryIO, archive.open(info))


def read_npz(
    path: str | os.PathLike[str], wanted: Callable[[Mapping[str, Declared]], Collection[str]] | None = None
) -> dict[str, np.ndarray]:
    """The arrays of an npz file whose names `wanted` picks from what all headers say; None takes all.

    Members that are no arrays are passed over, and nothing is ever unpickled.

    Raises:
        One of `DAMAGED`: for damage, headers that lie, or arrays that are too large for the memory at hand.
    """
    check_regular(path)
    with open(path, "rb") as file:
        if file.read(6) == b"\x93NUMPY":
            raise ValueError("one array and not an archive of arrays")
        return _of_archive(zipfile.ZipFile(file), wanted)


def _of_archive(
    archive: zipfile.ZipFile, wanted: Callable[[Mapping[str, Declared]], Collection[str]] | None
) -> dict[str, np.ndarray]:
    with archive:
        if len(archive.namelist()) > _MOST_MEMBERS:
            raise ValueError(f"it has {len(archive.namelist()):,} members, and {_MOST_MEMBERS:,} at most are expected")
        files = {name.removesuffix(".npy"): name for name in archive.namelist() if name.endswith(".npy")}
        declared = {key: _declared(archive, name) for key, name in files.items()}
        keys = list(declared if wanted is None else wanted(declared))
        check_fits("what is to be read of it", sum(declared[key].nbytes for key in keys))
        found = {}
        for key in keys:
            with member(archive, files[key]) as content:
                found[key] = np.lib.format.read_array(content, allow_pickle=False)
        return found


def _declared(archive: zipfile.ZipFile, name: str) -> Declared:
    """The header of a member; ValueError if it isn't that of as many bytes as there are."""
    with member(archive, name) as content:
        start = io.BytesIO(content.read(_LONGEST_HEADER))
    try:
        version = np.lib.format.read_magic(start)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = header(start)
    except Exception as error:  # numpy parses it as Python, which may raise anything
        raise ValueError(f"{name} has no header of an array that can be read") from error
    found = Declared(shape, dtype)
    if dtype.hasobject:
        raise ValueError(f"{name} holds Python objects, which are never read: save plain arrays")
    left = archive.getinfo(name).file_size - start.tell()
    if any(size < 0 for size in shape) or found.nbytes != left:
        raise ValueError(f"{name} says that it is {dtype} of shape {list(shape)}, and has {left:,} bytes")
    return found
