"""The official one-shot test of Omniglot: 20 runs of 20-way 1-shot classification within one alphabet."""

import re
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jmeta.datasets import omniglot
from jmeta.datasets.types import DataError

NAME = "omniglot-runs"
FILE = "all_runs.zip"
SOURCE = "github.com/brendenlake/omniglot, folder python/one-shot-classification"
RUNS, WAY = 20, 20
_LABEL = re.compile(r"run(\d+)/test/item(\d+)\.png\s+run(\d+)/training/class(\d+)\.png")


class OneShotRuns(NamedTuple):
    """The runs, each with as many drawings to learn from as to name.

    Attributes:
        support: uint8 `[20, 20, H, W, 1]`, one drawing of each class of each run, ink bright.
        query: uint8 `[20, 20, H, W, 1]`, by another hand, one of each class.
        labels: int32 `[20, 20]`, the class of each query, as its place in `support`.
    """

    support: np.ndarray
    query: np.ndarray
    labels: np.ndarray


def load_runs(root: Path, size: int = omniglot.SIZE) -> OneShotRuns:
    """Loads the runs from `root/omniglot/all_runs.zip` or `root/all_runs.zip`.

    Drawings are made like those of `omniglot.load`. Classes and queries are in the order of their numbers. A size of
    105 pixels gives the drawings as published, as 0 and 255.

    Raises:
        DataError: a missing, damaged or wrong archive.

    Source: Lake et al. 2015, Human-level concept learning through probabilistic program induction.
    """
    path = find(root)
    if path is None:
        raise DataError(
            f"{NAME} needs {FILE}, not found in {root / 'omniglot'} or {root}: get it from {SOURCE}, "
            f"and put it in {root / 'omniglot'}."
        )
    return read_runs(path, size)


def find(root: Path) -> Path | None:
    """The path of the archive, or None."""
    return omniglot.find_here(FILE, root)


def read_runs(path: Path, size: int = omniglot.SIZE) -> OneShotRuns:
    """As `load_runs`: `runNN/training/classNN.png`, `runNN/test/itemNN.png` and `runNN/class_labels.txt` in a zip."""

    def drawings(archive: zipfile.ZipFile, run: int, kind: str) -> np.ndarray:
        names = [f"run{run:02d}/{kind}{number:02d}.png" for number in range(1, WAY + 1)]
        return np.stack([omniglot.read_drawing(omniglot.read(archive, name), size) for name in names])[..., None]

    runs = range(1, RUNS + 1)
    with omniglot.opened(path, SOURCE) as archive:
        labels = [_labels(omniglot.read(archive, f"run{run:02d}/class_labels.txt").decode(), run) for run in runs]
        support = np.stack([drawings(archive, run, "training/class") for run in runs])
        query = np.stack([drawings(archive, run, "test/item") for run in runs])
    return OneShotRuns(support, query, np.stack(labels))


def _labels(text: str, run: int) -> np.ndarray:
    """The class of each item, from lines that pair the file of an item with that of its class."""
    pairs = [_LABEL.fullmatch(line.strip()) for line in text.splitlines() if line.strip()]
    found = {int(m[2]): int(m[4]) for m in pairs if m and int(m[1]) == int(m[3]) == run}
    numbers = list(range(1, WAY + 1))
    if sorted(found) != numbers or sorted(found.values()) != numbers or len(pairs) != WAY:
        raise ValueError(f"the labels of run {run} do not pair {WAY} items with {WAY} classes")
    return np.array([found[item] - 1 for item in numbers], np.int32)
