"""Divisions of one's own: a JSON file of class names for train, val and test, or the names of the test classes."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jmeta.errors import DataError, closest, first_line
from jmeta.report.arrays import check_regular

TEST = "test="
"""What comes before the names of the test classes, with commas between them."""
_PARTS = ("train", "val", "test")
_MOST_BYTES = 2**26

Parts = tuple[Sequence[int], Sequence[int], Sequence[int]]
"""The indices of the classes for training, validation and test."""


def is_division(protocol: str) -> bool:
    """Whether a protocol is a division of one's own: `FILE.json`, `FILE.json:KEY`, or `test=a,b,c`."""
    return protocol.startswith(TEST) or ".json" in protocol.lower()


def file_of(protocol: str) -> tuple[str, str]:
    """The file and the key, or "", of `FILE.json:KEY`."""
    return (protocol, "") if Path(protocol).exists() else (protocol.partition(":")[0], protocol.partition(":")[2])


def by_name(protocol: str) -> str:
    """The protocol without the folders of its file: from wherever it is read, the division is called the same."""
    if protocol.startswith(TEST) or not is_division(protocol):
        return protocol
    file, key = file_of(protocol)
    return f"{Path(file).name}{':' if key else ''}{key}"


def whole(protocol: str) -> str | None:
    """A division by a file that is here, with the file's whole path; None for others."""
    if protocol.startswith(TEST) or not is_division(protocol):
        return None
    file, key = file_of(protocol)
    path = Path(file).expanduser()
    return f"{path.absolute()}{':' if key else ''}{key}" if path.exists() else None


def of_file(names: Sequence[str], protocol: str) -> Parts:
    """The classes that a JSON file names for each part: `{"train": [...], "val": [...], "test": [...]}`, or under KEY.

    A class may be named by its last folder alone where that is unique. Classes that are named nowhere are left out, and
    val may be: then nothing is validated.

    Raises:
        DataError: a file that can't be read, or of another form; a name of no class, or in two parts.
    """
    file, key = file_of(protocol)
    found = _read(Path(file).expanduser())
    inside = found.get(key) if key else found
    none = {"train": None, "val": [], "test": None}  # without validation, there is none
    if not isinstance(inside, Mapping) or not all(_is_names(inside.get(part, none[part])) for part in _PARTS):
        nested = [name for name, value in found.items() if isinstance(value, Mapping) and "train" in value]
        named = ", ".join(f"{file}:{name}" for name in nested[:5])
        hint = f": name one of them, as in {named}" if nested else ": write them as lists of names"
        raise DataError(f"{protocol} must have the class names of train, val and test{hint}.")
    place = _by_name(names)
    parts = [[_index(place, name, file) for name in inside.get(part, ())] for part in _PARTS]
    _check_apart(names, parts, file)
    return parts[0], parts[1], parts[2]


def tested(names: Sequence[str], protocol: str) -> tuple[list[int], list[int]]:
    """The classes that `test=a,b,c` names, as in a file, and the others."""
    place = _by_name(names)
    given = protocol.removeprefix(TEST)
    wanted = [given] if given in place else [name.strip() for name in given.split(",") if name.strip()]
    test = sorted({_index(place, name, "--test-classes") for name in wanted})
    return test, [i for i in range(len(names)) if i not in set(test)]


def _by_name(names: Sequence[str]) -> dict[str, int]:
    """The place of each class by its name, and by its last folder where that is unique."""
    last = [name.rpartition("/")[2] for name in names]
    return {short: i for i, short in enumerate(last) if last.count(short) == 1} | {n: i for i, n in enumerate(names)}


def _read(path: Path) -> dict[str, Any]:
    try:
        check_regular(path)
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"it has more than {_MOST_BYTES:,} bytes")
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} can't be read as a division ({first_line(error)}): correct --split.") from error
    if not isinstance(found, dict):
        raise DataError(f"{path} must be an object of train, val and test, got a {type(found).__name__}: correct it.")
    return found


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _index(place: Mapping[str, int], name: str, where: str) -> int:
    if name not in place:
        close = closest(name, place)
        instead = f"did you mean {close!r}?" if close else "correct it."
        raise DataError(f"{where} names the class {name!r:.80}, which the data have not: {instead}")
    return place[name]


def _check_apart(names: Sequence[str], parts: Sequence[Sequence[int]], where: str) -> None:
    named: dict[int, str] = {}
    for part, classes in zip(_PARTS, parts, strict=True):
        for i in classes:
            if i in named:
                raise DataError(
                    f"{where} names {names[i]} in {named[i]} and again in {part}: each class has one place."
                )
            named[i] = part
