"""What a user does with the result: name pictures after a few examples of each new class."""

import csv
import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jmeta import evaluation
from jmeta.datasets.files import tell_of
from jmeta.datasets.look import Look, differ
from jmeta.datasets.pictures import as_learned, ink_of_files, open_picture
from jmeta.datasets.sources import files_in, listed, visible
from jmeta.errors import DataError, RunError, unknown
from jmeta.report.files import write_text
from jmeta.runs.engine.folder import check_output
from jmeta.runs.few_shot.heads import at_way
from jmeta.runs.few_shot.trained import load_trained
from jmeta.settings import check, setting
from jmeta.types import Batch, Episode

INVERT = ("auto", "yes", "no")


@dataclasses.dataclass(frozen=True)
class PredictConfig:
    """Adapt a trained learner to a few pictures of each new class, and name others.

    Attributes:
        run_dir: the folder of the run.
        support: a folder with a sub-folder of pictures for each class; one picture is enough, and numbers may differ.
        query: a folder of pictures to be named, at any depth, or one picture.
        csv: write path, class and probability of each picture to this file, in place of printing them.
        inner_steps: inner steps; otherwise the run's for evaluation.
        checkpoint: best (by validation) or newest.
        invert: all pictures or none. auto does with them as was done with the files of a folder that was trained on; of
            other data, it inverts them if ink is dark in them, taken together, and light in training, or the reverse.
            Or yes or no.
        strict: refuse files that are no pictures or can't be read, in place of leaving them out.
        transductive: let the pictures see each other through the batch statistics. Good where all classes are among
            them about as often; otherwise each is judged alone.
        compile_cache: keep compiled programs for the next start.
    """

    run_dir: str
    support: str
    query: str
    csv: str | None = None
    inner_steps: int | None = setting(None, least=0)
    checkpoint: str = "best"
    invert: str = "auto"
    strict: bool = False
    transductive: bool = False
    compile_cache: bool = True


class Prediction(NamedTuple):
    """What one picture was taken for: its path, the name of the class, and the learner's probability of it."""

    path: Path
    name: str
    probability: float


def predict(config: PredictConfig) -> list[Prediction]:
    """Name the pictures of a folder, in sorted order.

    Raises:
        RunError: for a run or pictures that can't be used.
        OSError: if the CSV file can't be written.
    """
    check(config)
    if config.csv is not None:
        check_output("--csv", config.csv)
    if config.invert not in INVERT:
        raise unknown("choice for --invert", config.invert, INVERT)
    classes, queries = classes_in(Path(config.support)), pictures_in(Path(config.query))
    given = [*queries, *(path for files in classes.values() for path in files)]
    if config.csv is not None and Path(config.csv).resolve() in {path.resolve() for path in given}:
        raise RunError(f"--csv {config.csv} is among the pictures to be read, which it would replace: choose another.")
    if not queries:
        raise RunError(f"{config.query} has no pictures: put those to be named there.")
    trained = load_trained(config.run_dir, config.checkpoint)
    if trained.look is None:
        raise RunError(f"{config.run_dir} was trained on {trained.settings.tasks.dataset} and can't take pictures.")
    bad = unreadable([*(path for files in classes.values() for path in files), *queries])
    tell_of("what is given", sorted(bad), sum(map(len, classes.values())) + len(queries), config.strict)
    classes = {name: [path for path in files if path not in bad] for name, files in classes.items()}
    queries = [path for path in queries if path not in bad]
    if empty := [name for name, files in classes.items() if not files]:
        raise RunError(f"{config.support} has no picture of {listed(empty)} that can be read: replace them.")
    if not queries:
        raise RunError(f"{config.query} has no picture that can be read: replace them.")
    learned, labels = in_order(classes)
    pictures = as_trained(trained.look, [*learned, *queries], config.invert)
    shown, x = jnp.split(jnp.asarray(pictures, jnp.float32) / 255, [len(learned)])
    support = Batch(shown, jax.nn.one_hot(jnp.array(labels), len(classes)))
    steps = trained.inner_steps if config.inner_steps is None else config.inner_steps
    learner, names = trained.learner_of(steps, len(classes)), list(classes)
    reading = evaluation.transductive if config.transductive else evaluation.inductive
    run = jax.jit(lambda params, episode: jax.nn.softmax(reading(learner, params, episode)))
    query = Batch(x, jnp.zeros((len(x), len(classes))))  # whose classes are not known
    params = at_way(trained.params, trained.settings.tasks.way, len(classes))
    rows = np.asarray(run(params, Episode(support, query)))
    found = [
        Prediction(path, names[int(row.argmax())], float(row.max())) for path, row in zip(queries, rows, strict=True)
    ]
    if config.csv is not None:
        write_text(Path(config.csv), as_csv(found))
    return found


def pictures_in(place: Path) -> list[Path]:
    """The files of a folder at any depth in sorted order, without hidden ones, or one file; RunError for neither."""
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise RunError(f"{place} is no folder and no file: name the folder that holds the pictures.")
    return [path for path in files_in(place).values() if isinstance(path, Path)]


def unreadable(paths: Sequence[Path]) -> set[Path]:
    """Those that are no pictures, or can't be read."""
    bad = set()
    for path in paths:
        try:
            open_picture(path)
        except DataError:
            bad.add(path)
    return bad


def classes_in(folder: Path) -> dict[str, list[Path]]:
    """The pictures of each sub-folder, by its name; RunError for fewer than two sub-folders, or an empty one."""
    if not folder.is_dir():
        raise RunError(f"{folder} is no folder: name a folder with a sub-folder of pictures for each class.")
    found = {path.name: pictures_in(path) for path in visible(folder) if path.is_dir()}
    if len(found) < 2:
        more = "put the pictures of each of two or more classes in one."
        raise RunError(f"{folder} has {len(found)} sub-folders: {more}")
    for name, files in found.items():
        if not files:
            raise RunError(f"{folder / name} has no pictures: add some, or remove the folder.")
    return found


def in_order(classes: dict[str, list[Path]]) -> tuple[list[Path], list[int]]:
    """Paths and labels: first one picture of each class, then the second of each that has one, as samplers do it."""
    longest = max(len(files) for files in classes.values())
    rows = [(files[i], k) for i in range(longest) for k, files in enumerate(classes.values()) if i < len(files)]
    return [path for path, _ in rows], [label for _, label in rows]


def as_trained(like: Look, paths: Sequence[Path], invert: str = "auto") -> np.ndarray:
    """Pictures as a learner takes them, uint8 `[N, H, W, C]`: those that it was trained on come out as they were then.

    Args:
        like: how the pictures looked that it was trained on.
        paths: all that are given to it together.
        invert: as in `PredictConfig`.
    """
    files = like.files or ink_of_files(paths)
    inverted = differ(files, like.ink) if invert == "auto" else invert == "yes"
    return np.stack([as_learned(open_picture(path), like.shape, files, inverted=inverted) for path in paths])


def as_csv(predictions: list[Prediction]) -> str:
    """A table with a header row."""
    text = io.StringIO()
    rows = ([str(p.path), p.name, f"{p.probability:.4f}"] for p in predictions)
    csv.writer(text, lineterminator="\n").writerows([["path", "class", "probability"], *rows])
    return text.getvalue()
