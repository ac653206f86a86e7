"""What the pictures of a data set have in common: their size, their channels, and whether ink is dark or light."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from jmeta.stored import Stored

PAPER = {"dark": 255, "light": 0, "none": 255}
"""The paper that leaves an ink seen."""

_SEEN = 200
_NEAR = 32
_DARK, _BRIGHT = 64, 192


class Look(NamedTuple):
    """What the pictures of a data set have in common, and so what a learner of them expects.

    Attributes:
        size: (H, W).
        channels: 1 for gray, 3 for colors.
        ink: "dark" on bright paper, "light" on dark paper, or "none" in photographs; see `ink_of`.
        files: the ink of the files that they were read from, inverted where it isn't `ink`; None if there were none.
    """

    size: tuple[int, int]
    channels: int
    ink: str
    files: str | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        return (*self.size, self.channels)


def look(pictures: np.ndarray | Stored) -> Look:
    """The `Look` of pictures uint8 `[N, H, W, C]`."""
    height, width, channels = pictures.shape[1:]
    return Look((height, width), channels, ink_of((brightness(pictures[i]), None) for i in some(len(pictures))))


def ink_of(pictures: Iterable[tuple[np.ndarray, np.ndarray | None]]) -> str:
    """Whether ink is dark or light, decided for all pictures of a data set together.

    A picture's paper is the median brightness of its border; of a transparent border, white if what is seen is dark (a
    median below 128), else black. The paper of a data set is the median of its pictures'.

    Args:
        pictures: pairs of brightness `[H, W]` and opacity `[H, W]`, or None for what has none; both 0 to 255.

    Returns:
        "dark" if the paper is 128 or brighter, else "light". "none", for photographs, if it is between 64 and 192 and
        less than two thirds of a picture's pixels, in the median, are within 32 of its own paper.
    """
    papers, plain = np.array([_paper(*picture) for picture in pictures]).T
    paper = np.median(papers)
    if _DARK < paper < _BRIGHT and np.median(plain) < 2 / 3:
        return "none"
    return "dark" if paper >= 128 else "light"


def differ(ink: str, like: Look) -> bool:
    """Whether drawings of one ink must be inverted to look like others; photographs and what is in color never are."""
    return like.channels == 1 and {ink, like.ink} == {"dark", "light"}


def some(number: int) -> np.ndarray:
    """The places of at most 200 of so many pictures, evenly spaced: as many as an ink is decided by."""
    return np.linspace(0, number - 1, min(number, _SEEN)).astype(int)


def border(pixels: np.ndarray) -> np.ndarray:
    """The median of the first and last row and column of pixels `[H, W, ...]`."""
    return np.median(np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]), axis=0)


def brightness(pixels: np.ndarray) -> np.ndarray:
    """`[..., C]` as `[...]`: the luminance 0.299 R + 0.587 G + 0.114 B, or the mean where channels aren't colors."""
    return pixels @ np.array([0.299, 0.587, 0.114]) if pixels.shape[-1] == 3 else pixels.mean(axis=-1)


def _paper(bright: np.ndarray, opacity: np.ndarray | None) -> tuple[float, float]:
    """A picture's paper, and the share of its pixels that are paper."""
    if opacity is not None and border(opacity) < 128:
        seen = bright[(opacity > 0) & (2 * opacity.astype(int) >= opacity.max())]
        ink = "light" if seen.size and np.median(seen) >= 128 else "dark"
        return PAPER[ink], float(np.mean(opacity < 128))
    if opacity is not None:
        bright = np.where(opacity < 128, 255, bright)
    paper = border(bright)
    return float(paper), float(np.mean(np.abs(bright - paper) <= _NEAR))
