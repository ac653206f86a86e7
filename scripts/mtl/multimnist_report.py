"""What the overlapped digits say: a table beside the published one, and pictures."""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from jmeta.report.statistics import over_seeds
from jmeta.types import Batch
from scripts.mtl.overlap import SHIFT
from scripts.study import interval, markdown, percent, plain_axes

SINGLE, UNIFORM, FIXED = "single task", "uniform", "fixed"
"""The baselines, by the names under which results are kept."""
DIGITS = ("left", "right")
PUBLISHED = {
    SINGLE: (97.23, 95.90),
    UNIFORM: (96.46, 94.99),
    "uncertainty": (96.47, 95.29),
    "gradnorm": (96.27, 94.84),
    "mgda": (97.26, 95.90),
}
"""Sener and Koltun 2018, table 3, in %: MultiMNIST of 60,000 pictures, another network; MGDA is their MGDA-UB."""


def report(config: Any, found: Mapping[str, Mapping[str, Any]]) -> str:
    """The table of all methods, and the published one, for the study's `Config`.

    Differences from uniform weights are within seeds; Delta-m is the mean relative drop from single tasks,

        100 / 2 sum over digits (single - accuracy) / single
    """
    single = np.mean(found[SINGLE]["test"], axis=0)
    uniform = np.mean(found[UNIFORM]["test"], axis=1)
    lines = []
    for name, row in found.items():
        test = np.asarray(row["test"])
        each = 2 if name == SINGLE else 1
        cells = [percent(interval(test[:, i]), 2) for i in range(len(DIGITS))]
        cells.append(percent(interval(np.mean((single - test) / single, axis=1)), 2, "+"))
        cells.append("" if name == UNIFORM else percent(interval(test.mean(axis=1) - uniform), 2, "+"))
        cells.append(" / ".join(f"{rate:g}" for rate in np.atleast_1d(row["rate"])))
        steps = row["networks"] / each * config.steps
        cells += [f"{1e3 * row[kind] / steps:.2f}" for kind in ("seconds", "cpu_seconds")]
        lines.append([_named(name, row), *cells, f"{row['seconds'] / row['networks'] * each:.1f}"])
    head = ["method", *DIGITS, "Delta-m", "difference", "rate", "ms a step", "CPU ms a step", "training, s"]
    parts = [
        f"Overlapped pairs of {config.dataset}, the second {SHIFT} pixels lower and to the right: {config.sizes[0]} "
        f"training pictures a class, {config.steps} steps of {config.batch_size} pairs.\n"
        f"Accuracy in % on {config.pairs} test pairs: mean over {config.seeds} seeds +- 95 % interval by Student's t. "
        "Learning rates (and the fixed weights) are those of the best mean accuracy on validation pairs.\n"
        "Delta-m: mean drop from single tasks in % of them, lower is better. Difference: from uniform, of the mean of "
        "both digits, within seeds; one in twenty lies beyond its interval by chance. Times are for one network (for "
        "single tasks, two), without compiling.\n",
        markdown(head, lines),
        "Published on the MultiMNIST of all 60,000 training pictures (Sener and Koltun 2018, table 3; MGDA is their "
        "MGDA-UB), with a larger network: higher, and to be compared in their order alone.\n",
        markdown(["method", *DIGITS], [[n, f"{left:.2f}", f"{right:.2f}"] for n, (left, right) in PUBLISHED.items()]),
    ]
    return "\n".join(parts)


def _named(name: str, row: Mapping[str, Any]) -> str:
    return f"{name}, {row['weights'][0]:g} and {row['weights'][1]:g}" if name == FIXED else name


def accuracy_figure(make_figure: Callable[..., Any], found: Mapping[str, Mapping[str, Any]]) -> Any:
    """Accuracy of the left digit against that of the right one, with intervals, a point for each method."""
    figure = make_figure(9.2, 6)
    ax = figure.subplots()
    for i, (name, row) in enumerate(found.items()):
        (x, dx), (y, dy) = (over_seeds(column) for column in 100 * np.asarray(row["test"]).T)
        ax.errorbar(
            x, y, dy, dx, fmt="os^Dv"[i // 10 % 5], color=f"C{i % 10}", markersize=6,
            capsize=2, elinewidth=0.7, alpha=0.85, label=_named(name, row),
        )  # fmt: skip
    ax.set(xlabel="accuracy of the left digit, %", ylabel="accuracy of the right digit, %")
    plain_axes(ax)
    figure.legend(loc="outside right upper", frameon=False, fontsize=9)
    figure.suptitle("Two overlapped digits: mean over seeds with 95 % intervals", fontsize=11)
    return figure


def pairs_figure(make_figure: Callable[..., Any], pairs: Batch, rows: int = 3, columns: int = 8) -> Any:
    """Some pairs with their labels."""
    labels = np.asarray(jnp.argmax(pairs.y, axis=-1))
    figure = make_figure(1.15 * columns, 1.35 * rows)
    for i, ax in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        ax.set_axis_off()
        if i < len(pairs.x):
            ax.imshow(np.asarray(pairs.x[i, ..., 0]), cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
            ax.set_title(f"{labels[0, i]}, {labels[1, i]}", fontsize=9)
    figure.suptitle("Test pairs: upper left, lower right", fontsize=10)
    return figure
