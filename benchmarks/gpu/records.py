"""gpu.json: what is known of each part, and of the machine that it ran on."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.gpu.protocol import DONE, FAILED, LEFT_OUT, UNFINISHED
from benchmarks.gpu.table import PARTS
from jmeta.report.files import write_json, write_text

FILE, SUMMARY = "gpu.json", "summary.md"
Record = dict[str, Any]
Records = dict[str, Record]
_WORTH = {DONE: 3, UNFINISHED: 2, LEFT_OUT: 1, FAILED: 1}


def read(paths: Iterable[Path], *, platform: str, scale: float) -> Records:
    """The records of several files together, of which those that are not there are left out.

    Raises:
        ValueError: for a file that is damaged, or has records of another kind of device or scale.
    """
    found = []
    for path in (path for path in paths if path.exists()):
        stored = load(path)
        of = stored["machine"]["platform"], stored["scale"]
        if of != (platform, scale):
            raise ValueError(
                f"{path} has results of a {of[0]} at scale {of[1]}, and these would be of a {platform} at scale "
                f"{scale}: choose another folder"
            )
        found.append(stored["parts"])
    return merged(found)


def load(path: Path) -> dict[str, Any]:
    """What a gpu.json holds: `machine`, `scale`, `parts`; ValueError where it is none."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        assert {*stored["machine"]} >= {"platform", "device", "versions", "date"} and stored["scale"] > 0
        assert all(record["state"] in _WORTH and "value" in record for record in stored["parts"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
        raise ValueError(
            f"{path} can't be read ({type(error).__name__}): restore it, or choose another folder"
        ) from error
    return stored


def merged(files: Iterable[Mapping[str, Record]]) -> Records:
    """Of each part the record that has come farthest, then the newest."""
    found: Records = {}
    for parts in files:
        for name, record in parts.items():
            if name in PARTS and (name not in found or _worth(record) > _worth(found[name])):
                found[name] = record
    return found


def _worth(record: Mapping[str, Any]) -> tuple[int, str]:
    return _WORTH.get(record.get("state", ""), 0), record.get("date", "")


def write(
    folders: Iterable[Path], machine: Mapping[str, Any], scale: float, records: Mapping[str, Any], text: str
) -> None:
    """gpu.json and summary.md in each folder, each whole or not at all."""
    parts = {name: records[name] for name in PARTS if name in records}
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / FILE, {"machine": dict(machine), "scale": scale, "parts": parts})
        write_text(folder / SUMMARY, text)
