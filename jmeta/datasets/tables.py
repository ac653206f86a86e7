"""Data sets from a user's own tables: pictures with their labels, or rows of numbers."""

import csv
import hashlib
import io
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jmeta.datasets.arrays import from_labels
from jmeta.datasets.files import of_files
from jmeta.datasets.sources import File, listed
from jmeta.datasets.types import DataError, Dataset
from jmeta.report.arrays import check_fits

ENDINGS = (".csv", ".tsv")
_FILE = ("file", "path", "filename", "file_name", "filepath", "image", "picture")
_LABEL = ("label", "labels", "class", "class_name", "category", "target", "y")
_PART = ("part", "split", "subset")


class Table(NamedTuple):
    """A table of texts.

    Attributes:
        path: where it is from.
        header: names of the columns, different ones but for those without a name.
        rows: cells by the name of their column, without the space around them.
        lines: where each row ends in the file, counted from 1.
        checksum: of the file, SHA-256.
    """

    path: Path
    header: list[str]
    rows: list[dict[str, str]]
    lines: list[int]
    checksum: str


def is_table(path: str | Path) -> bool:
    """Whether a name is that of a table: `.csv`, or `.tsv`."""
    return Path(path).suffix.lower() in ENDINGS


def from_csv(path: str | Path, *, size: int | None = None, strict: bool = False) -> Dataset:
    """A table with a header, as a data set of its name.

    Of pictures, it has a column `file` (or path, filename, image), with places from the table's own folder, and a
    column `label` (or class, category, target). A column `part` (or split, subset) with train, val and test divides the
    classes. Without a column of files, all columns but the label and the part must be numbers, which are the examples:
    vectors.

    Args:
        size, strict: as in `from_folder`.

    Raises:
        DataError: no such columns, a row that lacks a value, or a file that is not there.
    """
    table = read_table(path)
    path, header, rows = table.path, table.header, table.rows
    names = {name.lower(): name for name in header}
    file, label, part = (next((names[n] for n in known if n in names), None) for known in (_FILE, _LABEL, _PART))
    if label is None or not rows:
        what = "no rows" if label else f"the columns {listed(header, 8)}"
        raise DataError(f"{path} needs a column label, beside file or numbers, and rows, got {what}: add them.")
    classes = [f"{row[part]}/{row[label]}" if part else row[label] for row in rows]
    for line, folder in zip(table.lines, classes, strict=True):
        if not folder.strip("/").strip():
            raise DataError(f"{path}, line {line}, lacks a value: complete or remove it.")
    groups = {folder: folder.rpartition("/")[0] or path.stem for folder in classes}
    if file is None:
        columns = [name for name in header if name not in (label, part)]
        if not columns:
            raise DataError(f"{path} has nothing beside its labels: add a column file, or columns of numbers.")
        _tell_of_counters(table, columns)
        return from_labels(_numbers(table, columns), np.array(classes), name=path.stem, groups=groups)
    found: dict[str, list[File]] = {folder: [] for folder in sorted(groups)}
    for row, folder in zip(rows, classes, strict=True):
        found[folder].append(path.parent / row[file])
    missing = [place for places in found.values() for place in places if isinstance(place, Path) and not place.exists()]
    if missing and (strict or len(missing) == len(rows)):
        raise DataError(
            f"{path} names {len(missing)} files that are not there, {listed(missing)}: correct their places."
        )
    if missing:
        lost = f"{len(missing)} of {len(rows)} files that are not there, {listed(missing)}"
        warnings.warn(f"{path} names {lost}: they are left out; --strict refuses them.", stacklevel=2)
        found = {folder: [place for place in places if place not in missing] for folder, places in found.items()}
    return of_files(path.stem, found, groups, size=size, strict=strict)


def files_of(path: str | Path) -> list[Path]:
    """The files that a table names, with labels or without; errors as `from_csv`."""
    table = read_table(path)
    column = next(name for name in table.header if name.lower() in _FILE)
    return [table.path.parent / row[column] for row in table.rows]


def numbers_of(path: str | Path) -> np.ndarray:
    """The rows of a table of numbers as float32 `[N, D]`, without its label and part; errors as `from_csv`."""
    table = read_table(path)
    return _numbers(table, [name for name in table.header if name.lower() not in (*_LABEL, *_PART)])


def _tell_of_counters(table: Table, columns: Sequence[str]) -> None:
    """Warn of columns that number the rows, which tell where a row stands and nothing of what it is."""
    texts = {name: [row[name] for row in table.rows] for name in columns}
    counting = [name for name, cells in texts.items() if len(cells) > 2 and _counts_up(cells)]
    if counting:
        warnings.warn(
            f"{table.path} has columns that number its rows, {listed(counting)}: they are learned from as others are, "
            "so remove them if they say nothing of an example.",
            stacklevel=3,
        )


def _counts_up(cells: Sequence[str]) -> bool:
    return cells[0].isdecimal() and cells == [str(int(cells[0]) + i) for i in range(len(cells))]


def is_vectors(path: Path) -> bool:
    """Whether the rows of a table are numbers, and no pictures; False where it can't be read."""
    try:
        return not {name.lower() for name in read_table(path).header} & {*_FILE}
    except (DataError, OSError):
        return False


def read_table(path: str | Path) -> Table:
    """A table with a header, in UTF-8, its cells apart by commas, semicolons or tabs; nothing in it is run.

    Raises:
        DataError: if it is none, two columns have one name, or a row has fewer or more cells than the header.
        OSError: if it can't be read.
    """
    path = Path(path).expanduser()
    if path.exists() and not path.is_file():
        raise DataError(f"{path} is no file: name a table, saved as CSV.")
    try:
        check_fits(str(path), 10 * path.stat().st_size)  # as Python's texts
        data = path.read_bytes()
        reader = _reader(data.decode("utf-8-sig"))
        header = [name.strip() for name in next(reader, [])]
        found = [(row, reader.line_num) for row in reader if any(row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} can't be read as a table in UTF-8 ({error}): save it as CSV again.") from error
    except ValueError as error:
        raise DataError(f"{error}.") from error
    twice = [name for name in header if header.count(name) > 1 and name]
    if twice:
        raise DataError(f"{path} has two columns {twice[0]}: rename or remove one.")
    for row, line in found:
        if len(row) < len(header) or any(row[len(header) :]):
            what = "lacks a value" if len(row) < len(header) else f"has {len(row)} cells, and {len(header)} columns"
            raise DataError(f"{path}, line {line}, {what}: complete or remove it.")
    rows = [dict(zip(header, map(str.strip, row), strict=False)) for row, _ in found]
    return Table(path, header, rows, [line for _, line in found], hashlib.sha256(data).hexdigest())


def _reader(text: str, delimiter: str | None = None) -> Any:
    """Rows of cells; a delimiter that isn't known is the one that makes most columns of the header."""
    if delimiter is None:
        delimiter = max(",;\t", key=lambda known: len(next(_reader(text, known), [])))
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)


def number_in(cell: str) -> float | None:
    """A cell as a finite number, None if it is none."""
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in cell else None


def _numbers(table: Table, columns: Sequence[str]) -> np.ndarray:
    found = np.empty((len(table.rows), len(columns)), np.float32)
    for i, (row, line) in enumerate(zip(table.rows, table.lines, strict=True)):
        for place, name in enumerate(columns):
            number = number_in(row[name])
            if number is None:
                raise DataError(
                    f"{table.path}, line {line}, has {row[name]!r:.40} in the column {name}, which is no number: give "
                    "numbers, or pictures in a column file."
                )
            found[i, place] = number
    return found
