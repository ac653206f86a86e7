"""New drawings after a few of your own, as pictures."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
from PIL import Image

from jmeta.datasets.files import tell_of
from jmeta.datasets.pictures import is_picture
from jmeta.errors import RunError
from jmeta.generative.evaluation import drawn
from jmeta.nets.drawings import INK
from jmeta.report.files import writing
from jmeta.runs.engine.devices import enough_memory
from jmeta.runs.engine.progress import complain
from jmeta.runs.few_shot.given import as_trained, pictures_in
from jmeta.runs.generative.page import draw_page
from jmeta.runs.generative.trained import Trained, load_trained
from jmeta.settings import check, setting

SMALLEST_SIDE = 112


@dataclasses.dataclass(frozen=True)
class Config:
    """Draw new examples of a class, after a few pictures of it, and write them as PNG files, with a page of all.

    Attributes:
        run_dir: the folder of a run of `jmeta generative train`.
        support: a folder of pictures of one class, or with a sub-folder of pictures for each of several.
        number: of new drawings of each class.
        output: the folder they are written to; otherwise `drawn` in the run folder. It gets a sub-folder for each
            class, and page.png, which has what was seen on the left.
        seed: others, from the same pictures.
        invert: as in `jmeta predict`: auto, yes or no.
        strict: refuse files that are no pictures or can't be read, in place of leaving them out.
        checkpoint: best (by validation) or newest.
    """

    run_dir: str
    support: str
    number: int = setting(10, least=1)
    output: str | None = None
    seed: int = setting(0, least=0)
    invert: str = setting("auto", choices=("auto", "yes", "no"))
    strict: bool = False
    checkpoint: str = setting("best", choices=("best", "newest"))


def given_in(folder: Path) -> dict[str, list[Path]]:
    """The pictures of each class, by its name; RunError for a folder without pictures."""
    if not folder.is_dir():
        raise RunError(f"--support {folder} is no folder: name one that has pictures, or a sub-folder for each class.")
    within = [place for place in sorted(folder.iterdir()) if place.is_dir() and not place.name.startswith(".")]
    classes = {place.name: pictures_in(place) for place in within or [folder]}
    if empty := [name for name, found in classes.items() if not found]:
        raise RunError(f"--support {folder} has no pictures of {', '.join(empty)}: add some.")
    return classes


def _readable(classes: dict[str, list[Path]], strict: bool) -> dict[str, list[Path]]:
    """Without files that are no pictures, which are told of; RunError where nothing is left of a class."""
    every = [path for paths in classes.values() for path in paths]
    bad = {path for path in every if not is_picture(path)}
    tell_of("--support", sorted(bad), len(every), strict)
    kept = {name: [path for path in paths if path not in bad] for name, paths in classes.items()}
    if empty := [name for name, paths in kept.items() if not paths]:
        raise RunError(f"there is no picture of {', '.join(empty)} that can be read: replace them.")
    return kept


def inputs_of(trained: Trained, paths: list[Path], invert: str) -> np.ndarray:
    """Drawings `[N, H, W, 1]` of 0 and 1, as the generator takes them."""
    if trained.look is None:
        raise RunError(f"a run on {trained.settings.drawings.dataset} says nothing of its pictures: train on others.")
    ink = as_trained(trained.look, paths, invert) > INK * 255
    blank = [path for path, one in zip(paths, ink, strict=True) if not one.any() or one.all()]
    if blank:
        complain(f"{blank[0]}{f' and {len(blank) - 1} others' * (len(blank) > 1)} came out blank: see --invert.")
    return ink.astype(np.float32)


def main(config: Config) -> list[Path]:
    """Draw, write, and print the names of the files.

    Raises:
        RunError: for a run or pictures that can't be used.
        OSError: if a file can't be written.
    """
    check(config)
    trained = load_trained(Path(config.run_dir), config.checkpoint)
    classes = _readable(given_in(Path(config.support)), config.strict)
    place = Path(config.output or Path(config.run_dir) / "drawn")
    place.mkdir(parents=True, exist_ok=True)
    seen = {name: inputs_of(trained, [*map(Path, paths)], config.invert) for name, paths in classes.items()}
    new: dict[str, np.ndarray] = {}
    with enough_memory("the drawings don't fit into the device's memory: ask for a smaller --number."):
        for i, (name, own) in enumerate(seen.items()):
            key = jax.random.fold_in(jax.random.key(config.seed), i)
            new[name] = drawn(trained.generator, trained.params, own[None], config.number, key)[0]
    written = [save(one, place / name / f"{i + 1:03}.png") for name, each in new.items() for i, one in enumerate(each)]
    written.append(draw_page({name: (seen[name], new[name]) for name in seen}, place / "page.png"))
    print(f"{len(written) - 1} drawings in {place}, and all of them on {written[-1]}")
    return written


def save(drawing: np.ndarray, path: Path) -> Path:
    """Write a drawing `[H, W, 1]` as black ink on white paper, each pixel as a square of several."""
    times = -(-SMALLEST_SIDE // drawing.shape[0])
    pixels = np.kron(255 * (1 - drawing[..., 0]), np.ones((times, times))).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path) as file:
        Image.fromarray(pixels).save(file, format="png")
    return path
