"""Which folders of a data set are classes: those that hold its pictures."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from jmeta.datasets.pictures import is_picture
from jmeta.datasets.sources import PACKED, PICTURES, File, listed
from jmeta.datasets.splits import PARTS
from jmeta.datasets.types import DataError


class Folders(NamedTuple):
    """What is in a folder of pictures.

    Attributes:
        classes: the files of each class, by its name.
        notes: files that are beside classes, or in a folder of their own, and are no pictures.
        loose: pictures that are in no class.
        apart: classes that are beside train, val and test.
    """

    classes: dict[str, list[File]]
    notes: list[File]
    loose: list[File]
    apart: list[str]


def classes_of(path: Path, files: Mapping[str, File]) -> Folders:
    """The folders that hold pictures and no other such folder, by their names below what holds all of them.

    Notes at the top, in what holds all classes, are passed over.

    Args:
        path: of the folder or archive, for messages.
        files: of all that is in it, by their names from there.

    Raises:
        DataError: where there are no such folders, or pictures beside them that may be of some class.
    """
    every: dict[str, dict[str, File]] = {}
    for name, file in files.items():
        folder, _, own = name.rpartition("/")
        every.setdefault(folder, {})[own] = file
    pictures = {
        folder: [file for name, file in own.items() if name.lower().endswith(PICTURES) or is_picture(file)]
        for folder, own in every.items()
    }
    holding = [folder for folder, own in pictures.items() if own and folder]
    above = {up for folder in holding for up in _above(folder)}
    found = [folder for folder in holding if folder not in above]
    if not found:
        packed = [name for name in files if name.lower().endswith((".zip", *PACKED))]
        if packed:
            raise DataError(f"{path} has no sub-folders of pictures, but {listed(packed)}: unpack or name that.")
        raise DataError(f"{path} has no sub-folders: put the images of each class in a sub-folder of their own.")
    parents = [_parent(folder) for folder in found]
    top = os.path.commonpath(parents).replace(os.sep, "/") if all(parents) else ""
    tops = {"", top, *_above(top)}
    for folder in holding:
        if folder in above and folder not in tops:
            raise DataError(
                f"{pictures[folder][0]} is a picture beside sub-folders: move it into one, or into one of its own."
            )
    loose = [file for folder in tops for file in pictures.get(folder, ())]
    others = every.keys() - {*found, *tops}
    notes = [file for folder, own in every.items() if folder in others for file in own.values()]
    classes = {folder.removeprefix(f"{top}/"): [*every[folder].values()] for folder in found}
    parted = {name for name in classes if name.partition("/")[0].lower() in PARTS and "/" in name}
    apart = [name for name in classes if name not in parted]
    if len({PARTS[name.partition("/")[0].lower()] for name in parted}) < 2:
        apart = []
    return Folders({name: own for name, own in classes.items() if name not in apart}, notes, loose, apart)


def _parent(folder: str) -> str:
    return folder.rpartition("/")[0]


def _above(folder: str) -> list[str]:
    """The folders that a folder is in, the nearest first."""
    found = []
    while folder := _parent(folder):
        found.append(folder)
    return found
