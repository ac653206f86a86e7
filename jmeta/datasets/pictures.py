"""The one reader of pictures: any file, and any array, to the form that a learner takes."""

import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from jmeta.datasets.look import PAPER, Look, border, differ, ink_of, some
from jmeta.datasets.sources import File, Member, content
from jmeta.datasets.types import DataError, Dataset, changed
from jmeta.report.arrays import DAMAGED
from jmeta.stored import Stored

MIXED = 84
"""Height and width of pictures whose own sizes differ."""

_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_GRAY = {"1", "L", "LA", "I", "I;16", "I;16L", "I;16B", "I;16N", "F"}
_SIDEWAYS = (5, 6, 7, 8)
_FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""What a picture may be: Pillow knows others, for which it may start programs, such as PostScript."""
UNREADABLE = (UnidentifiedImageError, SyntaxError, Image.DecompressionBombError, *DAMAGED)
"""What decoding a file may raise that is no picture, or a damaged one."""


def open_picture(file: File) -> Image.Image:
    """A file by `decode`, or a `DataError` that names it."""
    with _told(file):
        return decode(file)


def is_picture(file: File) -> bool:
    """Whether a file is a picture that can be read."""
    try:
        open_picture(file)
    except DataError:
        return False
    return True


def opened(file: File | BinaryIO) -> Image.Image:
    """A picture whose pixels aren't read yet, of one of the formats that are taken; raises one of `UNREADABLE`."""
    return Image.open(content(file) if isinstance(file, Path | Member) else file, formats=_FORMATS)


def decode(file: File | BinaryIO, size: tuple[int, int] | None = None) -> Image.Image:
    """A picture as a viewer shows it: of 8 bits, turned as EXIF says, in mode L or RGB, or RGBA if it has transparency.

    16 bits are scaled to 8, palettes are looked up, CMYK becomes RGB. What can't be read, or has another (W, H) than
    `size`, raises one of `UNREADABLE`.
    """
    with opened(file) as stored:
        if size not in (None, stored.size):
            raise ValueError("a drawing of {}x{} pixels instead of {}x{}".format(*stored.size, *size))
        stored.load()
        picture = stored.copy() if _orientation(stored) == 1 else ImageOps.exif_transpose(stored)
    if picture.mode.startswith("I"):  # Pillow would clip 16 bits at 255 instead of scaling them
        return Image.fromarray((np.clip(np.asarray(picture), 0, 65535) // 256).astype(np.uint8))
    if picture.mode == "F":
        raise ValueError("its pixels are floats, whose white isn't known")
    if picture.mode in ("LA", "PA", "RGBA") or "transparency" in picture.info:
        return picture.convert("RGBA")
    return picture.convert("L" if picture.mode in _GRAY else "RGB")


def look_of_files(files: Sequence[File], size: int | None = None, bad: list[File] | None = None) -> Look:
    """What the pictures of a data set are brought to, from all its files.

    Their size is `size`, else their own if all are of one size, else 84. They are gray if all pictures are, else of
    three channels. Gray pictures of dark ink are inverted, so that `ink` is light as in all data sets of drawings.

    Files that are no pictures are put into `bad`; without it, the first is a DataError.
    """
    heads = []
    for file in files:
        try:
            heads.append(_head(file))
        except DataError:
            if bad is None:
                raise
            bad.append(file)
    good = [file for file in files if file not in set(bad)] if bad else files
    sizes, channels = {head[1] for head in heads}, 1 if all(mode in _GRAY for mode, _ in heads) else 3
    own = next(iter(sizes)) if len(sizes) == 1 else (MIXED, MIXED)
    ink = ink_of_files(good, bad) if good else "none"
    inverted = channels == 1 and ink == "dark"
    return Look(own if size is None else (size, size), channels, "light" if inverted else ink, ink)


def ink_of_files(files: Sequence[File], bad: list[File] | None = None) -> str:
    """`ink_of` the pictures of a data set, or of 200 of them, evenly spaced, if they are more; `bad` as above."""
    pictures = []
    for i in some(len(files)):
        try:
            picture = open_picture(files[i])
        except DataError:
            if bad is None:
                raise
            bad.append(files[i])
            continue
        opacity = np.asarray(picture)[..., 3] if picture.mode == "RGBA" else None
        pictures.append((np.asarray(picture.convert("L")), opacity))
    return ink_of(pictures) if pictures else "none"


def as_learned(picture: Image.Image, shape: tuple[int, ...], ink: str, *, inverted: bool) -> np.ndarray:
    """A picture from `open_picture` as a learner takes it: uint8 `shape`, by `fit`, and inverted if asked for.

    Transparent parts are put on the paper that leaves the ink of its data set seen: black if it is light, else white.
    """
    if picture.mode == "RGBA":
        paper = Image.new("RGBA", picture.size, (*(PAPER[ink],) * 3, 255))
        picture = Image.alpha_composite(paper, picture).convert("RGB")
    pixels = np.asarray(picture)
    pixels = fit(pixels.reshape(*pixels.shape[:2], -1), shape)
    return 255 - pixels if inverted else pixels


def match(dataset: Dataset, like: Look) -> tuple[Dataset, tuple[str, ...]]:
    """A data set as a learner takes it that was trained on pictures that look `like` this.

    Returns:
        The data set with pictures `[classes, examples, *like.shape]`, by `resize`, inverted where one ink is dark and
        the other light; and what was done, each in a few words.
    """
    old, done = dataset.look, []
    if old is None:
        raise DataError(f"{dataset.name} has no pictures, and those trained on were some: choose another data set.")
    rows, inverted = resize(dataset.examples.rows, like.shape), differ(old.ink, like)
    if old.channels != like.channels:
        done.append("made gray by luminance" if like.channels == 1 else "given three equal channels")
    if old.size != like.size:
        done.append(f"resized from {old.size[0]} x {old.size[1]} to {like.size[0]} x {like.size[1]}")
    if inverted:
        rows = rows.changed(_inverted, rows.shape[1:]) if isinstance(rows, Stored) else 255 - rows
    inks = " and ".join(f"{ink} ink {where}" for ink, where in ((old.ink, "here"), (like.ink, "in training")))
    found = changed(dataset, rows, Look(like.size, like.channels, like.ink if inverted else old.ink, old.files))
    return found, (*done, f"{'inverted' if inverted else 'not inverted'} ({inks})".replace("none ink", "no ink"))


def resized(dataset: Dataset, shape: tuple[int, ...]) -> Dataset:
    """A data set with pictures `[H, W, C]` of this shape, by `resize`; DataError where it has none."""
    if dataset.look is None:
        raise DataError(f"{dataset.name} has no pictures to be resized: leave the size out.")
    height, width, channels = shape
    found = dataset.look._replace(size=(height, width), channels=channels)
    return changed(dataset, resize(dataset.examples.rows, shape), found)


def _inverted(image: np.ndarray) -> np.ndarray:
    return 255 - image


def resize(images: Any, shape: tuple[int, ...]) -> Any:
    """Images `[..., H, W, C]` uint8, or `Stored` rows of them, as `[..., *shape]`, each by `fit`."""
    if images.shape[-3:] == tuple(shape):
        return images
    if isinstance(images, Stored):
        return images.changed(partial(fit, shape=shape), tuple(shape))
    flat = images.reshape(-1, *images.shape[-3:])
    return np.stack([fit(image, shape) for image in flat]).reshape(*images.shape[:-3], *shape)


def fit(image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """One image `[H, W, C]` uint8 as `shape`.

    Colors become gray by their luminance, and gray becomes three equal channels. Proportions are kept: the image is
    filled up at both sides with the median color of its border, then resized by Lanczos' filter.

    Raises:
        DataError: for other channels that are neither gray nor colors.
    """
    if image.shape == tuple(shape):
        return image
    height, width, channels = shape
    if channels not in _MODES or image.shape[-1] not in {1: (1, 3), 3: (1, 3)}.get(channels, (channels,)):
        raise DataError(f"pictures of {image.shape[-1]} channels can't be shown to a network that takes {channels}.")
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    if image.shape[-1] != channels:
        picture = picture.convert(_MODES[channels])
    if picture.size != (width, height):
        picture = _filled_up(picture, width / height).resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(picture).reshape(shape)


def _filled_up(picture: Image.Image, aspect: float) -> Image.Image:
    width, height = picture.size
    tall, wide = max(height, round(width / aspect)), max(width, round(height * aspect))
    if (tall, wide) == (height, width):
        return picture
    pixels = np.asarray(picture).reshape(height, width, -1)
    filled = np.full((tall, wide, pixels.shape[-1]), border(pixels).astype(np.uint8))
    top, left = (tall - height) // 2, (wide - width) // 2
    filled[top : top + height, left : left + width] = pixels
    return Image.fromarray(filled[..., 0] if filled.shape[-1] == 1 else filled)


def _head(file: File) -> tuple[str, tuple[int, int]]:
    """Mode and (H, W) as shown, without the pixels."""
    with _told(file), opened(file) as picture:
        wide, tall = picture.size
        return picture.mode, (wide, tall) if _orientation(picture) in _SIDEWAYS else (tall, wide)


def _orientation(picture: Image.Image) -> int:
    try:
        return picture.getexif().get(0x0112, 1)
    except (SyntaxError, ValueError, KeyError, struct.error):  # an EXIF entry that can't be read turns nothing
        return 1


@contextmanager
def _told(file: File) -> Iterator[None]:
    try:
        yield
    except UNREADABLE as error:
        raise DataError(f"{file} is not a picture that can be read ({error}): remove or replace it.") from error
