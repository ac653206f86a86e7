"""Drawings of characters that nobody has taught: how likely they are found, and how good new ones are.

    jmeta generative train --outer-steps 1500 --run-dir runs/drawing
    jmeta generative train --algorithm set-vae --run-dir runs/set-vae
    python -m scripts.generative.omniglot --runs runs/drawing runs/set-vae

Density: nats a drawing of all evaluation characters, after none to ten others of each, beside what is known without
learning. Judged: a classifier, trained on 15 real drawings of each of 100 evaluation characters, names new drawings
that were made after one or five of the 15, beside the real ones that it has not seen, and copies of what was seen,
which are named well and are nothing new: so there is the distance to what was seen, in pixels.
"""

import dataclasses
import functools
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jmeta import nets
from jmeta.augment import random_affine
from jmeta.errors import RunError
from jmeta.generative.evaluation import Classes, classes_of, drawn
from jmeta.generative.judge import distance, fitted, named
from jmeta.runs.generative import evaluate
from jmeta.runs.generative.page import draw_page
from jmeta.runs.generative.plot import draw_density
from jmeta.runs.generative.trained import Trained, data_of, load_trained
from jmeta.settings import setting
from scripts.study import Rows, Shown, Study, interval, markdown, percent, plus_minus, program

REAL, COPIES = 15, "copies of what was seen"
DENSITY, JUDGED = "density: ", "judged: "
PAGE = 20


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        runs: folders of runs of `jmeta generative train`, whose names are those of the rows.
        characters: that the judge knows.
        seen: drawings that new ones are made after, a row each.
        drawn: new drawings of each character.
        judge_steps: of training the judge.
        classes: evaluation characters whose drawings' density is measured; otherwise all.
        draw: also draw density.png and page.png, characters that the judge does not know with new drawings of each.
        run_dir: where results are kept.
    """

    runs: tuple[str, ...] = setting(("runs/drawing", "runs/set-vae"), place=True)
    characters: int = setting(100, least=2)
    seen: tuple[int, ...] = setting((1, 5), least=1)
    drawn: int = setting(5, least=1)
    judge_steps: int = setting(1500, least=1)
    classes: int | None = setting(None, least=2)
    draw: bool = setting(True, place=True)
    run_dir: str = setting("runs/drawings", place=True)


def study(config: Config) -> Study:
    """A density and a judgement of each run; RunError where runs are of other classes than the first."""
    if not config.runs:
        raise RunError("--runs names no run: give one or more folders of jmeta generative train.")
    runs = {Path(name).name: load_trained(Path(name)) for name in config.runs}
    first = next(iter(runs.values()))
    for name, run in runs.items():
        if run.facts["split_hash"] != first.facts["split_hash"]:
            raise RunError(f"{name} was trained on other classes than {next(iter(runs))}: leave it out.")
    known = functools.cache(lambda: judge(config, first))
    rows: dict[str, Any] = {DENSITY + name: partial(density, config, name, run) for name, run in runs.items()}
    rows |= {JUDGED + "real, which it has not seen": lambda rows: verdict(known(), lambda seen, k: known()[0].asked, 1)}
    for k in config.seen:
        rows[f"{JUDGED}{COPIES}, {k}"] = partial(copies, config, known, k)
        for name, run in runs.items():
            rows[f"{JUDGED}{name}, after {k}"] = partial(new, config, known, run, k)
    facts = {key: first.facts[key] for key in ("protocol", "split_hash", "checksum")}
    return Study(rows, partial(show, config, runs), facts | {"steps": {name: run.step for name, run in runs.items()}})


def density(config: Config, name: str, run: Trained, rows: Rows) -> dict[str, Any]:
    """Of a run, and what is known without learning."""
    return evaluate.measured(evaluate.Config(name, classes=config.classes), run)


def judge(config: Config, run: Trained) -> tuple[Classes, Any]:
    """Characters with 15 real drawings each and 5 others, and what names drawings of them."""
    data = data_of(run, "the first run")
    classes = classes_of(data.test, seen=REAL, queries=5, most=config.characters, seed=1)
    model = nets.Conv4(config.characters, features=64, norm=nets.GroupNorm)
    change = random_affine()
    binary = lambda key, drawing: (change(key, drawing) > 0.5).astype(drawing.dtype)
    params = fitted(model, classes.seen, steps=config.judge_steps, augment=binary, key=jax.random.key(0))
    return classes, named(model, params)


def verdict(known: tuple[Classes, Any], make: Any, k: int) -> dict[str, Any]:
    """The share that is named right, and the distance to the first k real drawings."""
    classes, right = known
    seen = classes.seen[:, :k]
    drawings = make(seen, k)
    return {"accuracy": interval(right(drawings)), "distance": interval(distance(drawings, seen))}


def copies(config: Config, known: Any, k: int, rows: Rows) -> dict[str, Any]:
    """Of what was seen, one after another."""
    repeated = lambda seen, k: np.concatenate([seen] * -(-config.drawn // k), axis=1)[:, : config.drawn]
    return verdict(known(), repeated, k)


def new(config: Config, known: Any, run: Trained, k: int, rows: Rows) -> dict[str, Any]:
    """Of a run."""
    make = lambda seen, k: drawn(run.generator, run.params, seen, config.drawn, jax.random.key(k))
    return verdict(known(), make, k)


def show(config: Config, runs: dict[str, Trained], rows: Rows) -> Shown:
    """Two tables; densities as a picture, and a page of new drawings of each run."""
    densities = {name.removeprefix(DENSITY): row for name, row in rows.items() if name.startswith(DENSITY)}
    curves = {name: row[evaluate.LEARNED] for name, row in densities.items()}
    curves |= {name: row for name, row in next(iter(densities.values())).items() if name != evaluate.LEARNED}
    judged = [
        [name.removeprefix(JUDGED), percent(row["accuracy"]), plus_minus(*row["distance"].values(), digits=1)]
        for name, row in rows.items()
        if name.startswith(JUDGED)
    ]
    both = markdown(["drawings", "named right, %", "pixels from the nearest seen"], judged)
    pages = {f"{name}.png": partial(page, run) for name, run in runs.items()}
    return Shown(f"{evaluate.table(curves)}\n{both}", {"density.png": partial(draw_density, curves), **pages})


def page(run: Trained, path: Path) -> Path:
    """Evaluation characters, the one drawing of each that was seen, and new ones."""
    classes = classes_of(data_of(run, "the run").test, seen=1, queries=1, most=PAGE, seed=2)
    new = drawn(run.generator, run.params, classes.seen, 12, jax.random.key(2))
    return draw_page({str(i): pair for i, pair in enumerate(zip(classes.seen, new, strict=True))}, path, names=False)


if __name__ == "__main__":
    program("generative.omniglot", Config, study)
