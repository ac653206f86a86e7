"""`load` and `available`: data sets by name."""

import os
from pathlib import Path
from typing import NamedTuple

from jmeta.datasets import cache, catalog, omniglot_runs
from jmeta.datasets.pictures import resized
from jmeta.datasets.types import DataError, Dataset


class Available(NamedTuple):
    """A data set that can be asked for: its name, what it is, and where it is or what it lacks."""

    name: str
    what: str
    status: str


def load(
    name: str, root: str | os.PathLike[str] | None = None, *, download: bool = True, size: int | None = None
) -> Dataset:
    """Loads a data set as one uint8 array.

    Args:
        name: one of
            omniglot          1,623 characters x 20 drawings at 28x28; a first load takes some seconds, later ones less.
            omniglot-small1   the first small background set with the evaluation set; omniglot-small2 the second.
            glyphs            made-up handwriting that needs no files; glyphs:N has N classes.
            digits            10 digits at 8x8, from scikit-learn.
            tfds:NAME         an image classification set of TensorFlow Datasets.
            FILE.py:OBJECT    a data set of one's own, or MODULE:OBJECT; see `jmeta.datasets.catalog.own_row`.
            a path            an .npz file or a folder of images with a sub-folder a class. A path that does not exist
                              from here is looked for in `root` too, the ending .npz can be left out there.
        root: the folder data sets are looked for in; None means $JMETA_DATA, else a folder in the user's cache.
        download: whether files that are missing may be downloaded.
        size: height and width that pictures are brought to, see `pictures.fit`; otherwise their own, or 84 if they are
            of several sizes.

    Returns:
        The `Dataset`.

    Raises:
        DataError: an unknown name, or data that is missing, damaged or of another form.
    """
    folder = cache.data_root(root)
    if name == omniglot_runs.NAME:
        raise DataError(f"{name} is a test of fixed episodes: take it with jmeta evaluate --dataset {name}.")
    _, colon, rest = name.partition(":")
    dataset = catalog.row(name).load(folder, rest if colon else None, download, size)
    return dataset if size is None else resized(dataset, (size, size, dataset.look.channels))


def available(root: str | os.PathLike[str] | None = None) -> list[Available]:
    """Lists the data sets that can be asked for, without reading them.

    Args:
        root: as in `load`.

    Returns:
        The built-in names, then the .npz files in `root` and the sets that TFDS has prepared there.
    """
    folder = cache.data_root(root)
    rows = catalog.DATASETS.items()
    built_in = [Available(catalog.shown(name), row.what, row.status(folder)) for name, row in rows]
    built_in.append(_one_shot_status(folder))
    built_in.append(Available("<path>", "an .npz file, or a folder of images with a sub-folder a class", "any path"))
    arrays = [Available(path.stem, "an .npz file", str(path)) for path in sorted(folder.glob("*.npz"))]
    prepared = {path.relative_to(folder).parent.parent.as_posix() for path in folder.glob("*/**/dataset_info.json")}
    return built_in + arrays + [Available(f"tfds:{n}", "prepared by TFDS", str(folder / n)) for n in sorted(prepared)]


def _one_shot_status(root: Path) -> Available:
    path = omniglot_runs.find(root)
    status = f"lacks {omniglot_runs.FILE} from {omniglot_runs.SOURCE}" if path is None else str(path.parent)
    return Available(omniglot_runs.NAME, "the official one-shot test, 20 runs of 20-way 1-shot, to evaluate on", status)
