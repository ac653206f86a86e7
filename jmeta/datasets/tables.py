"""Data sets from a user's own tables: pictures with their labels, or rows of numbers."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jmeta.datasets.arrays import from_labels
from jmeta.datasets.files import of_files
from jmeta.datasets.sources import File, listed
from jmeta.datasets.types import DataError, Dataset

_FILE = ("file", "path", "filename", "file_name", "filepath", "image", "picture")
_LABEL = ("label", "labels", "class", "class_name", "category", "target", "y")
_PART = ("part", "split", "subset")


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
    path = Path(path).expanduser()
    header, rows = _table(path)
    names = {name.strip().lower(): name for name in header}
    file, label, part = (next((names[n] for n in known if n in names), None) for known in (_FILE, _LABEL, _PART))
    if label is None or not rows:
        what = "no rows" if label else f"the columns {listed(header, 8)}"
        raise DataError(f"{path} needs a column label and rows, got {what}: add them.")
    classes = [f"{row[part]}/{row[label]}" if part else row[label] for row in rows]
    for line, (row, folder) in enumerate(zip(rows, classes, strict=True), 2):
        if None in row.values() or not folder.strip("/").strip():
            raise DataError(f"{path}, line {line}, lacks a value: complete or remove it.")
    groups = {folder: folder.rpartition("/")[0] or path.stem for folder in classes}
    if file is None:
        columns = [name for name in header if name not in (label, part)]
        return from_labels(_numbers(path, rows, columns), np.array(classes), name=path.stem, groups=groups)
    found: dict[str, list[File]] = {folder: [] for folder in sorted(groups)}
    for row, folder in zip(rows, classes, strict=True):
        found[folder].append(path.parent / row[file])
    missing = [
        str(place) for places in found.values() for place in places if isinstance(place, Path) and not place.exists()
    ]
    if missing:
        raise DataError(
            f"{path} names {len(missing)} files that are not there, {listed(missing)}: correct their places."
        )
    return of_files(path.stem, found, groups, size=size, strict=strict)


def is_vectors(path: Path) -> bool:
    """Whether the rows of a table are numbers, and no pictures; False where it can't be read."""
    try:
        return not {name.strip().lower() for name in _table(path)[0]} & {*_FILE}
    except (DataError, OSError):
        return False


def _table(path: Path) -> tuple[list[str], list[dict[str, Any]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        dialect = csv.Sniffer().sniff(text[:4096], ",;\t")
    except (UnicodeDecodeError, csv.Error):
        dialect = csv.excel
    try:
        reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig")), dialect=dialect)
        return list(reader.fieldnames or []), list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} can't be read as a table in UTF-8 ({error}): save it as CSV again.") from error


def _numbers(path: Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> np.ndarray:
    found = np.empty((len(rows), len(columns)), np.float32)
    for line, row in enumerate(rows):
        for place, name in enumerate(columns):
            try:
                found[line, place] = float(row[name])
            except ValueError as error:
                raise DataError(
                    f"{path}, line {line + 2}, has {row[name]!r:.40} in the column {name}, which is no number: give "
                    "numbers, or pictures in a column file."
                ) from error
    return found
