"""Data sets by name: how each is loaded, and what is a fact of it."""

import importlib.util
import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jmeta.datasets import files, omniglot, tfds_images
from jmeta.datasets.types import DataError, Dataset, by_class, make_dataset
from jmeta.errors import kind_and_line
from jmeta.registry import Registry, said, short


class Row(NamedTuple):
    """A data set.

    Attributes:
        what: it is, in a few words.
        load: `(folder of data sets, what comes after the colon, whether to download, size of pictures) -> Dataset`.
        status: `folder of data sets -> ` where it is, or what it lacks.
        after: what comes after a colon, such as N; empty where nothing does.
        bare: whether the name alone is one too, where something may come after.
        turned: whether its classes are usually turned by multiples of 90 degrees to have more.
        groups: whether its classes are in groups, such as alphabets.
        published: whether its default split is a published one.
        paper: that it is from, as "authors year, title, address"; empty for none.
    """

    what: str
    load: Callable[[Path, str | None, bool, int | None], Dataset]
    status: Callable[[Path], str] = lambda folder: "built in"
    after: str = ""
    bare: bool = True
    turned: bool = False
    groups: bool = False
    published: bool = False
    paper: str = ""


def _omniglot(name: str) -> Row:
    archives = omniglot.ARCHIVES[name]

    def status(folder: Path) -> str:
        found = {file: omniglot.find(file, folder) for file in archives}
        missing = [file for file, path in found.items() if path is None]
        where = ", ".join(sorted({str(path.parent) for path in found.values() if path}))
        return f"lacks {', '.join(missing)} from {omniglot.SOURCE}" if missing else where

    classes = sum(omniglot.CLASSES[file] for file in archives)
    return Row(
        f"{classes} handwritten characters x {omniglot.DRAWINGS}, 28x28",
        lambda folder, rest, download, size: omniglot.load(name, folder, download),
        status,
        turned=True,
        groups=True,
        published=True,
        paper="Lake et al. 2015, Human-level concept learning through probabilistic program induction, "
        "https://doi.org/10.1126/science.aab3050",
    )


def _glyphs(folder: Path, classes: str | None, download: bool, size: int | None) -> Dataset:
    from jmeta.datasets import glyphs

    if classes is None:
        return glyphs.load()
    if not (classes.isascii() and classes.isdigit() and int(classes) > 0):
        raise DataError(f"glyphs:N needs N to be a number of classes of 1 or more, got {classes!r}: try glyphs:1000.")
    return glyphs.load(int(classes))


def _digits(folder: Path, rest: str | None, download: bool, size: int | None) -> Dataset:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError("digits needs scikit-learn, which is not installed: pip install 'jmeta[digits]'.") from error
    flat, labels = load_digits(return_X_y=True)
    # Ink is 0 to 16 there.
    pixels = (np.asarray(flat).reshape(-1, 8, 8) * (255 / 16)).round().astype(np.uint8)
    images, counts = by_class([pixels[np.asarray(labels) == digit, ..., None] for digit in range(10)])
    return make_dataset("digits", images, counts=counts)


def _digits_status(folder: Path) -> str:
    return "built in" if importlib.util.find_spec("sklearn") else "needs scikit-learn"


def own_row(name: str, found: Any) -> Row:
    """The row of a user's data.

    Args:
        name: that it is found by.
        found: a `Row`, a `Dataset`, or a function without arguments that returns a `Dataset` or an array of images as
            `make_dataset` takes it.

    Raises:
        DataError: for another thing.
    """
    if isinstance(found, Row):
        return found
    needed = inspect.signature(found).parameters if callable(found) else {}
    if not (isinstance(found, Dataset) or callable(found)) or any(p.default is p.empty for p in needed.values()):
        raise DataError(f"{name} must be a Dataset, a function () -> Dataset, or a Row, got {found!r:.60}: correct it.")

    def load(folder: Path, rest: str | None, download: bool, size: int | None) -> Dataset:
        try:
            made = found() if callable(found) else found
        except Exception as error:
            raise DataError(f"{name} can't be loaded ({kind_and_line(error)}): correct it.") from error
        if isinstance(made, np.ndarray):
            return make_dataset(short(name), made)
        if not isinstance(made, Dataset):
            raise DataError(f"{name} must return a Dataset or an array, got a {type(made).__name__}: correct it.")
        return made

    return Row(said(found) if callable(found) else "your own", load, groups=True)


DATASETS = Registry[Row](
    "data set",
    {
        **{name: _omniglot(name) for name in omniglot.ARCHIVES},
        "glyphs": Row("made-up handwriting, as many classes as asked for", _glyphs, after="N"),
        "digits": Row("10 digits, 8x8", _digits, _digits_status),
        "tfds": Row(
            "an image classification set of TensorFlow Datasets",
            lambda folder, name, download, size: tfds_images.load(name or "", folder, download),
            lambda folder: f"prepared in {folder}",
            after="NAME",
            bare=False,
        ),
    },
    "jmeta.datasets",
    own_row,
)


def is_built_in(name: str) -> bool:
    """Whether a name is one of the library's own, with what comes after a colon."""
    kind, colon, _ = name.partition(":")
    return kind in DATASETS and bool(DATASETS.get(kind).after if colon else DATASETS.get(kind).bare)


def row(name: str) -> Row:
    """What is a fact of the data set of a name: one of `DATASETS`, or else a path, whether it is there or not.

    Raises:
        RunError: for a file, module or package that can't be loaded.
    """
    kind = name.partition(":")[0]
    if is_built_in(name):
        return DATASETS.get(kind)
    found = None if kind in DATASETS else DATASETS.find(name)
    return found or Row("a file or folder", partial(_of_path, name), groups=True)


def _of_path(name: str, folder: Path, rest: str | None, download: bool, size: int | None) -> Dataset:
    places = [Path(name).expanduser(), folder / name, folder / f"{name}.npz"] if name.strip() else []
    for path in places:
        if path.is_dir():
            return files.load_folder(path, size)
        if path.is_file():
            return files.load_npz(path)
    looked = f", looked for as {', '.join(map(str, places))}" if places else ""
    raise DataError(f"there is no data set {name!r}{looked}: choose one of {', '.join(_known())}.")


def shown(name: str) -> str:
    """A name of `DATASETS` as it is given: `glyphs, glyphs:N`."""
    row = DATASETS.get(name)
    return ", ".join([name] * row.bare + [f"{name}:{row.after}"] * bool(row.after))


def _known() -> list[str]:
    return [*map(shown, DATASETS), "an .npz file", "a folder of images"]
