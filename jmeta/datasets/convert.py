"""Pictures of one data set made to look like those of another: size, colour, and which of ink and paper is bright."""

from typing import NamedTuple

import numpy as np
from PIL import Image

from jmeta.datasets.types import DataError

DARK, BRIGHT = 64, 192
"""A border below the one is dark paper, above the other bright paper; between them it is a part of a photograph."""

_MODES = {1: "L", 3: "RGB"}


class Look(NamedTuple):
    """What the pictures of a data set have in common.

    Attributes:
        shape: (H, W, C).
        border: median brightness of the pixels at the edges, 0 to 255; None if it isn't known.
    """

    shape: tuple[int, ...]
    border: float | None


def look(images: np.ndarray, counts: np.ndarray | None = None) -> Look:
    """The `Look` of images.

    Args:
        images: uint8 `[classes, examples, H, W, C]`.
        counts: `[classes]`, how many examples are real; None means all.

    Returns:
        Their shape, and the median brightness of the first and last row and column of all of them.
    """
    real = images.reshape(-1, *images.shape[2:]) if counts is None else images[_real(images, counts)]
    edges = (real[:, 0], real[:, -1], real[:, :, 0], real[:, :, -1])
    return Look(images.shape[2:], float(np.median(np.concatenate([_brightness(edge).ravel() for edge in edges]))))


def match(images: np.ndarray, like: Look, counts: np.ndarray | None = None) -> tuple[np.ndarray, tuple[str, ...]]:
    """Images as a learner takes them that was trained on others.

    Colours become grey by their luminance, 0.299 R + 0.587 G + 0.114 B, and grey becomes three equal channels. Pictures
    are resized as a whole, so that other proportions are distorted. They are inverted where both sets are drawings and
    their papers differ: where the border is bright in one and dark in the other.

    Args:
        images: uint8 `[classes, examples, H, W, C]`.
        like: what they are to look like.
        counts: `[classes]`, how many examples are real, which alone are inverted; None means all.

    Returns:
        uint8 `[classes, examples, *like.shape]`, and what was done, each in a few words.

    Raises:
        DataError: for a number of channels that is neither 1 nor 3.
    """
    old, (height, width, channels) = look(images, counts), like.shape
    done = []
    if old.shape[2] != channels:
        done.append("made grey by luminance" if channels == 1 else "given three equal channels")
    if old.shape[:2] != (height, width):
        done.append(f"resized from {old.shape[0]} x {old.shape[1]} to {height} x {width}")
    images = resize(images, like.shape)
    if like.border is None:
        return images, (*done, f"not inverted (border {old.border:.0f} of 255, in training unknown)")
    inverted = _paper(old.border) * _paper(like.border) < 0
    if inverted:
        real = True if counts is None else _real(images, counts)[:, :, None, None, None]
        images = np.where(real, 255 - images, images)
    borders = f"(border {old.border:.0f} of 255, in training {like.border:.0f})"
    return images, (*done, f"{'inverted' if inverted else 'not inverted'} {borders}")


def resize(images: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Images `[..., H, W, C]` uint8 as `[..., *shape]`: resized, and greyscale or colour as needed.

    Raises:
        DataError: as `fit`.
    """
    if images.shape[-3:] == tuple(shape):
        return images
    flat = images.reshape(-1, *images.shape[-3:])
    return np.stack([fit(image, shape) for image in flat]).reshape(*images.shape[:-3], *shape)


def fit(image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """One image `[H, W, C]` uint8 as `shape`, see `resize`.

    Raises:
        DataError: for a number of channels that is neither 1 nor 3.
    """
    height, width, channels = shape
    if channels not in _MODES or image.shape[-1] not in _MODES:
        if image.shape == tuple(shape):
            return image
        raise DataError(f"pictures of {image.shape[-1]} channels can't be shown to a network that takes {channels}.")
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).convert(_MODES[channels])
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(picture).reshape(shape)


def _paper(border: float | None) -> int:
    """1 for bright paper, -1 for dark, 0 for neither."""
    return 0 if border is None else int(border >= BRIGHT) - int(border <= DARK)


def _brightness(pixels: np.ndarray) -> np.ndarray:
    return pixels @ np.array([0.299, 0.587, 0.114]) if pixels.shape[-1] == 3 else pixels.mean(axis=-1)


def _real(images: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.arange(images.shape[1]) < np.asarray(counts)[:, None]
