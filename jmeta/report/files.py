"""Files that appear whole or not at all."""

import json
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO


@contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A file to write bytes to, which takes its place at the end; if anything fails, what was there stays.

    It has the mode of any new file. Of a symbolic link, the file that it leads to is written, and into what is no file,
    such as a device, a pipe or an open stream. OSErrors name the path.
    """
    if _is_stream(path):
        with os.fdopen(
            os.open(path, os.O_WRONLY | os.O_NONBLOCK), "wb"
        ) as file:  # a pipe that nobody reads is an error
            os.set_blocking(file.fileno(), True)
            yield file
        return
    place = os.path.realpath(path)
    folder, name = os.path.split(place)
    temporary = os.path.join(folder, f".{name[:200]}-{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, place)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, temporary):
            error.filename = os.fspath(path)
        raise


def _is_stream(path: str | os.PathLike[str]) -> bool:
    try:
        kept = stat.S_ISREG(os.stat(path).st_mode) or os.path.isdir(path)
    except OSError:
        return False
    return not kept or os.path.abspath(path).startswith(("/dev/fd/", "/dev/std", "/proc/"))


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """`writing` of a text."""
    with writing(path) as file:
        file.write(text.encode(errors="surrogateescape"))  # names that are not UTF-8 are kept


def write_json(path: str | os.PathLike[str], values: Mapping[str, Any]) -> None:
    """`writing` of indented JSON."""
    write_text(path, json.dumps(values, indent=2) + "\n")
