"""A user's pictures made to look like those that a learner was trained on."""

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from jmeta.datasets.convert import fit
from jmeta.errors import RunError, unknown

INVERT = ("auto", "yes", "no")
_PASSED_OVER = ("thumbs.db", "desktop.ini")


def pictures_in(folder: Path) -> list[Path]:
    """The files of a folder in sorted order, without hidden ones.

    Raises:
        RunError: if it is no folder.
    """
    if not folder.is_dir():
        raise RunError(f"{folder} is no folder: name the folder that holds the pictures.")
    files = (path for path in folder.iterdir() if path.is_file())
    return sorted(path for path in files if not path.name.startswith(".") and path.name.lower() not in _PASSED_OVER)


def classes_in(folder: Path) -> dict[str, list[Path]]:
    """The pictures of each sub-folder, by its name.

    Raises:
        RunError: if it is no folder, has fewer than two sub-folders, or an empty one.
    """
    if not folder.is_dir():
        raise RunError(f"{folder} is no folder: name a folder with a sub-folder of pictures for each class.")
    inside = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if len(inside) < 2:
        raise RunError(
            f"{folder} has {len(inside)} sub-folders: put the pictures of each of two or more classes in one."
        )
    found = {path.name: pictures_in(path) for path in inside}
    for name, files in found.items():
        if not files:
            raise RunError(f"{folder / name} has no pictures: add some, or remove the folder.")
    return found


def read_picture(path: Path, shape: tuple[int, ...], invert: str = "auto") -> np.ndarray:
    """A picture as a learner takes it.

    It is put on white where it is transparent, made greyscale for a learner of greyscale, inverted so that ink is
    bright, filled up to the learner's proportions with the colour of its border, and resized.

    Args:
        path: a file that Pillow can read.
        shape: (H, W, C) of the learner's pictures.
        invert: greyscale only: `auto` inverts a picture whose border is bright; or `yes`, `no`.

    Returns:
        uint8 `[H, W, C]`.

    Raises:
        RunError: if it can't be read.
    """
    if invert not in INVERT:
        raise unknown("choice for --invert", invert, INVERT)
    try:
        with Image.open(path) as file:
            flat = _on_white(file)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise RunError(f"{path} is not a picture that can be read: remove or replace it.") from error
    pixels = np.asarray(flat.convert("L" if shape[-1] == 1 else "RGB"))
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    border = _border(pixels)
    if shape[-1] == 1 and (invert == "yes" or (invert == "auto" and border[0] > 127)):
        pixels, border = 255 - pixels, 255 - border
    return fit(_filled_up(pixels, border, shape[1] / shape[0]), shape)


def _on_white(picture: Image.Image) -> Image.Image:
    if picture.mode == "I;16":  # Pillow would clip 16 bits at 255 instead of scaling them
        return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        rgba = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return picture.convert("RGB") if picture.mode != "L" else picture.copy()


def _border(pixels: np.ndarray) -> np.ndarray:
    edges = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    return np.median(edges, axis=0).astype(np.uint8)


def _filled_up(pixels: np.ndarray, colour: np.ndarray, aspect: float) -> np.ndarray:
    height, width, channels = pixels.shape
    wanted_height, wanted_width = max(height, round(width / aspect)), max(width, round(height * aspect))
    filled = np.empty((wanted_height, wanted_width, channels), np.uint8)
    filled[:] = colour
    top, left = (wanted_height - height) // 2, (wanted_width - width) // 2
    filled[top : top + height, left : left + width] = pixels
    return filled
