"""What a user does with the result: name pictures after a few examples of each new class."""

import csv
import dataclasses
import io
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jmeta.errors import RunError
from jmeta.report.files import write_text
from jmeta.runs.few_shot.experiment import eval_steps
from jmeta.runs.few_shot.pictures import classes_in, pictures_in, read_picture
from jmeta.runs.few_shot.trained import Trained, at_way, load_trained
from jmeta.types import Batch, Params


@dataclasses.dataclass(frozen=True)
class PredictConfig:
    """Adapt a trained learner to a few pictures of each new class, and name others.

    Attributes:
        run_dir: the folder of the run.
        support: a folder with a sub-folder of pictures for each class; one picture is enough, and numbers may differ.
        query: a folder of pictures to be named.
        csv: write path, class and probability of each picture to this file, in place of printing them.
        inner_steps: inner steps; otherwise the run's for evaluation.
        checkpoint: best (by validation) or newest.
        invert: for a learner of greyscale drawings, whose ink is bright: auto inverts a picture with a bright border;
            yes or no settle it for all.
        transductive: let the pictures see each other through the batch statistics. Good where all classes are among
            them about as often; otherwise each is judged alone.
        compile_cache: keep compiled programs for the next start.
    """

    run_dir: str
    support: str
    query: str
    csv: str | None = None
    inner_steps: int | None = None
    checkpoint: str = "best"
    invert: str = "auto"
    transductive: bool = False
    compile_cache: bool = True


class Prediction(NamedTuple):
    """What one picture was taken for.

    Attributes:
        path: of the picture.
        name: of the class.
        probability: that the learner gives it.
    """

    path: Path
    name: str
    probability: float


def predict(config: PredictConfig) -> list[Prediction]:
    """Name the pictures of a folder.

    Returns:
        A `Prediction` for each, in sorted order.

    Raises:
        RunError: for a run or pictures that can't be used.
        OSError: if the CSV file can't be written.
    """
    if config.inner_steps is not None and config.inner_steps < 0:
        raise RunError(f"--inner-steps must be 0 or more, got {config.inner_steps}: choose another.")
    if config.csv is not None and not Path(config.csv).resolve().parent.is_dir():
        raise RunError(f"--csv {config.csv} is in no folder that exists: make it first.")
    classes, queries = classes_in(Path(config.support)), pictures_in(Path(config.query))
    if not queries:
        raise RunError(f"{config.query} has no pictures: put those to be named there.")
    trained = load_trained(config.run_dir, config.checkpoint)
    if len(trained.facts["input_shape"]) != 3:
        raise RunError(f"{config.run_dir} was trained on {trained.settings.tasks.dataset} and can't take pictures.")
    shape = tuple(trained.facts["input_shape"])
    support = _support(classes, shape, config.invert)
    x = _floats([read_picture(path, shape, config.invert) for path in queries])
    steps = eval_steps(trained.settings.learner) if config.inner_steps is None else config.inner_steps
    probabilities = np.asarray(
        _probabilities(trained, support, x, way=len(classes), steps=steps, together=config.transductive)
    )
    names = list(classes)
    found = [
        Prediction(path, names[int(row.argmax())], float(row.max()))
        for path, row in zip(queries, probabilities, strict=True)
    ]
    if config.csv is not None:
        write_text(Path(config.csv), as_csv(found))
    return found


def _support(classes: dict[str, list[Path]], shape: tuple[int, ...], invert: str) -> Batch:
    """First one picture of each class, then the second of each that has one, as a sampler's episodes are."""
    longest = max(len(files) for files in classes.values())
    rows = [(files[i], k) for i in range(longest) for k, files in enumerate(classes.values()) if i < len(files)]
    x = _floats([read_picture(path, shape, invert) for path, _ in rows])
    return Batch(x, jax.nn.one_hot(jnp.array([k for _, k in rows]), len(classes)))


def _floats(pictures: list[np.ndarray]) -> Array:
    return jnp.asarray(np.stack(pictures), jnp.float32) / 255.0


def _probabilities(trained: Trained, support: Batch, x: Array, *, way: int, steps: int, together: bool) -> Array:
    learner = trained.learner_of(steps, way)

    @jax.jit
    def run(params: Params, support: Batch, x: Array) -> Array:
        adapted = learner.adapt(params, support)
        if together:
            return jax.nn.softmax(learner.predict(adapted, x))

        def one(x: Array) -> Array:
            return learner.predict(adapted, jnp.concatenate([support.x, x[None]]))[-1]

        return jax.nn.softmax(jax.lax.map(one, x))

    return run(at_way(trained.params, trained.settings.tasks.way, way), support, x)


def as_csv(predictions: list[Prediction]) -> str:
    """A table with a header row."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "class", "probability"])
    writer.writerows([str(p.path), p.name, f"{p.probability:.4f}"] for p in predictions)
    return text.getvalue()
