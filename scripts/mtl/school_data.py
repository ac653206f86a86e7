"""The School data: examination scores of the pupils of 139 schools, each school a task."""

import os
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.io
from scipy.io.matlab import MatReadError

from jmeta.datasets import DataError, data_root

FILE = "school.mat"
PERCENTAGES = (3, 4)
"""The features that are percentages of a school's pupils: free meals, and the best band of verbal reasoning."""
_DAMAGED = (
    MatReadError,
    OSError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    zlib.error,
    NotImplementedError,
)


class School(NamedTuple):
    """The examples of 139 schools, padded to the largest, of 251 pupils.

    Attributes:
        x: `[139, 251, 28]` float32 from 0 to 1: indicators, two shares, and a constant 1 as the last.
        y: `[139, 251]` float32, the scores, 1 to 70.
        weight: `[139, 251]` float32, 1 for a pupil and 0 for padding.
    """

    x: np.ndarray
    y: np.ndarray
    weight: np.ndarray


def load_school(root: str | os.PathLike[str] | None = None) -> School:
    """Read the School data, as MALSAR has them: 15,362 pupils with 28 features.

    The file holds bytes, of which products overflow without a word: all are cast first. Percentages become shares, so
    that no feature is beyond 1.

    Args:
        root: the folder with `school.mat`; None for $JMETA_DATA, else data in the cache folder.

    Returns:
        `School`.

    Raises:
        DataError: if the file is missing, damaged or another.

    Source: https://github.com/jiayuzhou/MALSAR, data/school.mat; the data are of the Inner London Education Authority.
    """
    path = data_root(root) / FILE
    if not path.is_file():
        raise DataError(
            f"{path} is not there: get data/{FILE} of https://github.com/jiayuzhou/MALSAR, "
            "and name the folder that it is in."
        )
    try:
        found = scipy.io.loadmat(path)
        tables = [np.asarray(table, np.float32) for table in found["X"].ravel()]
        scores = [np.asarray(score, np.float32).ravel() for score in found["Y"].ravel()]
    except _DAMAGED as error:
        raise DataError(f"{path} can't be read ({_reason(error)}): get it again from where it came.") from error
    return _padded(path, tables, scores)


def _padded(path: Path, tables: list[np.ndarray], scores: list[np.ndarray]) -> School:
    sizes = [len(score) for score in scores]
    if not tables or len(tables) != len(scores) or any(t.shape != (n, 28) for t, n in zip(tables, sizes, strict=True)):
        raise DataError(f"{path} has no 28 features and a score for each pupil of each school: get it again.")
    x = np.zeros((len(tables), max(sizes), 28), np.float32)
    y = np.zeros(x.shape[:2], np.float32)
    weight = np.zeros_like(y)
    for i, (table, score) in enumerate(zip(tables, scores, strict=True)):
        x[i, : len(score)], y[i, : len(score)], weight[i, : len(score)] = table, score, 1
    x[..., list(PERCENTAGES)] /= 100
    return School(x, y, weight)


def _reason(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
