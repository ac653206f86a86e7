"""Matplotlib figures without a window, in one style, and PNG files that appear whole."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jmeta.errors import RunError
from jmeta.report.files import writing

INK, FAINT, GOOD, BAD = "#1f4e79", "#9db4c8", "#2a7f4f", "#c0392b"
"""What matters, what it is compared with, what is right and what is wrong."""
COLORS = (INK, BAD, GOOD, "#9467bd", "#8c564b", "#e377c2", "#7f7f7f")
"""Of lines beside each other."""
_DPI, _FEW = 130, 20


def marker_of(points: Any) -> str:
    """A marker for the curve of a short run, which would show little or nothing without; none for many points."""
    return "o" if len(points) <= _FEW else ""


def figure_maker() -> Callable[..., Any]:
    """`(width, height) -> Figure`, in inches, without a window; RunError if matplotlib isn't there."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise RunError("drawing needs matplotlib, which is not installed: pip install 'jmeta[plots]'.") from error
    return lambda width, height: Figure(figsize=(width, height), layout="constrained")


def between(value: float, _: Any) -> str:
    """The label of a minor tick of a logarithmic scale: at 2 and 5 there is one, so that none is over another.

    Example:
        >>> [between(value, None) for value in (0.02, 0.03, 5.0)]
        ['0.02', '', '5']
    """
    return f"{value:g}" if f"{value:e}"[:3] in ("2.0", "5.0") else ""


def plain(name: str) -> str:
    """A name that Matplotlib neither reads as a formula nor leaves out of a legend."""
    plainly = name.replace("$", r"\$")
    return f" {plainly}" if plainly.startswith("_") else plainly


def save(figure: Any, path: Path) -> Path:
    """Write a figure as a PNG file, in the one style, see `png`."""
    with writing(path) as file:
        file.write(png(figure))
    return path


def png(figure: Any) -> bytes:
    """A figure as a PNG. Axes get a faint grid and no frame at the top and right, but for those that show a picture,
    and those whose frame was taken off before."""
    for axes in figure.axes:
        if not axes.images and axes.get_label() != "<colorbar>" and axes.spines["top"].get_visible():
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(alpha=0.25, linewidth=0.6)
    for legend in (*figure.legends, *(axes.get_legend() for axes in figure.axes if axes.get_legend())):
        legend.set_frame_on(False)
    if figure.get_suptitle():
        figure.suptitle(figure.get_suptitle(), fontsize=11)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=_DPI)
    return drawn.getvalue()
