"""What is kept, forgotten and handed on between tasks, of the matrix R of accuracies; and its picture."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike

from jmeta.report.figures import figure_maker, save


class TaskMetrics(NamedTuple):
    """Of R `[..., T, T]`, where `R[i, j]` is the accuracy on task j after task i: one number for each matrix, `[...]`.

    Attributes:
        retained: mean_j R[T, j], the accuracy on all tasks at the end.
        learning: mean_j R[j, j], that on each as soon as it was learned.
        backward: mean_{j < T} (R[T, j] - R[j, j]), below 0 where tasks are forgotten.
        forward: mean_{j > 1} (R[j - 1, j] - b_j), what earlier tasks do for one that is still to come; None without b.
        forgetting: mean_{j < T} (max_{i < T} R[i, j] - R[T, j]), from the best that there was.
    """

    retained: np.ndarray
    learning: np.ndarray
    backward: np.ndarray
    forward: np.ndarray | None
    forgetting: np.ndarray


def task_metrics(accuracy: ArrayLike, before: ArrayLike | None = None) -> TaskMetrics:
    """The metrics of continual learning.

    Args:
        accuracy: R, `[..., T, T]`, finite, with T of 2 or more.
        before: b, `[..., T]`, accuracies before any task.

    Raises:
        ValueError: for other shapes, or numbers that are not finite.

    Example:
        >>> found = task_metrics([[0.9, 0.4], [0.6, 0.8]], [0.5, 0.3])
        >>> [round(float(value), 3) for value in found]
        [0.7, 0.85, -0.3, 0.1, 0.3]

    Differs from the code of GEM, which divides the sums of T - 1 terms by T in both transfers: times T / (T - 1) they
    are these.

    Source: Lopez-Paz and Ranzato 2017, Gradient Episodic Memory, eq. 2-4, https://arxiv.org/abs/1706.08840; Chaudhry et
    al. 2018, Riemannian Walk, section 3, for forgetting, https://arxiv.org/abs/1801.10112.
    """
    r = np.asarray(accuracy, np.float64)
    if r.ndim < 2 or r.shape[-1] != r.shape[-2] or r.shape[-1] < 2:
        raise ValueError(f"accuracies must be [..., T, T] of two tasks or more, got {list(r.shape)}")
    b = None if before is None else np.asarray(before, np.float64)
    if b is not None and b.shape != r.shape[:-1]:
        raise ValueError(f"accuracies before must be {list(r.shape[:-1])} beside those after, got {list(b.shape)}")
    if not np.isfinite(r).all() or not (b is None or np.isfinite(b).all()):
        raise ValueError("accuracies must be finite numbers: a task without test examples has none")
    own, end = np.diagonal(r, axis1=-2, axis2=-1), r[..., -1, :]
    ahead = None if b is None else (np.diagonal(r, 1, axis1=-2, axis2=-1) - b[..., 1:]).mean(-1)
    return TaskMetrics(
        end.mean(-1),
        own.mean(-1),
        (end - own)[..., :-1].mean(-1),
        ahead,
        (r[..., :-1, :-1].max(-2) - end[..., :-1]).mean(-1),
    )


def draw_accuracies(accuracy: ArrayLike, path: str | os.PathLike[str], *, title: str = "") -> Path:
    """Draw R `[T, T]` as a heat map, from white at 0 to dark at 1: a row for each task that was learned, from above.

    A network that forgets has a dark diagonal alone; one that does not has a dark triangle below it, and what is above
    the diagonal was handed on. The path is returned.

    Raises:
        ValueError: for another shape, or numbers that are not 0 to 1.
        RunError: if matplotlib isn't there.
        OSError: if the file can't be written.
    """
    r = np.asarray(accuracy, np.float64)
    if r.ndim != 2 or r.shape[0] != r.shape[1] or not ((r >= 0) & (r <= 1)).all():
        raise ValueError(f"accuracies must be [T, T], from 0 to 1, got {list(r.shape)}: give the mean over seeds")
    tasks = len(r)
    side = min(2.0 + 0.5 * tasks, 8.0)
    figure = figure_maker()(side + 1.2, side)
    ax = figure.subplots()
    image = ax.imshow(r, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    for (i, j), value in np.ndenumerate(r) if tasks <= 12 else ():
        ax.text(j, i, f"{100 * value:.0f}", ha="center", va="center", color="white" if value > 0.6 else "black")
    ticks = range(0, tasks, max(1, tasks // 12))
    ax.set_xticks(ticks, [str(t + 1) for t in ticks])
    ax.set_yticks(ticks, [str(t + 1) for t in ticks])
    ax.tick_params(length=0)
    ax.set(xlabel="tested on task", ylabel="after task")
    figure.colorbar(image, ax=ax, label="accuracy", shrink=0.8)
    figure.suptitle(title)
    return save(figure, Path(path))
