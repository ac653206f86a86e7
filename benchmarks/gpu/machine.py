"""The machine, before JAX has started in this process."""

import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tomllib
from typing import Any

from benchmarks.gpu.launch import ROOT

NAMED = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "torch", "torchopt", "gymnax", "chex")


def machine(environment: dict[str, str]) -> dict[str, Any]:
    """Device, driver, versions and date; the device is asked in a process of its own, so that none of it is taken.

    Raises:
        ValueError: if JAX does not start.
    """
    command = [sys.executable, "-m", "benchmarks.gpu.part", "--device"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise ValueError(f"JAX does not start here ({lines[-1] if lines else 'it did not say why'})")
    gpu = nvidia()
    return {
        **json.loads(done.stdout.splitlines()[-1]),
        **({"driver": gpu[1], "gpu": gpu[0], "memory": gpu[2]} if gpu else {}),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "versions": {"python": platform.python_version(), **versions()},
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "commit": commit(),
    }


def nvidia() -> list[str] | None:
    """Name, driver and memory of the first GPU, as nvidia-smi says; None where it isn't there."""
    command = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    cells = [cell.strip() for cell in done.stdout.partition("\n")[0].split(",")]
    return cells if done.returncode == 0 and len(cells) == 3 else None


def versions() -> dict[str, str]:
    """Of what is installed."""
    found = {}
    for name in NAMED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def too_old() -> list[str]:
    """What is installed in a version below that which pyproject.toml asks for, and that it may be why a part fails."""
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    least = dict(words.split(">=") for words in asked if ">=" in words)
    there = versions()
    return [
        f"{name} {there[name]} is older than {version}, which jmeta asks for"
        for name, version in least.items()
        if name in there and _numbers(there[name]) < _numbers(version)
    ]


def _numbers(version: str) -> tuple[int, ...]:
    """`0.10.2.dev1` to `(0, 10, 2)`."""
    found = []
    for part in version.split("+")[0].split("."):
        if not part.isdigit():
            break
        found.append(int(part))
    return tuple(found)


def commit() -> str:
    """The commit that is measured, marked if files have changed since; "unknown" without git."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=10"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"
