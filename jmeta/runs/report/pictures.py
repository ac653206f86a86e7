"""Figures inside a page: drawn for it, or left in the run folder by `jmeta plot`."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from jmeta.errors import RunError, sentence
from jmeta.report.figures import figure_maker, png
from jmeta.runs.report.page import Html, note, picture

Draw = Callable[[Callable[[], Any], str, str], list[Html]]
"""`(make a figure, what it shows in words, caption) -> ` parts of the page, of which there may be none."""
_LARGEST = 2**24
_START = b"\x89PNG\r\n\x1a\n"


def drawn(make: Callable[[], Any], told: str, caption: str) -> list[Html]:
    """The figure, if there is one to make."""
    figure = make()
    return [] if figure is None else [picture(png(figure), told, caption)]


def left_out(make: Callable[[], Any], told: str, caption: str) -> list[Html]:
    """No figure."""
    return []


def drawing() -> tuple[Draw, list[Html]]:
    """How figures are drawn, and what a page says where they can't be."""
    try:
        figure_maker()
    except RunError as error:
        return left_out, [note(f"Figures are left out: {sentence(error)}")]
    return drawn, []


def kept(run_dir: Path, but: Collection[str]) -> list[Html]:
    """The PNG files of a run folder by their names, but for some."""
    parts = []
    for path in sorted(path for path in run_dir.glob("*.png") if path.name not in but and path.is_file()):
        content = path.read_bytes() if path.stat().st_size <= _LARGEST else b""
        name = path.stem.replace("_", " ")
        if content.startswith(_START) and len(content) > 24:
            parts.append(picture(content, f"The picture {path.name} of the run folder", name))
        else:
            parts.append(note(f"{path.name} is left out: it is no PNG, or too large for a page."))
    return parts
