"""Streams of up to 600 new characters, 15 drawings each in one pass: heads on a frozen encoder, and OML in both orders.

The encoder is of a run of `jmeta train` on background alphabets, and what its heads are told is chosen on background
classes, those of validation with their turns. OML is trained here, second and first order for equal steps.

    jmeta train --algorithm prototypical --dataset omniglot --split lake --rotations --augment affine --way 50 \\
        --shot 5 --network conv4-flat --features 64 128 128 256 --meta-batch-size 1 --outer-steps 10000 \\
        --outer-schedule cosine --run-dir runs/stream-encoder
    python -m scripts.continual.omniglot --encoder runs/stream-encoder
"""

import dataclasses
import functools
from functools import partial
from pathlib import Path
from typing import Any

from jmeta.continual import heads
from jmeta.continual.settings import Choice, defaults
from jmeta.errors import RunError
from jmeta.runs.continual import AREA, evaluate, plot
from jmeta.runs.continual.trained import Trained, load
from jmeta.runs.engine.area import train
from jmeta.runs.engine.options import Options
from jmeta.runs.engine.progress import shown
from jmeta.settings import replaced, setting
from scripts.study import Rows, Shown, Study, markdown, program, trained

HEADS = ("class-means", "gemcl", "ridge")
WIDE = {"norm": "group", "features": (64, 64, 64, 256), "rotations": False}
LEARNERS: dict[str, tuple[str, dict[str, Any]]] = {
    "oml": ("oml", WIDE),
    "oml-first-order": ("oml", {**WIDE, "first_order": True}),
    "oml-wide": ("oml", {**WIDE, "features": (64, 64, 64, 576)}),
    "anml": ("anml", WIDE),
}
"""A linear head that keeps 600 classes apart needs many features: here 1,024, and 2,304 in oml-wide, as in OML's paper.
Each example moves all rows of the head, so that classes that are only turned would make a step four times as long."""
PUBLISHED = {
    "OML, its code": (".91", ".82", ".76", ".69", ".55"),
    "OML, by Numenta": (".93", ".87", ".80", ".72", ".59"),
    "ANML, its code": (".84", ".84", ".81", ".77", ".64"),
    "GeMCL's released encoder at 28x28, diagonal Gaussian": ("-", "-", "-", "-", ".845"),
}
"""At 10, 50, 100, 200 and 600 classes; the last was measured with their encoder on the same protocol."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        encoder: the folder of a run of `jmeta train` with an encoder, trained on the split lake.
        heads: on the frozen encoder: class-means, gemcl, ridge or oml.
        learners: that are trained here: oml, oml-first-order, oml-wide, anml.
        steps: outer steps of each of them.
        streams: of each number of classes.
        copies: of each picture, over which class means have a row of their own; 1 leaves it out.
        checkpoint: of the encoder, best (by validation) or newest.
        draw: accuracy against classes, as classes.png.
        run_dir: the folder for results.json, table.md and the runs.
    """

    encoder: str = setting("runs/stream-encoder", place=True)
    heads: tuple[str, ...] = setting(HEADS, place=True)
    learners: tuple[str, ...] = setting(("oml", "oml-first-order"), place=True)
    steps: int = setting(20_000, least=1)
    streams: int = setting(15, least=2)
    copies: int = setting(1, least=1, place=True)
    checkpoint: str = setting("best", choices=("best", "newest"))
    draw: bool = setting(True, place=True)
    run_dir: str = setting("runs/streams", place=True)


def study(config: Config) -> Study:
    """A row for each head and learner; RunError for names that there are not, or an encoder of other classes."""
    for name in config.learners:
        if name not in LEARNERS:
            raise RunError(f"there is no learner {name!r}: choose of {', '.join(LEARNERS)}.")
    frozen = load(Path(config.encoder), config.checkpoint)
    if frozen.data.facts["protocol"] != "lake":
        raise RunError(f"{config.encoder} was trained on the split {frozen.data.facts['protocol']}: train on lake.")
    asked = evaluate.Config(config.run_dir, streams=config.streams)
    parts = functools.cache(partial(_features, frozen))
    rows: dict[str, Any] = {evaluate.RAW: lambda rows: _raw(frozen, asked)}
    rows |= {f"{head}, frozen": partial(_head, parts, head, 1, asked) for head in config.heads}
    if config.copies > 1:
        rows[f"class-means, frozen, {config.copies} copies"] = partial(
            _head, parts, "class-means", config.copies, asked
        )
    rows |= {f"{name}, {config.steps} steps": partial(_learner, config, name, asked) for name in config.learners}
    return Study(rows, show, {**frozen.data.facts, "encoder_step": frozen.step})


def _features(frozen: Trained, copies: int) -> Any:
    return tuple(evaluate.of_part(frozen, part, copies) for part in ("train", "val", "test"))


def _raw(frozen: Trained, asked: evaluate.Config) -> dict[str, Any]:
    test = evaluate.raw(frozen.data.test)
    return evaluate.measured(heads.candidates("class-means", test), test, test, asked)


def _head(parts: Any, head: str, copies: int, asked: evaluate.Config, rows: Rows) -> dict[str, Any]:
    known, val, test = parts(copies)
    return evaluate.measured(heads.candidates(head, known), val, test, asked)


def _learner(config: Config, name: str, asked: evaluate.Config, rows: Rows) -> dict[str, Any]:
    """Trained in a run folder, which a second start goes on with, and measured from there."""
    algorithm, values = LEARNERS[name]
    settings = replaced(defaults(Choice(algorithm)), {**values, "outer_steps": config.steps})
    place = Path(config.run_dir) / name
    options = Options(str(place), resume=place.is_dir(), log_every=100, save_every=1000)
    trained(partial(train, AREA, settings, options), shown(name))
    found = load(place, "newest")
    known, val, test = _features(found, 1)
    return evaluate.measured(heads.candidates(algorithm, known, found.own, found.head), val, test, asked)


def show(rows: Rows) -> Shown:
    """Accuracy after each number of classes, beside published figures, and accuracy against classes as a picture."""
    counts = [str(n) for n in next(iter(rows.values()))["classes"]]
    published = markdown(["published", *counts], [[name, *values] for name, values in PUBLISHED.items()])
    return Shown(f"{evaluate.table(dict(rows))}\n{published}", {"classes.png": partial(plot.draw_classes, dict(rows))})


if __name__ == "__main__":
    program("continual.omniglot", Config, study)
