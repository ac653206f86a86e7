"""The sets of MedMNIST, from a user's own .npz files."""

from pathlib import Path

import numpy as np

from jmeta.datasets.arrays import from_labels
from jmeta.datasets.types import DataError, Dataset
from jmeta.errors import closest, first_line
from jmeta.report.arrays import DAMAGED, read_npz

PAGE = "https://medmnist.com"
PAPER = (
    "Yang et al. 2023, MedMNIST v2: A large-scale lightweight benchmark for 2D and 3D biomedical image "
    "classification, https://arxiv.org/abs/2110.14795"
)
CLASSES = {
    "pathmnist": 9, "dermamnist": 7, "octmnist": 4, "pneumoniamnist": 2, "retinamnist": 5, "breastmnist": 2,
    "bloodmnist": 8, "tissuemnist": 8, "organamnist": 11, "organcmnist": 11, "organsmnist": 11,
}  # fmt: skip
"""How many classes each has; those of several labels a picture, and of volumes, are no pictures of classes."""
_PARTS = ("train", "val", "test")


def load(name: str, folder: Path) -> Dataset:
    """A set of MedMNIST by its name, with its three parts put together, since it is classes that are divided.

    The file is NAME.npz, or NAME_64.npz, NAME_128.npz and NAME_224.npz by these names, in the folder of data sets or in
    medmnist below it. Classes are called by their numbers in the file.

    Raises:
        DataError: another name, a file that is not there or damaged, or one of other classes.

    Source: Yang et al. 2023, https://arxiv.org/abs/2110.14795
    """
    kind = name.partition("_")[0]
    if kind not in CLASSES:
        close = closest(kind, CLASSES)
        instead = f"did you mean {close!r}?" if close else f"choose one of {', '.join(CLASSES)}."
        raise DataError(f"medmnist:NAME needs NAME to be a set of one label a picture, got {name!r:.60}: {instead}")
    path = find(name, folder)
    if path is None:
        raise DataError(f"medmnist:{name} needs {name}.npz, which is not in {folder}: get it from {PAGE}.")
    wanted = [f"{part}_{what}" for what in ("images", "labels") for part in _PARTS]
    try:
        found = read_npz(path, lambda declared: [key for key in wanted if key in declared])
        images, labels = (np.concatenate([found[key] for key in wanted[at : at + 3]]) for at in (0, 3))
    except DAMAGED as error:
        why = f"it lacks {error}" if isinstance(error, KeyError) else first_line(error)
        raise DataError(f"{path} can't be read as a set of MedMNIST ({why}): get it again from {PAGE}.") from error
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[-1] != 3) or images.dtype != np.uint8:
        raise DataError(
            f"{path} must have pictures uint8 [N, H, W] or [N, H, W, 3], got {images.dtype} {list(images.shape)}: get "
            f"it again from {PAGE}."
        )
    dataset = from_labels(images, labels, name=f"medmnist-{name}")
    if len(dataset.class_names) != CLASSES[kind]:
        raise DataError(
            f"{path} must have {CLASSES[kind]} classes, got {len(dataset.class_names)}: get it again from {PAGE}."
        )
    return dataset


def find(name: str, folder: Path) -> Path | None:
    """The file of a set, or None."""
    places = (folder / "medmnist" / f"{name}.npz", folder / f"{name}.npz")
    return next((path for path in places if path.is_file()), None)


def status(folder: Path) -> str:
    """Which sets there are."""
    names = [name for name in CLASSES if find(name, folder)]
    return ", ".join(names) or f"lacks NAME.npz from {PAGE}"
