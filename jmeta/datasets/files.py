"""Data sets from a user's own files: an npz file, or a folder of pictures with a sub-folder for each class."""

import os
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from jmeta.checks import bytes_of
from jmeta.datasets.look import differ
from jmeta.datasets.pictures import as_learned, look_of_files, open_picture
from jmeta.datasets.types import DataError, Dataset, by_class, make_dataset, room
from jmeta.report.arrays import DAMAGED, Declared, read_npz

_IGNORED = {"thumbs.db", "desktop.ini"}


def load_npz(path: Path) -> Dataset:
    """Loads an npz file, as a data set of its name; warns of pictures that are there twice.

    It has the array `images` (or just one array of rank 5), uint8, or integers or bools that can mean nothing else,
    `[classes, examples, H, W, C]` or `[classes, examples, H, W]`, and if wanted `class_names`, `groups` and `counts`
    `[classes]`. Or it has `images` `[N, H, W, C]` or `[N, H, W]` and `labels` `[N]`, whose values are the class names.
    Other arrays are not read.

    Raises:
        DataError: a file that cannot be read, or other contents.
    """
    try:
        arrays = read_npz(path, partial(_wanted, path))
    except DataError:
        raise
    except DAMAGED as error:
        raise DataError(
            f"{path} cannot be read as an npz file ({error}): make it with numpy.savez(path, images=..., "
            "class_names=...)."
        ) from error
    images = arrays["images"] if "images" in arrays else next(a for a in arrays.values() if a.ndim == 5)
    try:
        images = bytes_of(images) if images.dtype.kind in "biu" else images
    except ValueError as error:
        raise DataError(f"{path}: {error}.") from error
    names, groups = arrays.get("class_names"), arrays.get("groups")
    counts = arrays.get("counts")
    if "labels" in arrays:
        if names is not None or counts is not None:
            raise DataError(
                f"{path} has labels, which name the classes and say how many examples they have: leave "
                "class_names and counts out, or give the names as labels."
            )
        images, names, counts = _by_label(path, images, arrays["labels"])
    return _told_of_copies(make_dataset(path.stem, images, names, groups, counts))


def load_folder(path: Path, size: int | None = None) -> Dataset:
    """Loads a folder of pictures, as a data set of its name; warns of pictures that are there twice.

    Every folder below it that holds files is a class, named by its path from there, such as alphabet/character; its
    group is the folder above. Hidden files and those of file browsers are passed over. Classes and files are in sorted
    order, and smaller classes are padded with zeros. What pictures are brought to is `pictures.look_of_files`.

    Raises:
        DataError: no classes, an empty class, or a file that is no picture.
    """
    classes = {folder: visible(folder) for folder in sorted(_class_folders(path))}
    if not classes:
        raise DataError(f"{path} has no sub-folders: put the images of each class in a sub-folder of their own.")
    seen = look_of_files([file for files in classes.values() for file in files], size)
    assert seen.files is not None, "they are files"
    inverted = differ(seen.files, seen.ink)
    counts = np.array([len(files) for files in classes.values()], np.int32)
    images = room(counts, seen.shape)
    for c, files in enumerate(classes.values()):
        for i, file in enumerate(files):
            images[c, i] = as_learned(open_picture(file), seen.shape, seen.files, inverted=inverted)
    names = [folder.relative_to(path).as_posix() for folder in classes]
    groups = [name.rpartition("/")[0] or path.resolve().name for name in names]
    return _told_of_copies(make_dataset(path.resolve().name, images, names, groups, counts, seen=seen))


def visible(folder: Path) -> list[Path]:
    """What is in a folder in sorted order, without hidden files and those of file browsers."""
    return sorted(p for p in folder.iterdir() if not p.name.startswith(".") and p.name.lower() not in _IGNORED)


def _wanted(path: Path, declared: Mapping[str, Declared]) -> list[str]:
    """The names of the arrays that are read, from what there is."""
    found = ["images"] if "images" in declared else [key for key, array in declared.items() if len(array.shape) == 5]
    if len(found) != 1:
        has = ", ".join(f"{key} of shape {list(array.shape)}" for key, array in list(declared.items())[:8])
        raise DataError(
            f"{path} must have an array called images of shape [classes, examples, H, W, C], got {has or 'no arrays'}: "
            "rename it."
        )
    return found + [key for key in ("class_names", "groups", "counts", "labels") if key in declared]


def _by_label(path: Path, images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, Any, np.ndarray]:
    """Images by class, the names of classes, and counts."""
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if images.ndim not in (3, 4) or not images.size or labels.shape != images.shape[:1]:
        raise DataError(
            f"{path} has labels, so that images must be [N, H, W, C] or [N, H, W] and labels [N], got "
            f"{list(images.shape)} and {list(labels.shape)}: reshape them, or leave labels out."
        )
    images = images if images.ndim == 4 else images[..., None]
    if (labels != labels).any():
        raise DataError(f"{path} has labels that are NaN: give each picture the name of its class, or leave it out.")
    values, places = np.unique(labels, return_inverse=True)
    grouped, counts = by_class([images[places == k] for k in range(len(values))])
    return grouped, values if values.dtype.kind == "S" else [str(value) for value in values.tolist()], counts


def _folders_below(path: Path) -> Iterator[Path]:
    """All folders that are not hidden, links to folders among them, but for those that lead back up; DataError for a
    link that leads nowhere, which a folder may have been behind."""
    for parent, names, others in os.walk(path, followlinks=True):
        for name in others:
            if not name.startswith(".") and not Path(parent, name).exists():
                raise DataError(
                    f"{Path(parent, name)} is a link to what is not there: restore that, or remove the link."
                )
        above = [Path(parent), *Path(parent).parents]
        links = {name for name in names if Path(parent, name).is_symlink()}
        back = {name for name in links if Path(parent, name).resolve() in {up.resolve() for up in above}}
        names[:] = [name for name in names if name not in back and not name.startswith(".")]
        yield from (Path(parent, name) for name in names)


def _class_folders(path: Path) -> list[Path]:
    found = []
    for folder in _folders_below(path):
        inside = visible(folder)
        if not inside:
            raise DataError(f"{folder} has no images: add some, or remove the folder.")
        files = [p for p in inside if not p.is_dir()]
        if files and len(files) < len(inside):
            raise DataError(f"{folder} has both images and sub-folders: a class must have images only.")
        found += [folder] if files else []
    return found


def _told_of_copies(dataset: Dataset) -> Dataset:
    """The data set, with a warning if pictures that aren't of one brightness are there twice."""
    rows = zip(dataset.images, dataset.counts, strict=True)
    seen = [Counter(hash(x.tobytes()) for x in row[:n] if x.min() < x.max()) for row, n in rows]
    within = sum(times - 1 for row in seen for times in row.values())
    classes = Counter(picture for row in seen for picture in row)
    between = sum(times > 1 for times in classes.values())
    if within or between:
        warnings.warn(
            f"{dataset.name} has {between} pictures that are the same in several classes, and {within} that are the "
            "same as another of their class: remove copies, or what is tested on was learned from.",
            stacklevel=3,
        )
    return dataset
