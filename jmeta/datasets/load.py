"""`load` and `available`: data sets by name."""

import importlib.util
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jmeta.datasets import cache, files, omniglot, omniglot_runs, tfds_images
from jmeta.datasets.pictures import resized
from jmeta.datasets.types import DataError, Dataset, by_class, make_dataset

_NAMES = (*omniglot.ARCHIVES, "glyphs", "glyphs:N", "digits", "tfds:<name>", "an .npz file", "a folder of images")


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
            tfds:<name>       an image classification set of TensorFlow Datasets.
            a path            an .npz file or a folder of images with a sub-folder a class, as `files` has them. A path
                              that does not exist from here is looked for in `root` too, where .npz can be left out.
        root: the folder data sets are looked for in; None means $JMETA_DATA, else a folder in the user's cache.
        download: whether files that are missing may be downloaded.
        size: height and width that pictures are brought to, see `pictures.fit`; otherwise their own, or 84 if they are
            of several sizes.

    Returns:
        The `Dataset`.

    Raises:
        DataError: an unknown name, or data that is missing, damaged or of another form.
    """
    dataset = _load(name, cache.data_root(root), download, size)
    return dataset if size is None else resized(dataset, (size, size, dataset.look.channels))


def _load(name: str, folder: Path, download: bool, size: int | None) -> Dataset:
    kind, colon, rest = name.partition(":")
    if name in omniglot.ARCHIVES:
        return omniglot.load(name, folder, download)
    if name == omniglot_runs.NAME:
        raise DataError(f"{name} is a test of fixed episodes: take it with jmeta evaluate --dataset {name}.")
    if name == "digits":
        return _digits()
    if name == "glyphs" or (kind == "glyphs" and colon):
        return _glyphs(rest if colon else None)
    if kind == "tfds" and colon:
        return tfds_images.load(rest, folder, download)
    places = [Path(name).expanduser(), folder / name, folder / f"{name}.npz"] if name.strip() else []
    for path in places:
        if path.is_dir():
            return files.load_folder(path, size)
        if path.is_file():
            return files.load_npz(path)
    looked = f", looked for as {', '.join(map(str, places))}" if places else ""
    raise DataError(f"there is no data set {name!r}{looked}: choose one of {', '.join(_NAMES)}.")


def available(root: str | os.PathLike[str] | None = None) -> list[Available]:
    """Lists the data sets that can be asked for, without reading them.

    Args:
        root: as in `load`.

    Returns:
        The built-in names, then the .npz files in `root` and the sets that TFDS has prepared there.
    """
    folder = cache.data_root(root)
    built_in = [_omniglot_status(name, folder) for name in omniglot.ARCHIVES]
    built_in.append(_one_shot_status(folder))
    has_sklearn = importlib.util.find_spec("sklearn") is not None
    built_in += [
        Available("glyphs, glyphs:N", "made-up handwriting, as many classes as asked for", "built in"),
        Available("digits", "10 digits, 8x8", "built in" if has_sklearn else "needs scikit-learn"),
        Available("tfds:<name>", "an image classification set of TensorFlow Datasets", f"prepared in {folder}"),
        Available("<path>", "an .npz file, or a folder of images with a sub-folder a class", "any path"),
    ]
    arrays = [Available(path.stem, "an .npz file", str(path)) for path in sorted(folder.glob("*.npz"))]
    prepared = {path.relative_to(folder).parent.parent.as_posix() for path in folder.glob("*/**/dataset_info.json")}
    return built_in + arrays + [Available(f"tfds:{n}", "prepared by TFDS", str(folder / n)) for n in sorted(prepared)]


def _omniglot_status(name: str, root: Path) -> Available:
    needed = {file: omniglot.find(file, root) for file in omniglot.ARCHIVES[name]}
    classes = sum(omniglot.CLASSES[file] for file in needed)
    missing = [file for file, path in needed.items() if path is None]
    where = ", ".join(sorted({str(path.parent) for path in needed.values() if path}))
    status = f"lacks {', '.join(missing)} from {omniglot.SOURCE}" if missing else where
    return Available(name, f"{classes} handwritten characters x {omniglot.DRAWINGS}, 28x28", status)


def _one_shot_status(root: Path) -> Available:
    path = omniglot_runs.find(root)
    status = f"lacks {omniglot_runs.FILE} from {omniglot_runs.SOURCE}" if path is None else str(path.parent)
    return Available(omniglot_runs.NAME, "the official one-shot test, 20 runs of 20-way 1-shot, to evaluate on", status)


def _digits() -> Dataset:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError("digits needs scikit-learn, which is not installed: pip install 'jmeta[digits]'.") from error
    flat, labels = load_digits(return_X_y=True)
    # Ink is 0 to 16 there.
    pixels = (np.asarray(flat).reshape(-1, 8, 8) * (255 / 16)).round().astype(np.uint8)
    images, counts = by_class([pixels[np.asarray(labels) == digit, ..., None] for digit in range(10)])
    return make_dataset("digits", images, counts=counts)


def _glyphs(classes: str | None) -> Dataset:
    from jmeta.datasets import glyphs

    if classes is None:
        return glyphs.load()
    if not (classes.isascii() and classes.isdigit() and int(classes) > 0):
        raise DataError(f"glyphs:N needs N to be a number of classes of 1 or more, got {classes!r}: try glyphs:1000.")
    return glyphs.load(int(classes))
