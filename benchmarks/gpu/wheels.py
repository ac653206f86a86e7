"""What the parts need beside JAX, out of a folder of wheels; nothing that is installed is replaced."""

import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

Say = Callable[[str], None]
_VERSION = re.compile(r"(\d+!)?\d[0-9A-Za-z.+_-]*")  # of others, pip would refuse the whole file


class Package(NamedTuple):
    """A package: the name that is imported, and the one that is installed."""

    module: str
    name: str
    needed: bool = True


PACKAGES = (
    Package("numpy", "numpy"),
    Package("scipy", "scipy"),
    Package("jax", "jax"),
    Package("flax", "flax"),
    Package("optax", "optax"),
    Package("orbax.checkpoint", "orbax-checkpoint"),
    Package("chex", "chex"),
    Package("PIL", "pillow"),
    Package("tyro", "tyro"),
    Package("rich", "rich"),
    Package("torchopt", "torchopt", needed=False),
    Package("gymnax", "gymnax", needed=False),
)
"""In the order in which they are installed. jmeta asks for more, which no part needs."""


def missing(packages: Sequence[Package] = PACKAGES) -> list[Package]:
    """Those that can't be imported. Nothing is imported."""
    return [package for package in packages if not _there(package.module)]


def _there(module: str) -> bool:
    try:
        importlib.invalidate_caches()
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # the package around it is not there
        return False


def install(
    folder: Path, say: Say, *, python: str = sys.executable, look: Callable[[], list[Package]] = missing
) -> None:
    """Install what is missing, one after another, with what is installed held at its version.

    Args:
        folder: of wheels.
        say: told what is installed, and what can't be.
        python: into which.
        look: what is missing.

    Raises:
        ValueError: if something is missing that the parts can't do without.
    """
    lacking = look()
    if lacking and folder.is_dir():
        with tempfile.TemporaryDirectory() as place:
            held = Path(place) / "installed.txt"
            held.write_text(constraints())
            for package in lacking:
                trouble = _pip(python, folder, held, package)
                lack = trouble if package.needed else f"left out of the tables ({trouble})"
                say(f"{package.name}: {lack if trouble else 'installed'}")
        lacking = look()
    needed = [package.name for package in lacking if package.needed]
    if needed:
        where = f"they are not in {folder}" if folder.is_dir() else f"there is no folder of wheels {folder}"
        raise ValueError(
            f"{', '.join(needed)} can't be imported, and {where}: make it where there is a network by "
            f"`pip download --dest wheels {' '.join(needed)}`, with the same version of Python"
        )


def constraints() -> str:
    """What is installed, a line each, for `pip install --constraint`: a version that may not change."""
    found = {}
    for package in importlib.metadata.distributions():
        name = package.metadata["Name"] if package.metadata else None
        if name and _VERSION.fullmatch(package.version or ""):
            found.setdefault(name.lower(), f"{name}=={package.version}\n")
    return "".join(found[name] for name in sorted(found))


def _pip(python: str, folder: Path, held: Path, package: Package) -> str | None:
    """Install one; why that failed, or None."""
    command = [
        python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--find-links",
        str(folder), "--constraint", str(held), package.name,
    ]  # fmt: skip
    environment = {**os.environ, "PIP_BREAK_SYSTEM_PACKAGES": "1"}  # a machine's own Python refuses otherwise
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")] or lines
    return None if done.returncode == 0 else errors[-1] if errors else f"pip ended with code {done.returncode}"
