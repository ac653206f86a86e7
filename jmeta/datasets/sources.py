"""The files of a data set by their names: of a folder, or of a zip archive as it is."""

import io
import os
import sys
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple, TypeVar

from jmeta.datasets.types import DataError
from jmeta.errors import first_line
from jmeta.report.arrays import DAMAGED, check_regular, member

_IGNORED = {"thumbs.db", "desktop.ini", "__macosx", "ehthumbs.db", "icon\r"}
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm")
"""Endings of pictures."""
PACKED = (".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar")
"""Endings of archives that aren't read."""
_MOST_BYTES = 2**28
_MOST_MEMBERS = 10_000_000

T = TypeVar("T")


class Member(NamedTuple):
    """A file in a zip archive."""

    archive: zipfile.ZipFile
    name: str

    def __str__(self) -> str:
        return f"{self.archive.filename}/{self.name}"


File = Path | Member
"""Where a picture is."""


def content(file: File) -> Path | BinaryIO:
    """What a picture can be read from; raises one of `DAMAGED`."""
    if isinstance(file, Path):
        check_regular(file)
        return file
    with member(file.archive, file.name, _MOST_BYTES) as found:
        return io.BytesIO(found.read())


def files_in(path: Path) -> dict[str, File]:
    """The files of a folder at any depth, by their names in it, in sorted order, without hidden ones and those of file
    browsers. Links to folders are followed, but for those that lead back up.

    Raises:
        DataError: for a link that leads nowhere, which a folder may have been behind.
    """
    found: dict[str, File] = {}
    for parent, folders, names in os.walk(path, followlinks=True):
        above = {up.resolve() for up in (Path(parent), *Path(parent).parents)}
        back = {n for n in folders if Path(parent, n).is_symlink() and Path(parent, n).resolve() in above}
        folders[:] = sorted(name for name in folders if is_shown(name) and name not in back)
        for name in filter(is_shown, names):
            file = Path(parent, name)
            if not file.exists():
                raise DataError(f"{file} is a link to what is not there: restore that, or remove the link.")
            found[file.relative_to(path).as_posix()] = file
    return dict(sorted(found.items(), key=lambda item: PurePosixPath(item[0]).parts))


def files_in_zip(path: Path) -> dict[str, File]:
    """The files of a zip archive, as `files_in`.

    Raises:
        DataError: for what is no zip archive, or a damaged one.
    """
    try:
        check_regular(path)
        archive = zipfile.ZipFile(path)
    except DAMAGED as error:
        raise DataError(f"{path} cannot be read as a zip archive ({first_line(error)}): pack it again.") from error
    names = [PurePosixPath(info.filename) for info in archive.infolist() if not info.is_dir()]
    shown = sorted((name for name in names if all(map(is_shown, name.parts))), key=lambda name: name.parts)
    return {str(name): Member(archive, str(name)) for name in shown}


def is_shown(name: str) -> bool:
    """Whether a file or folder is neither hidden nor left behind by a file browser."""
    return not name.startswith(".") and name.lower() not in _IGNORED


def visible(folder: Path) -> list[Path]:
    """What is in a folder in sorted order, as `files_in` has it."""
    return sorted(path for path in folder.iterdir() if is_shown(path.name))


def listed(names: Iterable[object], most: int = 3) -> str:
    """Some names in a sentence: `a, b, c and 4 more`."""
    known = [str(name) for name in names]
    more = f" and {len(known) - most} more" if len(known) > most else ""
    return ", ".join(known[:most]) + more


def tracked(items: Sequence[T], what: str) -> Iterable[T]:
    """The same items, with a bar on a terminal that says how far they are."""
    if not sys.stderr.isatty():
        return items
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(items, what, console=console, transient=True, disable=not console.is_terminal)
