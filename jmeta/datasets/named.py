"""Known data sets from a user's own copy, whatever its layout: told by their classes, in one order, under one name."""

import csv
import hashlib
import io
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from jmeta.datasets import arrays, cache, cifar, downloads, tfds_images
from jmeta.datasets.gathered import gathered
from jmeta.datasets.known import KNOWN, Known
from jmeta.datasets.pictures import as_learned, open_picture, resized
from jmeta.datasets.published import DIVISIONS
from jmeta.datasets.sources import PICTURES, File, content, files_in, files_in_zip, listed
from jmeta.datasets.types import DataError, Dataset, make_dataset
from jmeta.errors import closest, first_line
from jmeta.ragged import Ragged
from jmeta.report.arrays import DAMAGED

_FORM = 1
"""Of what is kept in the cache; a change of how pictures are read is another."""
_TABLES = {"train.csv": "train", "val.csv": "val", "test.csv": "test"}


def load(name: str, folder: Path, size: int | None = None) -> Dataset:
    """A data set of `KNOWN`, as one array uint8 of RGB pictures, from the copy that is in a folder of data sets.

    Its classes are in sorted order, whatever the copy: an original archive or the folder that it unpacks to; a folder,
    or a zip, with a sub-folder a class at any depth; for `mini-imagenet` Ravi and Larochelle's train.csv, val.csv and
    test.csv beside a folder images; an .npz file of arrays, as `arrays.load_npz` takes it, whose classes have these
    names or are numbers in the order of the names; or what TFDS has prepared. Files are read once, then the cache is.
    It warns where there are more or fewer pictures than the original has.

    Args:
        name: one of `KNOWN`.
        folder: of data sets, or the copy itself.
        size: height and width that pictures are brought to; otherwise those of the published figures.

    Raises:
        DataError: a copy that is not there, damaged, or of other classes.
    """
    known = KNOWN[name]
    paths = find(name, folder)
    if not paths:
        raise DataError(
            f"{name} needs {known.archive} which is not in {folder}: get it from {known.page} and put it there."
        )
    side = known.size if size is None else size
    if _is_prepared(paths[0]) or paths[0].suffix == ".npz":
        found = _read(known, paths, side)
    else:
        state = hashlib.sha256(repr([_FORM, *map(_state, paths)]).encode()).hexdigest()[:16]
        found = cache.cached(f"{known.copy}-{side}-{state}", lambda: _read(known, paths, side))
    if len(found.examples.rows) != known.pictures:
        each = sorted({int(count) for count in found.counts})
        warnings.warn(
            f"{name} has {len(found.examples.rows):,} pictures in {listed(paths)}, "
            f"{'to '.join(map(str, [each[0], each[-1]][: len(each)]))} a class, and the original {known.pictures:,}: "
            "published figures are not for it.",
            stacklevel=2,
        )
    if found.name == name:
        return found
    return make_dataset(name, found.examples, found.class_names, found.groups, seen=found.look)


def find(name: str, folder: Path) -> list[Path]:
    """Where the copy of a data set is, in a folder of data sets or this folder itself; empty where it is not."""
    known = KNOWN[name]
    for names in known.places:
        paths = [folder if folder.name == place else folder / place for place in names]
        paths = [path for path in paths if path.is_file() or (path.is_dir() and _prepared(path) is None)]
        if paths:
            return paths
    places = [place / known.tfds for place in downloads.tfds_folders(folder) if known.tfds]
    return [path for place in places if (path := _prepared(place)) is not None][:1]


def status(name: str, folder: Path) -> str:
    """Where the copy is, or what is missing."""
    known, paths = KNOWN[name], find(name, folder)
    return listed(paths) if paths else f"lacks {known.archive.rstrip(',')} from {known.page}"


def _prepared(path: Path) -> Path | None:
    """The folder of a set that TFDS has prepared below this one, of the last version."""
    # By versions alone: what a folder of pictures has below it may be a hundred thousand files.
    versions = ("[0-9]*.[0-9]*.[0-9]*", "*/[0-9]*.[0-9]*.[0-9]*")
    found = [place for version in versions for place in path.glob(version) if _is_prepared(place)]
    return max(found, default=None)


def _is_prepared(path: Path) -> bool:
    return (path / "dataset_info.json").is_file()


def _state(path: Path) -> object:
    """What changes with the files of a copy: their names, sizes and times."""
    if path.is_file():
        return str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns
    files = [os.path.join(parent, name) for parent, _, names in os.walk(path, followlinks=True) for name in names]
    return [(file, (seen := os.stat(file)).st_size, seen.st_mtime_ns) for file in sorted(files)]


def _read(known: Known, paths: Sequence[Path], side: int) -> Dataset:
    first = paths[0]
    if _is_prepared(first):
        return _in_order(known, tfds_images.load(str(first), first.parent, download=False), side)
    if first.suffix == ".npz":
        return _in_order(known, arrays.load_npz(first), side)
    if known.copy == "cifar100" and cifar.is_archive(first):
        return _in_order(known, cifar.read(first), side)
    found: dict[str, list[tuple[str, File]]] = {name: [] for name in known.classes}
    for path in paths:
        files = files_in_zip(path) if path.is_file() else files_in(path)
        for name, own in _by_class(known, path, files).items():
            found[name] += own
    _check_whole(known, paths, [name for name, own in found.items() if own])
    # By the names of files, so that copies in several folders are one data set.
    ordered = {name: [file for _, file in sorted(own, key=lambda pair: pair[0])] for name, own in found.items()}
    return _of_files(known, ordered, side)


def _of_files(known: Known, files: Mapping[str, Sequence[File]], side: int) -> Dataset:
    counts = np.array([len(own) for own in files.values()], np.int32)
    shape = (side, side, 3)
    read = lambda file: as_learned(open_picture(file), shape, "none", inverted=False)
    rows = gathered(known.copy, [file for own in files.values() for file in own], shape, read)
    return _made(known, Ragged(rows, counts))


def _made(known: Known, examples: Ragged) -> Dataset:
    groups = [name.rpartition("/")[0] or known.copy for name in known.classes]
    return make_dataset(known.copy, examples, known.classes, groups)


def _in_order(known: Known, found: Dataset, side: int) -> Dataset:
    """The data set with the classes as `Known` has them; numbers are their places in the order of names."""
    if found.look is None:
        raise DataError(f"{found.name} has no pictures, of which {known.copy} is: give uint8 [N, H, W, 3].")
    place = _places(known)
    order = sorted(range(len(known.classes)), key=lambda k: known.classes[k].rpartition("/")[2])
    numbers = {str(i): k for i, k in enumerate(order)}
    at = {
        k: i
        for i, name in enumerate(found.class_names)
        if (k := place.get(_plain(name), numbers.get(name))) is not None
    }
    foreign = [name for name in found.class_names if _plain(name) not in place and name not in numbers]
    _check_foreign(known, found.name, foreign)
    _check_whole(known, [found.name], [known.classes[k] for k in at])
    return resized(_made(known, found.examples[[at[k] for k in range(len(known.classes))]]), (side, side, 3))


def _plain(name: str) -> str:
    """The last folder of a name, whichever way words are joined in it."""
    return name.rpartition("/")[2].lower().replace(" ", "_").replace("-", "_")


def _places(known: Known) -> dict[str, int]:
    return {_plain(name): k for k, name in enumerate(known.classes)}


def _check_whole(known: Known, where: Sequence[object], there: Sequence[str]) -> None:
    lost = [name for name in known.classes if name not in set(there)]
    if lost:
        raise DataError(
            f"{listed(where)} lacks {len(lost)} of the {len(known.classes)} classes of {known.copy}, {listed(lost)}: "
            f"get {known.archive.rstrip(',')} again from {known.page}."
        )


def _check_foreign(known: Known, where: object, foreign: Sequence[str]) -> None:
    if foreign:
        raise DataError(
            f"{where} has {len(foreign)} classes that are none of the {len(known.classes)} of {known.copy}, "
            f"{listed(foreign)}: take them out, or give it as a data set of your own by its path."
        )


def _by_class(known: Known, path: Path, files: Mapping[str, File]) -> dict[str, list[tuple[str, File]]]:
    """The pictures of each class of `known`, each after the name of its file, from files at any depth."""
    tables = {place: part for place in files if (part := _TABLES.get(PurePosixPath(place).name)) and known.division}
    if tables:
        return _by_tables(known, path, files, tables)
    place, found, foreign = _places(known), {name: [] for name in known.classes}, {}
    for name, file in files.items():
        *folders, own = PurePosixPath(name).parts
        inner = [folder for folder in folders if folder != "images"]
        if not inner or not own.lower().endswith(PICTURES):
            continue
        k = place.get(_plain(inner[-1]))
        if k is None and not set(inner) & set(known.unlabeled):
            foreign[inner[-1]] = None
        if k is not None:
            _check_above(known, path, inner, known.classes[k])
            found[known.classes[k]].append((PurePosixPath(own).stem, file))
    _check_foreign(known, path, list(foreign))
    return found


def _check_above(known: Known, path: Path, folders: Sequence[str], name: str) -> None:
    """Refuse a class in the folder of another superclass."""
    above = name.rpartition("/")[0]
    others = {other.rpartition("/")[0] for other in known.classes} - {above}
    if above and len(folders) > 1 and folders[-2] in others:
        raise DataError(f"{path} has {name} in the folder {folders[-2]}: move it to {above}.")


def _by_tables(
    known: Known, path: Path, files: Mapping[str, File], tables: Mapping[str, str]
) -> dict[str, list[tuple[str, File]]]:
    """As `_by_class`, from tables of file names and labels, one a part, beside a folder images."""
    found: dict[str, list[tuple[str, File]]] = {name: [] for name in known.classes}
    division = DIVISIONS[known.division]
    for table, part in tables.items():
        wanted, folder = set(getattr(division, part)), PurePosixPath(table).parent
        for name, label in _rows(path, table, files[table]):
            if label not in wanted:
                close = closest(label, wanted)
                hint = f"did you mean {close}?" if close else "correct it."
                raise DataError(
                    f"{path}/{table} has the label {label!r:.60}, which is none of the {len(wanted)} classes of this "
                    f"part: {hint}"
                )
            file = files.get(str(folder / "images" / name)) or files.get(str(folder / name))
            if file is None:
                raise DataError(f"{path}/{table} names {name!r:.80}, which is not in images beside it: restore it.")
            found[label].append((PurePosixPath(name).stem, file))
    return found


def _rows(path: Path, name: str, table: File) -> list[tuple[str, str]]:
    """The file names and labels of a table."""
    try:
        where = content(table)
        text = (where.read_bytes() if isinstance(where, Path) else where.read()).decode("utf-8-sig")
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
        return [(row["filename"].strip(), row["label"].strip()) for row in rows]
    except (*DAMAGED, csv.Error, AttributeError) as error:
        why = f"lacks the column {error}" if isinstance(error, KeyError) else first_line(error)
        raise DataError(
            f"{path}/{name} can't be read as a table of filename and label ({why}): get it again."
        ) from error
