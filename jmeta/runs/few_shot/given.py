"""What a trained learner is given to learn from and to name: pictures in folders, or arrays, brought to its inputs."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from PIL import Image

from jmeta.checks import bytes_of
from jmeta.datasets.arrays import load_npz, load_rows
from jmeta.datasets.files import tell_of
from jmeta.datasets.look import Look, brightness, differ, ink_of
from jmeta.datasets.pictures import as_learned, fit, ink_of_files, is_picture, open_picture
from jmeta.datasets.sources import files_in, listed, visible
from jmeta.datasets.tables import files_of, from_csv, is_table, is_vectors, numbers_of
from jmeta.errors import RunError
from jmeta.runs.few_shot.trained import Trained

E = TypeVar("E")
Example = Path | np.ndarray
Examples = str | Path | Sequence[Any] | np.ndarray
"""A folder, one picture or an npz file; paths of pictures; or an array `[N, ...]`."""


class Given(NamedTuple):
    """The examples of each class, by its name, and those to be named."""

    classes: dict[str, list[Example]]
    queries: list[Example]

    @property
    def paths(self) -> list[Path]:
        """Of all pictures that are files."""
        each = [*self.queries, *(example for examples in self.classes.values() for example in examples)]
        return [example for example in each if isinstance(example, Path)]


def given(support: str | Path | Mapping[Any, Examples], query: Examples) -> Given:
    """What is named by `jmeta.predict`; RunError for what is not there, or too little."""
    if isinstance(support, Mapping):
        classes = {str(name): examples_of(found) for name, found in support.items()}
        if len(classes) < 2:
            raise RunError(f"support has {len(classes)} classes: give two or more.")
        if empty := [name for name, found in classes.items() if not found]:
            raise RunError(f"support has no examples of {listed(empty)}: add some, or leave them out.")
    elif not isinstance(support, str | Path) or not str(support).strip():
        raise RunError(f"support must be a folder, a file, or {{class: examples}}, got {support!r:.60}: give one.")
    elif Path(support).is_file() and _has_rows(Path(support)):
        data = from_csv(support) if is_table(support) else load_npz(Path(support))
        classes = {name: [*data.examples[k]] for k, name in enumerate(data.class_names)}
    else:
        classes = classes_in(Path(support))
    queries = examples_of(query)
    if not queries:
        what = f"{query} has no pictures" if isinstance(query, str | Path) else "query has no examples"
        raise RunError(f"{what}: put those to be named there.")
    return Given(classes, queries)


def _has_rows(path: Path) -> bool:
    return is_table(path) or path.suffix.lower() == ".npz"


def examples_of(found: Examples) -> list[Example]:
    """One by one; RunError for a path that leads nowhere."""
    if isinstance(found, str | Path):
        if not str(found).strip():
            raise RunError("a path of examples is empty: name a folder, a file, or '.' for this folder.")
        path = Path(found)
        if path.is_file() and _has_rows(path):
            if is_table(path):
                return [*(numbers_of(path) if is_vectors(path) else files_of(path))]
            return [*load_rows(path)]
        return [*pictures_in(path)]
    if isinstance(found, Mapping):
        raise RunError("examples that are trees of arrays are for a script: jmeta.load gives the learner.")
    many = hasattr(found, "__len__") and not isinstance(found, bytes) and getattr(found, "ndim", 1)
    if not many or hasattr(found, "toarray"):
        raise RunError(f"examples must be an array [N, ...], or paths of pictures, got a {type(found).__name__}.")
    each = cast(Sequence[Any], found)
    if all(isinstance(example, str | Path) for example in each):
        return [path for example in each for path in pictures_in(Path(example))]
    try:
        array = np.asarray(found)
    except ValueError as error:
        raise RunError("examples must be an array [N, ...], or paths of pictures: make them of one shape.") from error
    if array.dtype.kind not in "biuf":
        raise RunError(f"examples must be numbers, or paths of pictures, got an array of {array.dtype}: convert it.")
    return [*array]


def pictures_in(place: Path) -> list[Path]:
    """The files of a folder at any depth in sorted order, without hidden ones, or one file; RunError for neither."""
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise RunError(f"{place} is no folder and no file: give a picture, or the folder that holds the pictures.")
    return [path for path in files_in(place).values() if isinstance(path, Path)]


def classes_in(folder: Path) -> dict[str, list[Example]]:
    """The pictures of each sub-folder, by its name; RunError for fewer than two sub-folders, or an empty one."""
    if not folder.is_dir():
        packed = " It is packed: unpack it." if folder.is_file() and folder.suffix.lower() == ".zip" else ""
        raise RunError(f"{folder} is no folder: name a folder with a sub-folder of pictures for each class.{packed}")
    found: dict[str, list[Example]] = {p.name: [*pictures_in(p)] for p in visible(folder) if p.is_dir()}
    if len(found) < 2:
        more = "put the pictures of each of two or more classes in one."
        raise RunError(f"{folder} has {len(found)} sub-folders: {more}")
    for name, files in found.items():
        if not files:
            raise RunError(f"{folder / name} has no pictures: add some, or remove the folder.")
    return found


def readable(found: Given, strict: bool) -> Given:
    """Without the files that are no pictures or can't be read, which are told of, or with `strict` refused.

    Raises:
        RunError: where nothing is left of a class, or to be named.
    """
    bad = {path for path in found.paths if not is_picture(path)}
    tell_of("what is given", sorted(bad), len(found.paths), strict)
    if not bad:
        return found

    def kept(examples: list[Example]) -> list[Example]:
        return [example for example in examples if not (isinstance(example, Path) and example in bad)]

    classes, queries = {name: kept(each) for name, each in found.classes.items()}, kept(found.queries)
    if empty := [name for name, each in classes.items() if not each]:
        raise RunError(f"there is no picture of {listed(empty)} that can be read: replace them.")
    if not queries:
        raise RunError("there is no picture to be named that can be read: replace them.")
    return Given(classes, queries)


def in_order(classes: Mapping[str, Sequence[E]]) -> tuple[list[E], list[int]]:
    """Examples and labels: first one of each class, then the second of each that has one, as samplers do it."""
    longest = max(len(each) for each in classes.values())
    rows = [(each[i], k) for i in range(longest) for k, each in enumerate(classes.values()) if i < len(each)]
    return [example for example, _ in rows], [label for _, label in rows]


def check_several(found: Any, shape: tuple[int, ...]) -> None:
    """RunError for an array of one example of a shape, whose rows are no examples."""
    if hasattr(found, "shape") and tuple(found.shape) == shape:
        raise RunError(f"examples are an array [N, ...], got one example {list(shape)}: give it as array[None].")


def inputs_of(trained: Trained, examples: Sequence[Example], invert: str = "auto") -> np.ndarray:
    """Examples `[N, ...]` as a learner takes them: those that it was trained on come out as they were then.

    Where pictures were trained on, files and arrays of integers are brought to them and become floats, 0 to 1. Other
    arrays must have the shape that was trained on, and stay as they are.

    Raises:
        RunError: for files where no pictures were trained on, and for arrays that can't be used.
    """
    name, shape, like = trained.settings.tasks.dataset, tuple(trained.facts["input_shape"]), trained.look
    if like is None and any(isinstance(example, Path) for example in examples):
        raise RunError(
            f"the run was trained on {name} and can't take pictures: give arrays [N, ...], or files .npz or .csv."
        )
    rows: list[Any] = list(examples)
    if any(not isinstance(row, Path) and not np.size(row) for row in rows):
        raise RunError("there are examples without any values in them: leave them out.")
    bad = [i for i, row in enumerate(rows) if not isinstance(row, Path) and not np.isfinite(row).all()]
    if bad:
        raise RunError(f"{len(bad)} of {len(rows)} examples have values that are NaN or infinite: leave them out.")
    if like is not None:
        rows = [_drawn(example) for example in _by_range(examples, shape)]
        places = [i for i, example in enumerate(rows) if _is_drawn(example)]
        brought = as_trained(like, [rows[i] for i in places], invert) / np.float32(255) if places else []
        for i, row in zip(places, brought, strict=True):
            rows[i] = row
    if odd := [np.shape(row) for row in rows if np.shape(row) != shape]:
        raise RunError(f"examples must be {list(shape)}, as those of {name}, got {list(odd[0])}: bring them to it.")
    return np.stack(rows)


def as_trained(like: Look, pictures: Sequence[Example], invert: str = "auto") -> np.ndarray:
    """Pictures as a learner takes them, uint8 `[N, H, W, C]`.

    Args:
        like: how the pictures looked that it was trained on.
        pictures: all that are given to it together: files, or arrays uint8 `[H, W, C]`.
        invert: as in `jmeta.predict`.
    """
    files = [picture for picture in pictures if isinstance(picture, Path)]
    arrays = [picture for picture in pictures if not isinstance(picture, Path)]
    of_files = like.files or (ink_of_files(files) if files else "none")
    # Beside files, arrays are as those are; by themselves, they may be of a data set, whose ink is that of training.
    of_arrays = of_files if files or not arrays else ink_of((brightness(array), None) for array in arrays)

    def opened(file: Path) -> Image.Image:
        picture = open_picture(file)
        colored.append(like.channels == 1 and not _is_gray(picture))
        return picture

    colored: list[bool] = []

    def inverted(ink: str) -> bool:
        return differ(ink, like) if invert == "auto" else invert == "yes"

    def learned(picture: Example) -> np.ndarray:
        if isinstance(picture, Path):
            return as_learned(opened(picture), like.shape, of_files, inverted=inverted(of_files))
        pixels = fit(picture, like.shape)
        return 255 - pixels if inverted(of_arrays) else pixels

    found = np.stack([learned(picture) for picture in pictures])
    if any(colored):
        size = " x ".join(map(str, like.size))
        warnings.warn(
            f"{sum(colored)} of {len(pictures)} pictures are in color, and the run was trained on gray ones of {size}: "
            "they are made so, and may be named badly.",
            stacklevel=2,
        )
    return found


def _is_gray(picture: Image.Image) -> bool:
    """Whether its pixels differ in lightness alone, also on tinted paper, as a gray picture's do."""
    if picture.mode == "L":
        return True
    pixels = np.asarray(picture.convert("RGB"), np.int32).reshape(-1, 3)
    return bool(np.percentile(np.ptp(pixels - np.median(pixels, axis=0), axis=-1), 99) <= 40)


def _by_range(examples: Sequence[Example], shape: tuple[int, ...]) -> list[Example]:
    """Pictures of floats, 0 to 1 or 0 to 255, all together, as 0 to 1; as bytes where they are of another shape."""
    floats = [e for e in examples if not isinstance(e, Path) and e.dtype.kind == "f" and e.ndim in (2, 3)]
    low, high = (min(e.min() for e in floats), max(e.max() for e in floats)) if floats else (0, 1)
    if low < 0 or high > 255:
        return list(examples)
    scale = 255 if high <= 1 else 1

    def brought(example: Example) -> Example:
        if isinstance(example, Path) or example.dtype.kind != "f" or example.ndim not in (2, 3):
            return example
        if example.shape == shape:
            return (example * (scale / 255)).astype(np.float32)
        return (example * scale).round().astype(np.uint8)

    return [brought(example) for example in examples]


def _drawn(example: Example) -> Example:
    """An array of integers `[H, W, C]` or `[H, W]` as uint8 `[H, W, C]`."""
    if isinstance(example, Path):
        return example
    try:
        found = np.asarray(bytes_of(example))
    except ValueError as error:
        raise RunError(f"{error}.") from error
    return found[..., None] if found.ndim == 2 else found


def _is_drawn(example: Example) -> bool:
    return isinstance(example, Path) or (example.dtype == np.uint8 and example.ndim == 3)
