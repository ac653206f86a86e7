"""The Python that PyTorch and TorchOpt are in: named, this one, or an environment made for them."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.workloads import IMPLEMENTATIONS, RATES

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".venv-peers"
REQUIREMENTS = Path(__file__).parent / "peers.txt"
TRIED = ("numpy", "torch", "torchopt")


def pythons(chosen: str | None, say: Callable[[str], None]) -> tuple[dict[str, str], dict[str, str]]:
    """The Python of each implementation, and why some have none.

    Args:
        chosen: a Python with PyTorch, if one was named. Otherwise this one if it has PyTorch, or `.venv-peers`, which
            is made and filled if need be.
        say: told what goes on.

    Returns:
        `(python of each implementation, reason of each that can't run)`.
    """
    own = sys.executable
    if chosen is None and cannot_import(own, "torch") is not None:
        chosen = str(FOLDER / "bin" / "python")
        troubles = make_environment(Path(chosen), say)
    else:
        chosen, troubles = chosen or own, {}
    found, missing = {}, {}
    reasons = {module: cannot_import(chosen, module) for module in TRIED}
    for implementation in (*IMPLEMENTATIONS.values(), *RATES.values()):
        needs = implementation.needs
        if needs is None:
            found[implementation.name] = own
            continue
        lacking = [module for module in ("numpy", "torch", needs) if reasons[module] is not None]
        if lacking:
            missing[implementation.name] = troubles.get(lacking[0]) or f"{lacking[0]}: {reasons[lacking[0]]}"
        else:
            found[implementation.name] = chosen
    return found, missing


def cannot_import(python: str, module: str) -> str | None:
    """Why a Python can't import a module; None if it can."""
    try:
        done = subprocess.run([python, "-c", f"import {module}"], capture_output=True, text=True, check=False)
    except OSError as error:
        return f"{python} can't be run ({error.strerror})"
    return None if done.returncode == 0 else last_line(done.stderr)


def make_environment(python: Path, say: Callable[[str], None]) -> dict[str, str]:
    """Make the environment and install what is not there yet; what could not be installed, and why."""
    if not python.exists():
        say(f"making an environment for the other libraries in {FOLDER.name}")
        done = subprocess.run([sys.executable, "-m", "venv", FOLDER], capture_output=True, text=True, check=False)
        if done.returncode:
            return {m: f"no environment could be made: {last_line(done.stderr or done.stdout)}" for m in TRIED}
    troubles = {}
    for requirement in REQUIREMENTS.read_text().split():
        module = requirement.split("=")[0].rstrip(">")
        if cannot_import(str(python), module) is None:
            continue
        say(f"installing {requirement} in {FOLDER.name}, some minutes the first time")
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1"]
        done = subprocess.run([*install, requirement], capture_output=True, text=True, check=False)
        if done.returncode:
            troubles[module] = f"{requirement} could not be installed: {last_line(done.stderr)}"
    return troubles


def last_line(text: str) -> str:
    """The last line that says something, without a full stop."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else "it did not say why"
