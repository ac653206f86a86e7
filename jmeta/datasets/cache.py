"""Where data sets are looked for and kept, and a cache of arrays that survives damage."""

import math
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from jmeta.datasets.types import DataError, Dataset, make_dataset
from jmeta.ragged import Ragged, ragged
from jmeta.report.arrays import DAMAGED, memory_at_hand, read_npz
from jmeta.report.files import writing
from jmeta.stored import Stored


def cache_dir() -> Path:
    """The folder for what is worked out once: $JMETA_CACHE, else jmeta in the user's cache folder."""
    if chosen := os.environ.get("JMETA_CACHE"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jmeta"


def data_root(root: str | os.PathLike[str] | None = None) -> Path:
    """The folder that data sets are looked for in: `root`, else $JMETA_DATA, else data in the cache folder."""
    chosen = root or os.environ.get("JMETA_DATA")
    return Path(chosen).expanduser() if chosen else cache_dir() / "data"


def most_memory() -> int:
    """Bytes of pictures that are held at once: $JMETA_MEMORY, in GiB, else half of the memory at hand."""
    chosen = os.environ.get("JMETA_MEMORY")
    if not chosen:
        return memory_at_hand() // 2
    try:
        found = float(chosen.replace("_", "x"))
    except ValueError:
        found = math.nan
    if not 0 <= found < math.inf:
        raise DataError(f"JMETA_MEMORY must be a number of GiB, 0 or more, got {chosen!r}: correct it.")
    return int(found * 2**30)


def cached(key: str, build: Callable[[], Dataset]) -> Dataset:
    """Reads a data set from the cache, or builds it and keeps it.

    The key is the file's name without ending; it must change with everything that `build` depends on. A file that is
    damaged, or whose checksum is wrong, is built again. Where the folder can't be written to, it only warns.
    """
    path = cache_dir() / f"{key}.npz"
    kept = _read(path) if path.is_file() and path.stat().st_size <= most_memory() else None
    if kept is not None:
        return kept
    dataset = build()
    if isinstance(dataset.examples.rows, Stored):  # which is in a file already
        return dataset
    try:
        write(path, dataset)
    except OSError as error:
        warnings.warn(f"{dataset.name} could not be kept in {path.parent} ({error.strerror})", stacklevel=2)
    return dataset


def _read(path: Path) -> Dataset | None:
    try:
        kept = read_npz(path)
        names, groups = kept["class_names"].tolist(), kept["groups"].tolist()
        images, counts = kept.get("images"), kept["counts"]
        examples = Ragged(kept["rows"], counts) if images is None else ragged(images, counts)
        dataset = make_dataset(str(kept["name"]), examples, names, groups)
        return dataset if dataset.checksum == str(kept["checksum"]) else None
    except DAMAGED:
        return None


def write(path: Path, dataset: Dataset) -> None:
    """Writes a data set as an npz file that `datasets.load` reads; by another name first, so that it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = dataset.images
    examples = {"rows": images.rows} if isinstance(images, Ragged) else {"images": images}
    fields = {name: getattr(dataset, name) for name in ("name", "class_names", "groups", "counts", "checksum")}
    with writing(path) as file:
        np.savez(file, allow_pickle=False, **examples, **fields)
