"""A page of drawings: of each class a row, what was seen on the left, and what is new on the right."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jmeta.report.figures import FAINT, figure_maker, save

GAP, SEEN = 3, 5


def draw_page(classes: Mapping[str, tuple[np.ndarray, np.ndarray]], path: Path, *, names: bool = True) -> Path:
    """Write a page; by class `(seen [k, H, W, 1], new [n, H, W, 1])`, of which up to five that were seen are shown."""
    shown = {name: (seen[:SEEN], new) for name, (seen, new) in classes.items()}
    left, right = (max(len(pair[side]) for pair in shown.values()) for side in (0, 1))
    figure = figure_maker()(0.55 * (left + right) + 1.2, 0.58 * len(shown) + 0.5)
    panels = figure.subplots(1, 2, squeeze=False, gridspec_kw={"width_ratios": [left, right]})[0]
    for axes, side, columns, title in zip(panels, (0, 1), (left, right), ("seen", "new"), strict=True):
        rows = [_row(pair[side], columns) for pair in shown.values()]
        axes.imshow(np.concatenate(rows), cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
        height = len(rows[0])
        ticks = [(i + 0.5) * height for i in range(len(rows))] if names and side == 0 else []
        axes.set_yticks(ticks, labels=[*shown] if ticks else [])
        axes.set(xticks=[], title=title)
        axes.tick_params(length=0, labelsize=7)
        for spine in axes.spines.values():
            spine.set_color(FAINT)
    return save(figure, path)


def _row(drawings: np.ndarray, columns: int) -> np.ndarray:
    """Drawings side by side on paper, with empty places up to so many columns."""
    _, height, width, _ = drawings.shape
    row = np.zeros((height + 2 * GAP, columns * (width + 2 * GAP)))
    for i, one in enumerate(drawings):
        at = i * (width + 2 * GAP) + GAP
        row[GAP : GAP + height, at : at + width] = one[..., 0]
    return row
