"""Data sets by name: what is a fact of each, `load`, and `available`."""

import importlib.util
import inspect
import os
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jmeta.datasets import arrays, cache, files, medmnist, named, omniglot, omniglot_runs, tables, tfds_images
from jmeta.datasets.pictures import resized
from jmeta.datasets.published import DIVISIONS
from jmeta.datasets.sentences import is_lines, is_sentences, stem
from jmeta.datasets.sources import PACKED
from jmeta.datasets.types import DataError, Dataset, by_class, make_dataset
from jmeta.errors import closest, kind_and_line
from jmeta.registry import Registry, said, short
from jmeta.report.arrays import check_fits


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
        vectors: whether its examples are no pictures, as far as is known before it is loaded.
        sentences: whether they are sentences, which `jmeta.datasets.sentences` reads and `load` refuses.
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
    vectors: bool = False
    sentences: bool = False
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


def _named(name: str, what: str, *, division: str = "", groups: bool = False) -> Row:
    return Row(
        what,
        lambda folder, rest, download, size: named.load(name, folder, size),
        partial(named.status, name),
        groups=groups,
        published=bool(division),
        paper=DIVISIONS[division].paper if division else "",
    )


def _glyphs(folder: Path, classes: str | None, download: bool, size: int | None) -> Dataset:
    from jmeta.datasets import glyphs

    if classes is None:
        return glyphs.load()
    if not (classes.isascii() and classes.isdigit() and len(classes) < 20 and int(classes) > 0):
        raise DataError(
            f"glyphs:N needs N to be a number of classes of 1 or more, got {classes!r:.60}: try glyphs:1000."
        )
    try:
        check_fits(f"glyphs:{classes}", 2 * 20 * 28**2 * int(classes))
    except ValueError as error:
        raise DataError(f"{error}.") from error
    return glyphs.load(int(classes))


def _digits(folder: Path, rest: str | None, download: bool, size: int | None) -> Dataset:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError("digits needs scikit-learn, which is not installed: pip install 'jmeta[digits]'.") from error
    flat, labels = load_digits(return_X_y=True)
    # Ink is 0 to 16 there.
    pixels = (np.asarray(flat).reshape(-1, 8, 8) * (255 / 16)).round().astype(np.uint8)
    return make_dataset("digits", by_class([[*pixels[np.asarray(labels) == digit, ..., None]] for digit in range(10)]))


def own_row(name: str, found: Any) -> Row:
    """The row of a user's data: a `Row`, a `Dataset`, or a function without arguments that returns a `Dataset` or an
    array of images as `make_dataset` takes it."""
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
        "digits": Row(
            "10 digits, 8x8",
            _digits,
            lambda folder: "built in" if importlib.util.find_spec("sklearn") else "needs scikit-learn",
        ),
        "cifar-fs": _named(
            "cifar-fs", "CIFAR-100's 100 classes x 600, 32x32, divided 64/16/20", division="cifar-fs", groups=True
        ),
        "fc100": _named("fc100", "the same pictures, divided 60/20/20 by superclass", division="fc100", groups=True),
        "mini-imagenet": _named(
            "mini-imagenet", "100 classes of ImageNet x 600, 84x84, divided 64/16/20", division="ravi"
        ),
        "tiny-imagenet": _named(
            "tiny-imagenet", "200 classes of ImageNet x 500, 64x64, divided 160/13/27", division="meta-dataset"
        ),
        "eurosat": _named("eurosat", "10 kinds of land from a satellite, 27,000 pictures, 64x64"),
        "resisc45": _named("resisc45", "45 kinds of land from the air x 700, at 84x84"),
        "uc-merced": _named("uc-merced", "21 kinds of land from the air x 100, at 84x84"),
        "medmnist": Row(
            "a set of MedMNIST, such as medmnist:bloodmnist, 28x28 or larger",
            lambda folder, rest, download, size: medmnist.load(rest or "", folder),
            medmnist.status,
            after="NAME",
            bare=False,
            paper=medmnist.PAPER,
        ),
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


def row(name: str, *, strict: bool = False) -> Row:
    """What is a fact of the data set of a name: one of `DATASETS`, or else a path, whether it is there or not."""
    kind = name.partition(":")[0]
    if is_built_in(name):
        return DATASETS.get(kind)
    found = None if kind in DATASETS else DATASETS.find(name)
    if found is not None:
        return found
    here = next((path for path in _places(name, cache.data_root()) if path.is_file()), None)
    if is_lines(name) or (here is not None and is_sentences(here)):
        return Row("sentences of a file", _refused(name), groups=True, vectors=True, sentences=True)
    vectors = here is not None and (tables.is_vectors if tables.is_table(here) else arrays.is_vectors)(here)
    return Row("a file or folder", partial(_of_path, name, strict), groups=True, vectors=vectors)


def _refused(name: str) -> Callable[..., Dataset]:
    def load(*given: Any) -> Dataset:
        raise DataError(
            f"{name} has sentences, which become numbers by the classes that are trained on: give it to jmeta train, "
            "or read it by jmeta.datasets.sentences.read_sentences."
        )

    return load


def place_of(name: str, root: str | os.PathLike[str] | None = None) -> Path:
    """The file of a name, where it is or in the folder of data sets; DataError if it is in neither."""
    places = _places(name, cache.data_root(root))
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        raise DataError(f"there is no file {name!r}, looked for as {', '.join(map(str, places))}: correct its name.")
    return found


_ENDINGS = (".npz", ".zip", ".jsonl", *tables.ENDINGS, *PACKED)
_FILES = ".npz, .zip, .csv, .tsv or .jsonl"


def path_of(name: str) -> Path | None:
    """The whole path of a data set that is a file or folder here; None for others, and for those in the folder of data
    sets, which go by a name."""
    path = Path(name).expanduser()
    named = not name.strip() or name.partition(":")[0] in DATASETS
    return None if named or not path.exists() else path.absolute()


def _places(name: str, folder: Path) -> list[Path]:
    """Where a path is looked for."""
    if not name.strip() or any(len(os.fsencode(part)) > 255 for part in Path(name).parts):  # more than names may have
        return []
    places = [Path(name).expanduser(), folder / name]
    if not _is_path(name):
        places += [folder / f"{name}.npz", folder / "text" / f"{name}.jsonl.gz"]
    return list(dict.fromkeys(places))


def _is_path(name: str) -> bool:
    """Whether a name can't be that of a data set: it has folders, or the ending of a file."""
    return "/" in name or os.sep in name or Path(name).suffix.lower() in _ENDINGS


def _of_path(name: str, strict: bool, folder: Path, rest: str | None, download: bool, size: int | None) -> Dataset:
    places = _places(name, folder)
    for path in places:
        if path.is_dir() or (path.suffix.lower() == ".zip" and path.is_file()):
            return files.from_folder(path, size=size, strict=strict)
        if path.is_file():
            if is_sentences(path):
                _refused(name)()
            if tables.is_table(path):
                return tables.from_csv(path, size=size, strict=strict)
            if path.suffix.lower() in PACKED:
                raise DataError(f"{path} is packed in a way that isn't read: unpack it, or pack its folder as a .zip.")
            if path.suffix.lower() not in (".npz", ".npy") and not zipfile.is_zipfile(path):
                raise DataError(f"{path} is no data set that can be read: give {_FILES}, or a folder of pictures.")
            return arrays.load_npz(path)
        if path.exists():
            raise DataError(f"{path} is neither a file nor a folder, as pipes and devices are: name one that is.")
    if _is_path(name):
        where = "" if os.path.isabs(name) or name.startswith("~") else f" in {os.getcwd()} or in {folder}"
        raise DataError(f"there is no data set {name!r}: no file or folder has that path{where}, so correct it.")
    here = closest(name, [entry.name for entry in Path.cwd().glob("*") if entry.is_dir() or _is_path(entry.name)])
    if name.strip() and here is not None:
        raise DataError(f"there is no data set {name!r}: did you mean {here!r}, which is in {os.getcwd()}?")
    known = ", ".join([*map(shown, DATASETS), f"a file {_FILES}", "a folder of images"])
    looked = f", as a file or folder neither here nor in {folder}" if name.strip() else ""
    raise DataError(f"there is no data set {name!r}{looked}: choose one of {known}.")


def shown(name: str) -> str:
    """A name of `DATASETS` as it is given: `glyphs, glyphs:N`."""
    row = DATASETS.get(name)
    return ", ".join([name] * row.bare + [f"{name}:{row.after}"] * bool(row.after))


class Available(NamedTuple):
    """A data set that can be asked for: its name, what it is, and where it is or what it lacks."""

    name: str
    what: str
    status: str


def load(
    name: str | os.PathLike[str],
    root: str | os.PathLike[str] | None = None,
    *,
    download: bool = True,
    size: int | None = None,
    strict: bool = False,
) -> Dataset:
    """Loads a data set, such as pictures as one uint8 array.

    Args:
        name: one of
            omniglot          1,623 characters x 20 drawings at 28x28; a first load takes some seconds, later ones less.
            omniglot-small1   the first small background set with the evaluation set; omniglot-small2 the second.
            glyphs            made-up handwriting that needs no files; glyphs:N has N classes.
            digits            10 digits at 8x8, from scikit-learn.
            cifar-fs, fc100   divisions of CIFAR-100; mini-imagenet and tiny-imagenet of ImageNet: published ones, and
                              pictures in a copy of one's own, see `named.load`.
            eurosat, resisc45, uc-merced   land from above, likewise.
            medmnist:NAME     a set of MedMNIST in a copy of one's own, such as medmnist:bloodmnist.
            tfds:NAME         an image classification set of TensorFlow Datasets.
            FILE.py:OBJECT    a data set of one's own, or MODULE:OBJECT; see `jmeta.datasets.catalog.own_row`.
            a path            an .npz file, see `arrays`; a folder of images with a sub-folder a class, or a zip archive
                              of one, see `files`; or a table .csv or .tsv, see `tables`. A path that is not here is
                              looked for in `root` too, where .npz can be left out.
        root: the folder data sets are looked for in; None means $JMETA_DATA, else a folder in the user's cache.
        download: whether files that are missing may be downloaded.
        size: height and width that pictures are brought to, see `pictures.fit`; otherwise their own, or 84 if they are
            of several sizes.
        strict: refuse files that are no pictures, or can't be read, in place of leaving them out with a warning.

    Raises:
        DataError: an unknown name, or data that is missing, damaged or of another form.
    """
    name = os.fspath(name)
    folder = cache.data_root(root)
    if name == omniglot_runs.NAME:
        raise DataError(f"{name} is a test of fixed episodes: take it with jmeta evaluate --dataset {name}.")
    _, colon, rest = name.partition(":")
    dataset = row(name, strict=strict).load(folder, rest if colon else None, download, size)
    return dataset if size is None or dataset.look is None else resized(dataset, (size, size, dataset.look.channels))


def available(root: str | os.PathLike[str] | None = None) -> list[Available]:
    """The data sets that can be asked for, without reading them: the built-in names, then the .npz files in `root` (as
    in `load`) and the sets that TFDS has prepared there."""
    folder = cache.data_root(root)
    built_in = [Available(shown(name), row.what, row.status(folder)) for name, row in DATASETS.items()]
    runs = omniglot_runs.find(folder)
    where = f"lacks {omniglot_runs.FILE} from {omniglot_runs.SOURCE}" if runs is None else str(runs.parent)
    built_in += [
        Available(omniglot_runs.NAME, "the official one-shot test, 20 runs of 20-way 1-shot, to evaluate on", where),
        Available("<path>", f"a file {_FILES}, or a folder of images with a sub-folder a class", "any path"),
    ]
    found = [Available(path.stem, "an .npz file", str(path)) for path in sorted(folder.glob("*.npz"))]
    found += [Available(stem(path), "sentences", str(path)) for path in sorted(folder.glob("text/*.jsonl.gz"))]
    prepared = {path.relative_to(folder).parent.parent.as_posix() for path in folder.glob("*/**/dataset_info.json")}
    return built_in + found + [Available(f"tfds:{n}", "prepared by TFDS", str(folder / n)) for n in sorted(prepared)]
