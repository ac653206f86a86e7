"""Pictures of matrices over pairs of tasks."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jax.typing import ArrayLike

from jmeta.report.figures import figure_maker, save

NUMBERED = 12
"""Up to so many tasks, each cell has its number."""
NAMED = 40
"""Up to so many tasks, each row and column has its name."""


def draw_heatmap(
    matrix: ArrayLike,
    names: Sequence[str],
    path: str | os.PathLike[str],
    *,
    title: str = "",
    label: str = "",
    rows: str = "",
    columns: str = "",
    limit: float | None = None,
    groups: Sequence[Sequence[int]] | None = None,
) -> Path:
    """Draw a matrix as a PNG file, whose path it returns: red above 0, blue below, white at 0.

    Args:
        matrix: `[T, T]`, finite.
        names: of the T tasks. Left out above `NAMED` tasks, and the numbers in cells above `NUMBERED`.
        path: of the file, in a folder that exists. It is written whole or not at all.
        title, label: of the picture, and what the numbers are.
        rows, columns: what they are, where they are not the same.
        limit: where colors end, above 0; None for the greatest absolute value.
        groups: a partition of the tasks; they are drawn in its order, with lines between the groups.

    Raises:
        ValueError: if names or groups do not fit the matrix, or it has numbers that are not finite.
        RunError: if matplotlib isn't there.
        OSError: if the file can't be written.
    """
    values = np.array(matrix, np.float64)
    tasks = len(names)
    if values.shape != (tasks, tasks) or not np.isfinite(values).all():
        raise ValueError(f"the matrix must be of finite numbers, {tasks} by {tasks} as names, got {list(values.shape)}")
    parts = [list(range(tasks))] if groups is None else [list(group) for group in groups]
    order = [task for group in parts for task in group]
    if sorted(order) != list(range(tasks)):
        raise ValueError(f"groups must have each of the {tasks} tasks once, got {parts}")
    limit = float(np.abs(values).max()) or 1.0 if limit is None else limit
    side = min(2.0 + 0.6 * tasks, 8.0)
    figure = figure_maker()(side + 1.2, side)
    ax = figure.subplots()
    shown = values[np.ix_(order, order)]
    image = ax.imshow(shown, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
    if tasks <= NUMBERED:
        _write_numbers(ax, shown, limit)
    if tasks <= NAMED:
        kept = [names[task] for task in order]
        ax.set_xticks(range(tasks), kept, rotation=0 if max(map(len, kept)) <= 6 else 45)
        ax.set_yticks(range(tasks), kept)
    else:
        ax.set(xticks=[], yticks=[])
    for border in np.cumsum([len(group) for group in parts])[:-1] - 0.5:
        ax.axhline(border, color="black", linewidth=1)
        ax.axvline(border, color="black", linewidth=1)
    ax.tick_params(length=0)
    ax.set(xlabel=columns, ylabel=rows)
    figure.colorbar(image, ax=ax, label=label, shrink=0.8)
    figure.suptitle(title)
    return save(figure, Path(path))


def _write_numbers(ax: Any, values: np.ndarray, limit: float) -> None:
    for (i, j), value in np.ndenumerate(values):
        color = "white" if abs(value) > 0.6 * limit else "black"
        ax.text(j, i, _number(value, limit), ha="center", va="center", color=color, fontsize=9)


def _number(value: float, limit: float) -> str:
    """Two digits of the largest, and as many places for all."""
    places = 1 - int(np.floor(np.log10(limit))) if limit < 1 else 2
    text = f"{value:.{places}f}"
    return text.lstrip("-") if not text.strip("-0.") else text
