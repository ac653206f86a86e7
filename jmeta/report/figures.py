"""Matplotlib figures without a window, and PNG files that appear whole."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jmeta.errors import RunError

_RASTER = {"dpi": 130}


def figure_maker() -> Callable[..., Any]:
    """`(width, height) -> Figure`, in inches, without a window.

    Raises:
        RunError: if matplotlib isn't there.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise RunError("drawing needs matplotlib, which is not installed: pip install 'jmeta[plots]'.") from error
    return lambda width, height: Figure(figsize=(width, height), layout="constrained")


def save(figure: Any, path: Path) -> Path:
    """Write a PNG beside its place and move it there."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-", suffix=".tmp")
    os.close(handle)
    try:
        figure.savefig(temporary, format="png", **_RASTER)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return path
