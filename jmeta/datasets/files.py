"""Data sets from a user's own files: an npz file, or a folder of images with a sub-folder for each class."""

import os
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from jmeta.datasets.cache import DAMAGED, read_npz
from jmeta.datasets.types import DataError, Dataset, make_dataset

_GREY_MODES = {"1", "L", "LA", "I;16"}
_IGNORED = {"thumbs.db", "desktop.ini"}
_PAPER = 192


def load_npz(path: Path) -> Dataset:
    """Loads an npz file.

    Args:
        path: a file with the array `images` (or just one array of rank 5), uint8 [classes, examples, H, W, C] or
            [classes, examples, H, W], and if wanted `class_names`, `groups` and `counts` [classes].

    Returns:
        The `Dataset`, named after the file.

    Raises:
        DataError: a file that cannot be read, or other contents.
    """
    try:
        arrays = read_npz(path)
    except DAMAGED as error:
        raise DataError(
            f"{path} cannot be read as an npz file ({error}): make it with numpy.savez(path, images=..., "
            "class_names=...)."
        ) from error
    images = arrays["images"] if "images" in arrays else _only_images(path, arrays)
    names, groups = (arrays[k].tolist() if k in arrays else None for k in ("class_names", "groups"))
    return make_dataset(path.stem, images, names, groups, arrays.get("counts"))


def load_folder(path: Path) -> Dataset:
    """Loads a folder of images with a sub-folder for each class; sub-folders may be nested, as alphabet/character.

    Pictures are greyscale if all of them are, else RGB. Greyscale drawings on white paper (the median of all pixels
    is 192 or more) are inverted, so that ink is bright as in all other data sets.

    Args:
        path: the folder. Every folder below it that holds files is a class, named by its path below `path`; its group
            is the folder above. Hidden files and those of file browsers are passed over.

    Returns:
        The `Dataset`, named after the folder; classes and files are in sorted order, and a class with fewer images than
        the largest is padded with zeros.

    Raises:
        DataError: no classes, an empty class, a file that is no image, or images of different sizes.
    """
    classes = {folder: _visible(folder) for folder in sorted(_class_folders(path))}
    if not classes:
        raise DataError(f"{path} has no sub-folders: put the images of each class in a sub-folder of their own.")
    pictures = {folder: [_open(file) for file in files] for folder, files in classes.items()}
    images, counts = _stack(path, classes, pictures)
    if images.shape[-1] == 1 and _is_paper_white(images, counts):
        images = np.where(_real(images, counts), 255 - images, images)
    names = [folder.relative_to(path).as_posix() for folder in classes]
    groups = [name.rpartition("/")[0] or path.resolve().name for name in names]
    return make_dataset(path.resolve().name, images, names, groups, counts)


def _only_images(path: Path, arrays: dict[str, np.ndarray]) -> np.ndarray:
    found = [array for array in arrays.values() if array.ndim == 5]
    if len(found) != 1:
        raise DataError(
            f"{path} must have an array called images of shape [classes, examples, H, W, C], got "
            f"{', '.join(f'{key} of shape {list(array.shape)}' for key, array in arrays.items()) or 'no arrays'}: "
            "rename it."
        )
    return found[0]


def _visible(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if not p.name.startswith(".") and p.name.lower() not in _IGNORED)


def _class_folders(path: Path) -> list[Path]:
    found = []
    for folder in (Path(parent) / name for parent, names, _ in os.walk(path) for name in names):
        if any(part.startswith(".") for part in folder.relative_to(path).parts):
            continue
        inside = _visible(folder)
        if not inside:
            raise DataError(f"{folder} has no images: add some, or remove the folder.")
        files = [p for p in inside if not p.is_dir()]
        if files and len(files) < len(inside):
            raise DataError(f"{folder} has both images and sub-folders: a class must have images only.")
        found += [folder] if files else []
    return found


def _open(file: Path) -> Image.Image:
    try:
        with Image.open(file) as image:
            image.load()
            return image.copy()
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{file} is not an image that can be read ({error}): remove or replace it.") from error


def _stack(
    path: Path, classes: dict[Path, list[Path]], pictures: dict[Path, list[Image.Image]]
) -> tuple[np.ndarray, np.ndarray]:
    every = [(f, p) for folder in classes for f, p in zip(classes[folder], pictures[folder], strict=True)]
    mode = "L" if all(p.mode in _GREY_MODES for _, p in every) else "RGB"
    width, height = every[0][1].size
    for file, picture in every:
        if picture.size != (width, height):
            raise DataError(
                f"the images in {path} must have one size, got {width}x{height} in {every[0][0]} and "
                f"{picture.width}x{picture.height} in {file}: resize them."
            )
    counts = np.array([len(files) for files in classes.values()], np.int32)
    images = np.zeros((len(classes), int(counts.max()), height, width, len(mode)), np.uint8)
    for c, folder in enumerate(classes):
        for i, picture in enumerate(pictures[folder]):
            images[c, i] = _pixels(picture, mode)
    return images, counts


def _pixels(picture: Image.Image, mode: str) -> np.ndarray:
    if picture.mode == "I;16":  # Pillow would clip 16 bits at 255 instead of scaling them
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    return np.asarray(picture.convert(mode)).reshape(picture.height, picture.width, len(mode))


def _real(images: np.ndarray, counts: np.ndarray) -> np.ndarray:
    real = np.arange(images.shape[1]) < counts[:, None]
    return real[:, :, None, None, None]


def _is_paper_white(images: np.ndarray, counts: np.ndarray) -> bool:
    return bool(np.median(images[_real(images, counts)[:, :, 0, 0, 0]]) >= _PAPER)
