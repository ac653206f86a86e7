"""The files of a run folder. Whatever is written appears whole or not at all."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from jmeta.errors import RunError
from jmeta.report.files import write_text

CONFIG, METRICS, CHECKPOINTS, EVALUATION = "config.json", "metrics.jsonl", "checkpoints", "evaluation.json"
GROUP, SUMMARY = "group.json", "summary.json"


def remove_leftovers(place: Path) -> None:
    """Remove what a kill in the middle of `write_text` leaves, here and one folder deeper."""
    for path in (*place.glob(".*.tmp"), *place.glob("*/.*.tmp")):
        path.unlink(missing_ok=True)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; RunError if it is missing or is none."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        said = f"{path.parent} is no run folder, it has no {path.name}: name one that jmeta has trained."
        raise RunError(said) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RunError(f"{path} is damaged ({error}): restore it, or train again in another folder.") from error
    if not isinstance(values, dict):
        raise RunError(f"{path} is damaged, it holds no JSON object: restore it, or train again in another folder.")
    return values


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Add a row to a file of JSON lines; if that fails, the file is left as it was."""
    line = (json.dumps(row) + "\n").encode()
    with open(path, "ab", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        try:
            written = file.write(line)
            if written != len(line):
                raise OSError(28, os.strerror(28), str(path))
        except OSError:
            file.truncate(size)
            raise


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of JSON lines, up to one that was cut off by a kill."""
    rows, text = [], path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    with suppress(json.JSONDecodeError):
        for line in text.splitlines():
            rows.append(json.loads(line))
    return rows


def cut_rows(path: Path, step: int) -> None:
    """Drop the rows after a step, which a resumed run writes again."""
    kept = [row for row in read_rows(path) if row["step"] <= step]
    write_text(path, "".join(json.dumps(row) + "\n" for row in kept))
