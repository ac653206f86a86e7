"""Questions about scikit-learn's digits, each with training examples of its own."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jmeta.errors import RunError

QUESTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "odd": lambda digit: digit % 2 == 1,
    "prime": lambda digit: np.isin(digit, (2, 3, 5, 7)),
    "below five": lambda digit: digit < 5,
    "loop": lambda digit: np.isin(digit, (0, 6, 8, 9)),
}
TURNS = ("as it is", "turned by 90", "turned by 180", "turned by 270")

Examples = tuple[np.ndarray, np.ndarray]
"""Pixels `[N, 64]` in 0 to 1, and answers `[N]`, 0 or 1."""


class Setting(NamedTuple):
    """Four tasks.

    Attributes:
        title: for tables.
        tasks: their names.
        x: `[T, N, 64]`, the pictures as each task sees them.
        y: `[T, N]`, the answers.
        same_answers: whether all tasks answer alike, so that a pooled classifier need not be told the task.
    """

    title: str
    tasks: tuple[str, ...]
    x: np.ndarray
    y: np.ndarray
    same_answers: bool


def load() -> tuple[np.ndarray, np.ndarray]:
    """Pictures `[N, 8, 8]` in 0 to 1, and digits `[N]`.

    Raises:
        RunError: if scikit-learn is not there.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise RunError("the digits need scikit-learn, which is not installed: pip install 'jmeta[digits]'.") from error
    found: Any = load_digits()
    return found.images / 16, found.target


def settings(pictures: np.ndarray, digits: np.ndarray) -> dict[str, Setting]:
    """Questions and turns, by name."""
    flat = pictures.reshape(len(pictures), -1)
    answers = np.stack([question(digits) for question in QUESTIONS.values()]).astype(np.int64)
    turned = np.stack([np.rot90(pictures, k, axes=(1, 2)).reshape(len(pictures), -1) for k in range(4)])
    loops = np.broadcast_to(answers[list(QUESTIONS).index("loop")], answers.shape)
    return {
        "questions": Setting(
            "Four questions about digits", tuple(QUESTIONS), np.broadcast_to(flat, (4, *flat.shape)), answers, False
        ),
        "turns": Setting("One question, loop, about digits turned four ways", TURNS, turned, loops, True),
    }


def drawn(setting: Setting, pool: np.ndarray, n: int, seed: int) -> tuple[list[Examples], np.ndarray]:
    """Examples of each task, no picture in two, and what is left of the pool."""
    from sklearn.model_selection import train_test_split

    found = []
    for x, y in zip(setting.x, setting.y, strict=True):
        split: Any = train_test_split(pool, train_size=n, stratify=y[pool], random_state=seed)
        rows, pool = split
        found.append((x[rows], y[rows]))
    return found, pool
