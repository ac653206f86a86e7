"""A part in a process of its own, which is ended with all that it has started."""

import datetime
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.gpu.protocol import FAILED, UNFINISHED
from benchmarks.gpu.records import Record, Records
from benchmarks.gpu.table import Part
from jmeta.report.files import write_json

ROOT = Path(__file__).parents[2]
_TAIL = 20
"""Lines of a log that are kept where a part has failed."""
_GRACE = 5.0
"""Seconds between the request to end and the end."""


def environment(work: Path, data_dir: str | None, *, cuda: bool = False) -> dict[str, str]:
    """Variables for all parts: their caches, their data, and with `cuda` the device that JAX may not fall back from."""
    found = dict(os.environ)
    found["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [found.get("PYTHONPATH")])])
    found["JMETA_CACHE"] = str(work.resolve() / "cache")
    if data_dir is not None:
        found["JMETA_DATA"] = data_dir
    found.setdefault("CUDA_VISIBLE_DEVICES", "0")  # PyTorch's rows are of one
    if cuda:
        found.setdefault("JAX_PLATFORMS", "cuda,cpu")
    return found


def launcher(
    *, work: Path, scale: float, data_dir: str | None, machine: Mapping[str, Any], variables: Mapping[str, str]
) -> Callable[[Part, Records, float], Record]:
    """`(part, records, seconds) -> record`: the part is stopped, or ended, within so many seconds."""
    work = work.resolve()

    def launch(part: Part, records: Records, seconds: float) -> Record:
        folder = work / "parts" / part.name
        folder.mkdir(parents=True, exist_ok=True)
        asked, told = folder / "request.json", folder / "answer.json"
        told.unlink(missing_ok=True)
        before = records.get(part.name, {}) if part.resumes else {}
        request = {
            "part": part.name, "platform": machine["platform"], "scale": scale, "seconds": soft(seconds),
            "work": str(work), "data_dir": data_dir,
            "found": {name: record["value"] for name, record in records.items()},
            "before": before.get("value", {}),
        }  # fmt: skip
        write_json(asked, request)
        command = [sys.executable, "-m", "benchmarks.gpu.part", str(asked), str(told)]
        began = time.monotonic()
        code = ended(command, variables, folder / "log.txt", seconds)
        record = _answered(told, code, folder / "log.txt", seconds)
        spent = before.get("seconds", 0.0)
        return {
            **record,
            "seconds": round(spent + time.monotonic() - began, 1),
            "platform": machine["platform"],
            "device": machine["device"],
            "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    return launch


def soft(seconds: float) -> float:
    """By when a part is to stop by itself, of the seconds after which it is ended.

    >>> soft(540.0), soft(60.0)
    (510.0, 51.0)
    """
    return seconds - min(30.0, 0.15 * seconds)


def ended(command: list[str], variables: Mapping[str, str], log: Path, seconds: float) -> int | None:
    """Run a command for so many seconds at most; its exit code, or None if it had to be ended."""
    with log.open("w") as out:
        process = subprocess.Popen(
            command, cwd=ROOT, env=dict(variables), stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            start_new_session=True,
        )  # fmt: skip
        try:
            return process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            _end(process)


def _end(process: subprocess.Popen[Any]) -> None:
    """End a process and those that it has started, which are of its session."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=_GRACE)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _answered(told: Path, code: int | None, log: Path, seconds: float) -> Record:
    """The answer of a part, or what can be said where it gave none."""
    record: Record = json.loads(told.read_text()) if told.exists() else {"state": FAILED, "value": {}}
    if record["state"] == UNFINISHED and code not in (0, None):
        record |= {"state": FAILED, "error": f"it ended with code {code}"}
    if record["state"] == FAILED:
        why = f"it took more than {seconds:.0f} s and was ended" if code is None else f"it ended with code {code}"
        record.setdefault("error", why)
        lines = log.read_text(errors="replace").splitlines()
        record["log"] = [line[:300] for line in lines[-_TAIL:]]
    return record
