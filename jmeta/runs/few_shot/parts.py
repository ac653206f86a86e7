"""The parts of a data set, of which no two share a picture, and what is said of them."""

import warnings
from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np

from jmeta.datasets import Dataset, Split
from jmeta.datasets.sources import listed
from jmeta.errors import RunError, several
from jmeta.ragged import Ragged

PARTS = ("train", "val", "test")


class Part(NamedTuple):
    """The classes of a part of a split: their indices in the data set, and their examples."""

    classes: np.ndarray
    examples: Ragged


def parts_of(dataset: Dataset, split: Split, *, own: bool) -> dict[str, Part]:
    """The parts of a split.

    In data of one's `own`, an example that is in a later part too, in the order train, val, test, is left out of the
    earlier one, with a warning: nothing that is tested on was trained on. What has one value alone, such as a blank
    picture, is kept.
    """
    found = {name: Part(getattr(split, name), dataset.examples[getattr(split, name)]) for name in PARTS}
    if not own:
        return found
    later: set[int] = set()
    left_out = 0
    for name in reversed(PARTS):
        classes, examples = found[name]
        keys = [hash(row.tobytes()) if row.min() < row.max() else None for row in examples.rows]
        kept = np.array([key is None or key not in later for key in keys], bool)
        later |= {key for key in keys if key is not None}
        if not kept.all():
            left_out += int((~kept).sum())
            counts = np.bincount(examples.labels[kept], minlength=len(examples)).astype(np.int32)
            found[name] = Part(classes, Ragged(jax.tree.map(lambda a, kept=kept: a[kept], examples.rows), counts))
    if left_out:
        what = "examples" if dataset.look is None else "pictures"
        warnings.warn(
            f"{dataset.name} has {left_out} {what} in training or validation that are in a later part too: they are "
            "left out there.",
            stacklevel=2,
        )
    return found


def large_enough(part: Part, dataset: Dataset, needed: int, way: int, what: str) -> Part:
    """The classes of a part that have as many examples as an episode needs; the others are named in a warning.

    Raises:
        RunError: where fewer than `way` are left.
    """
    enough = part.examples.counts >= needed
    lost = [dataset.class_names[i] for i in part.classes[~enough]]
    if enough.sum() < way:
        least = f"{what} needs {needed} examples of each of {way} classes, and"
        if not enough.any():
            said = f"the largest of {dataset.name} there has {part.examples.counts.max()}"
            raise RunError(f"{least} {said}: give a smaller --shot or --query-shot.")
        raise RunError(
            f"{least} only {enough.sum()} of the {len(enough)} of {dataset.name} there have as many "
            f"(not {listed(lost)}): give a smaller --way, --shot or --query-shot, or more pictures."
        )
    if not lost:
        return part
    small = f"{several(len(lost), 'class')} of fewer than {needed} examples"
    warnings.warn(f"{dataset.name} has {small}, {listed(lost)}: they are left out.", stacklevel=2)
    return Part(part.classes[enough], part.examples[enough])


def said(parts: Mapping[str, Part], what: str) -> str:
    """How many classes and examples there are in each part, in a sentence."""
    if not len(parts["test"].classes):
        parts = {name: part for name, part in parts.items() if name != "test"}
    size = lambda part: f"{several(len(part.classes), 'class')}, {part.examples.counts.sum():,} {what}"
    return "; ".join(f"{name} {size(part) if len(part.classes) else 'none'}" for name, part in parts.items())
