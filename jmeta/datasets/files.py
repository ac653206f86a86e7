"""Data sets from a user's own pictures: a folder or a zip archive with a sub-folder for each class."""

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from jmeta.datasets.folders import classes_of
from jmeta.datasets.gathered import gathered
from jmeta.datasets.look import differ
from jmeta.datasets.pictures import as_learned, look_of_files, open_picture
from jmeta.datasets.sources import File, files_in, files_in_zip, is_shown, listed
from jmeta.datasets.splits import together
from jmeta.datasets.types import DataError, Dataset, make_dataset
from jmeta.ragged import Ragged


def from_folder(path: str | Path, *, size: int | None = None, strict: bool = False) -> Dataset:
    """A folder of pictures, or a zip archive of one, as a data set of its name; warns of pictures that are there twice.

    Every folder at any depth that holds pictures is a class, named by its path below what holds all of them, such as
    alphabet/character; its group is the folder above. Classes and files are in sorted order. Hidden files, those of
    file browsers, and notes at the top are passed over. With a warning that names them, these are left out: files that
    are no pictures or can't be read, pictures at the top, and folders beside train, val and test, where these are.
    What pictures are brought to is `pictures.look_of_files`.

    Args:
        size: height and width that pictures are brought to; otherwise their own, or 84 if they are of several sizes.
        strict: refuse what else is left out with a warning.

    Raises:
        DataError: no classes, a picture beside classes, or with `strict` what is left out.
    """
    path = Path(path).expanduser()
    files = files_in_zip(path) if path.is_file() else files_in(path)
    found = classes_of(path, files)
    classes = found.classes
    _tell(f"{path.name} has pictures in no class, {listed(found.loose)}", found.loose, strict)
    _tell(f"{path.name} has folders beside train, val and test, {listed(found.apart)}", found.apart, strict)
    if path.is_dir():
        empty = [str(p) for p in sorted(path.rglob("*")) if p.is_dir() and not any(p.iterdir()) and is_shown(p.name)]
        if empty and strict:
            raise DataError(f"{listed(empty)} has no images: add some, or remove the folder.")
        if empty:
            warnings.warn(f"{listed(empty)} has no images: it is left out; --strict refuses it.", stacklevel=2)
    name = path.resolve().name if path.is_dir() else path.stem
    groups = {folder: folder.rpartition("/")[0] or name for folder in classes}
    return of_files(name, classes, groups, size=size, strict=strict, notes=found.notes)


def _tell(what: str, left_out: Sequence[object], strict: bool) -> None:
    if left_out and strict:
        raise DataError(f"{what}: move or remove them, or leave --strict out.")
    if left_out:
        warnings.warn(f"{what}: they are left out; --strict refuses them.", stacklevel=3)


def of_files(
    name: str,
    classes: Mapping[str, Sequence[File]],
    groups: Mapping[str, str],
    *,
    size: int | None,
    strict: bool,
    notes: Sequence[File] = (),
) -> Dataset:
    """A data set of the pictures of each class; as `from_folder`. `notes` are files that are told of with those that
    are no pictures."""
    if together([*classes]):
        classes, groups = _merged(name, classes)
    bad: list[File] = [*notes]
    given = [(folder, file) for folder, files in classes.items() for file in files]
    seen = look_of_files([file for _, file in given], size, bad)
    given = [pair for pair in given if pair[1] not in bad] if bad else given
    inverted = differ(str(seen.files), seen)
    read = lambda file: as_learned(open_picture(file), seen.shape, str(seen.files), inverted=inverted)
    lost: list[File] = []
    rows = gathered(name, [file for _, file in given], seen.shape, read, lost)
    labels = [folder for folder, file in given if file not in set(lost)] if lost else [folder for folder, _ in given]
    bad += lost
    tell_of(name, bad, len(bad) + len(labels), strict)
    without = [folder for folder in classes if folder not in set(labels)]
    if without:
        raise DataError(
            f"{name} has classes without a picture that can be read, {listed(without)}: mend or remove them."
        )
    counts = Counter(labels)
    examples = Ragged(rows, np.array([counts[folder] for folder in classes], np.int32))
    return told_of_copies(make_dataset(name, examples, list(classes), [groups[c] for c in classes], seen=seen))


def _merged(name: str, classes: Mapping[str, Sequence[File]]) -> tuple[dict[str, list[File]], dict[str, str]]:
    """The classes of folders called train, val and test that have the same ones, put together, and their groups."""
    found: dict[str, list[File]] = {}
    for folder, files in classes.items():
        found.setdefault(folder.partition("/")[2], []).extend(files)
    warnings.warn(
        f"{name} has the same classes in its parts, which divides pictures, and it is new classes that are tested on: "
        "the parts are put together, and the classes divided.",
        stacklevel=4,
    )
    found = dict(sorted(found.items()))
    return found, {folder: folder.rpartition("/")[0] or name for folder in found}


def tell_of(name: str, bad: Sequence[File], number: int, strict: bool) -> None:
    """Warn of files that are left out, or refuse them."""
    if not bad:
        return
    what = f"{name} has {len(bad)} of {number} files that are no pictures or can't be read, {listed(bad)}"
    if strict or len(bad) == number:
        raise DataError(f"{what}: mend or remove them" + (", or leave --strict out." if strict else "."))
    warnings.warn(f"{what}: they are left out; --strict refuses them.", stacklevel=3)


def told_of_copies(dataset: Dataset) -> Dataset:
    """The data set, with a warning if examples that aren't of one value are there twice."""
    seen: dict[int, set[int]] = {}
    within = 0
    for k, row in zip(dataset.examples.labels.tolist(), dataset.examples.rows, strict=True):
        if row.min() == row.max():
            continue
        classes = seen.setdefault(hash(row.tobytes()), set())
        within += k in classes
        classes.add(k)
    between = sum(len(classes) > 1 for classes in seen.values())
    if within or between:
        what = "examples" if dataset.look is None else "pictures"
        warnings.warn(
            f"{dataset.name} has {between} {what} that are the same in several classes, and {within} that are the "
            "same as another of their class: remove copies, or what is tested on was learned from.",
            stacklevel=3,
        )
    return dataset
