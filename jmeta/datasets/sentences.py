"""Sentences with their labels, of a user's own files: lines of JSON, or a table."""

import gzip
import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jmeta.datasets.tables import is_table, read_table
from jmeta.datasets.types import DataError
from jmeta.errors import first_line, printable
from jmeta.report.arrays import check_fits, check_regular

TEXT = ("text", "sentence", "utterance", "query", "question", "content")
LABEL = ("label", "labels", "class", "class_name", "category", "target", "intent")
PART = ("part", "split", "subset")
GROUP = ("group", "domain")
LINES = (".jsonl", ".jsonl.gz")
_LONGEST, _MOST_BYTES = 100_000, 2**29


class Sentences(NamedTuple):
    """Labeled sentences by class, which is all that a division of classes needs.

    Attributes:
        name: of the file, without its ending.
        texts: those of each class, in the order of the file.
        class_names: unique and sorted.
        groups: of each class: its domain, or what comes before a slash in its name.
        checksum: SHA-256 of all of these.
    """

    name: str
    texts: tuple[tuple[str, ...], ...]
    class_names: tuple[str, ...]
    groups: tuple[str, ...]
    checksum: str


class _Line(NamedTuple):
    """What a line of a file says, by the name of its columns, and where it stands."""

    number: int
    values: Mapping[str, Any]


def is_lines(path: str | Path) -> bool:
    """Whether a name is that of lines of JSON: `.jsonl`, or `.jsonl.gz`."""
    return str(path).lower().endswith(LINES)


def is_sentences(path: str | Path) -> bool:
    """Whether a file has sentences: lines of JSON, or a table with a column `text`; False where it can't be read."""
    if is_lines(path):
        return True
    try:
        return is_table(path) and _named(read_table(path).header, TEXT) is not None
    except (DataError, OSError):
        return False


def read_sentences(path: str | Path) -> Sentences:
    """The sentences of a file with their labels.

    It is lines of JSON, `{"text": "...", "label": "..."}`, plain or packed by gzip, or a table `.csv` with these
    columns, in UTF-8; whole numbers are labels too. `part` (or split), as train, val and test, divides the classes,
    which are then called `part/label`; where a label is in two parts, these divide the sentences alone and are put
    together. `group` (or domain) is that of the class.

    Raises:
        DataError: for a line that is no JSON, or has no text or label, an empty or very long text, another encoding, or
            a file that can't be read.
    """
    path = Path(path).expanduser()
    lines = _lines(path) if is_lines(path) else _rows(path)
    if not lines:
        raise DataError(f"{path} has no sentences: give a text and a label in each line.")
    names = [_named(line.values, LABEL) for line in lines]
    labels = [_label(path, line, name) for line, name in zip(lines, names, strict=True)]
    texts = [text_of(path, line.number, line.values) for line in lines]
    parts = [str(line.values.get(_named(line.values, PART) or "", "") or "") for line in lines]
    places: dict[str, set[str]] = {}
    for label, part in zip(labels, parts, strict=True):
        places.setdefault(label, set()).add(part)
    divided = all(len(found) == 1 and "" not in found for found in places.values())
    classes = [f"{part}/{label}" for part, label in zip(parts, labels, strict=True)] if divided else labels
    domains = [str(line.values.get(_named(line.values, GROUP) or "", "") or "") for line in lines]
    return of_texts(stem(path), texts, classes, domains)


def of_texts(name: str, texts: Sequence[str], labels: Sequence[str], domains: Sequence[str] = ()) -> Sentences:
    """Sentences `[N]` with a label each, and if wanted the domain of each, of which a class has its first."""
    found: dict[str, list[str]] = {label: [] for label in sorted(set(labels))}
    for text, label in zip(texts, labels, strict=True):
        found[label].append(text)
    own = dict(zip(reversed(labels), reversed(domains), strict=True)) if domains else {}
    groups = tuple(label.rpartition("/")[0] or own.get(label) or name for label in found)
    classes = tuple(printable(label) for label in found)
    by_class = tuple(map(tuple, found.values()))
    digest = hashlib.sha256(json.dumps([name, classes, groups, by_class]).encode())
    return Sentences(printable(name), by_class, classes, groups, digest.hexdigest())


def read_texts(path: str | Path) -> list[str]:
    """The sentences of a file as `read_sentences` takes it, without labels, or of a `.txt`, a line each; errors as
    there."""
    path = Path(path).expanduser()
    if path.suffix.lower() == ".txt":
        return [line for line in _decoded(path).splitlines() if line.strip()]
    lines = _lines(path) if is_lines(path) else _rows(path)
    return [text_of(path, line.number, line.values) for line in lines]


def stem(path: Path) -> str:
    """The name of a file without `.csv`, `.jsonl` or `.jsonl.gz`."""
    ending = next((end for end in (".jsonl.gz", ".jsonl") if path.name.lower().endswith(end)), path.suffix)
    return path.name[: len(path.name) - len(ending)]


def text_of(path: Path, number: int, values: Mapping[str, Any]) -> str:
    """The sentence of a line; DataError that says the line if there is none, or it is none."""
    name = _named(values, TEXT)
    if name is None:
        has = ", ".join(map(repr, list(values)[:5])) or "nothing"
        raise DataError(f"{path}, line {number}, has no text, but {has:.120}: give it as text.")
    text = values[name]
    if not isinstance(text, str) or not text.strip():
        what = "is empty" if isinstance(text, str) or text is None else f"is a {type(text).__name__}"
        raise DataError(f"{path}, line {number}, has a text that {what}: complete or remove the line.")
    if len(text) > _LONGEST:
        raise DataError(
            f"{path}, line {number}, has a text of {len(text):,} characters, and {_LONGEST:,} are the most: cut it."
        )
    return text


def _label(path: Path, line: _Line, name: str | None) -> str:
    label = None if name is None else line.values[name]
    if isinstance(label, str) and label.strip("/ "):
        return label.strip()
    if isinstance(label, int) and not isinstance(label, bool):
        return str(label)
    if isinstance(label, float):
        raise DataError(
            f'{path}, line {line.number}, has a label with a point, {label}: write it as a text, "{label}".'
        )
    what = "no label" if label is None or label == "" else f"the label {label!r:.40}"
    raise DataError(f"{path}, line {line.number}, has {what}: give the name of its class.")


def _named(names: Mapping[str, Any] | Sequence[str], known: Sequence[str]) -> str | None:
    """The first of some names that a column has, in any case."""
    lower = {name.lower(): name for name in names}
    return next((lower[name] for name in known if name in lower), None)


def _rows(path: Path) -> list[_Line]:
    table = read_table(path)
    return [_Line(number, row) for number, row in zip(table.lines, table.rows, strict=True)]


def _lines(path: Path) -> list[_Line]:
    found = []
    for number, line in enumerate(_decoded(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            why = first_line(error)
            raise DataError(f"{path}, line {number}, is no JSON ({why}): write one object a line.") from error
        if not isinstance(values, dict):
            raise DataError(f"{path}, line {number}, is a {type(values).__name__} and no object: write one a line.")
        found.append(_Line(number, values))
    return found


def _decoded(path: Path) -> str:
    """What a file holds, in UTF-8, unpacked where its name says that it is packed."""
    try:
        check_regular(path)
        opened = gzip.open if path.name.lower().endswith(".gz") else open
        with opened(path, "rb") as file:
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise ValueError(f"it has more than {_MOST_BYTES:,} bytes")
        check_fits("its text", 10 * len(data))
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not in UTF-8 ({first_line(error)}): save it as UTF-8.") from error
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{path} can't be read as sentences ({first_line(error)}): make it again.") from error
