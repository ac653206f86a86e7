"""Which of your own pictures to label next, by what `jmeta train` has trained."""

import csv
import dataclasses
import io
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jmeta.active.experiment import acquisition_of
from jmeta.active.pool import ask, flat
from jmeta.active.query import check_labels, chosen
from jmeta.active.types import Rule
from jmeta.errors import RunError, sentence
from jmeta.report.files import write_text
from jmeta.report.tables import markdown
from jmeta.runs.active.trained import load_trained as load_rule
from jmeta.runs.engine.folder import check_output
from jmeta.runs.few_shot.given import Example, given, in_order, inputs_of, readable
from jmeta.runs.few_shot.heads import at_way
from jmeta.runs.few_shot.trained import Trained, encoder_of, load_trained
from jmeta.settings import check, setting
from jmeta.tasks import catalog as sources
from jmeta.types import Batch, Episode


@dataclasses.dataclass(frozen=True)
class Config:
    """Choose the pictures of a folder whose labels would help most, the first first, and print them; label these, put
    them into the folders of their classes, and ask again.

    Attributes:
        run_dir: the folder of a run of `jmeta train`.
        support: a folder with a sub-folder of pictures for each class, at least one picture each, as `jmeta predict`
            takes it; or an npz or csv file.
        pool: a folder of pictures without labels, at any depth; or an npz or csv file of examples.
        labels: how many to choose.
        rule: coverage (what brings the most pictures near to a labelled one), k-centre (the farthest from all that are
            labelled), k-means, entropy, margin, random; or the folder of a run of `jmeta active train`.
        csv: write rank, path, the class that it would be taken for and its probability to this file too.
        inner_steps: inner steps; otherwise the run's for evaluation.
        checkpoint: best (by validation) or newest.
        invert: as in `jmeta predict`: auto, yes or no.
        strict: refuse files that are no pictures or can't be read, in place of leaving them out.
        seed: of what is drawn.
    """

    run_dir: str
    support: str
    pool: str
    labels: int = setting(10, least=1)
    rule: str = "coverage"
    csv: str | None = None
    inner_steps: int | None = setting(None, least=0)
    checkpoint: str = setting("best", choices=("best", "newest"))
    invert: str = setting("auto", choices=("auto", "yes", "no"))
    strict: bool = False
    seed: int = setting(0, least=0)


class Suggestion(NamedTuple):
    """An example to label: its path, or its row in an array; what it would be taken for, and the probability."""

    path: Path | int
    name: str
    probability: float


def suggest(config: Config) -> list[Suggestion]:
    """The examples of a pool to label next, in order.

    Raises:
        RunError: for a run, pictures or a rule that can't be used, and for more labels than the pool has.
    """
    rule = rule_of(config.rule)
    trained = load_trained(config.run_dir, config.checkpoint)
    if sources.row(trained.settings.tasks.dataset).numbers:
        raise RunError(f"{config.run_dir} was trained on numbers, and has no classes: name another --run-dir.")
    found = readable(given(config.support, config.pool), config.strict)
    _check_labels(config.labels, len(found.queries))
    names, (learned, numbers) = list(found.classes), in_order(found.classes)
    count, way = len(learned), len(names)
    inputs = jnp.asarray(inputs_of(trained, [*learned, *found.queries], config.invert))
    targets = jnp.zeros((len(inputs), way)).at[jnp.arange(count), jnp.array(numbers)].set(1.0)
    batch, start = Batch(inputs, targets), (jnp.arange(len(inputs)) < count).astype(float)
    steps = trained.inner_steps if config.inner_steps is None else config.inner_steps
    learner, params = trained.learner_of(steps, way), at_way(trained.params, trained.settings.tasks.way, way)
    z = _features(trained, inputs)
    run = ask(
        learner, rule, labels=config.labels, reveal=False, features=lambda params, x: z,
        measure=lambda prediction, query: jnp.zeros(()),
    )  # fmt: skip

    def both(params: Any, key: Array) -> tuple[Array, Array]:
        adapted = learner.adapt(params, batch._replace(weight=start))
        picks = run(params, Episode(batch, batch), key, start).picks
        return picks, jax.nn.softmax(learner.predict(adapted, inputs))

    picks, probability = jax.jit(both)(params, jax.random.key(config.seed))
    rows = np.asarray(probability)
    return [_told(found.queries, names, rows, int(i), count) for i in np.asarray(picks)]


def _told(queries: list[Example], names: list[str], rows: np.ndarray, i: int, count: int) -> Suggestion:
    example, row = queries[i - count], rows[i]
    return Suggestion(example if isinstance(example, Path) else i - count, names[int(row.argmax())], float(row.max()))


def rule_of(name: str) -> Rule:
    """A rule by its name, or the learned one of a run folder; RunError for neither."""
    if (Path(name) / "config.json").exists():
        trained = load_rule(Path(name))
        return acquisition_of(trained.settings).rule(trained.params["rule"])
    try:
        return chosen(name)
    except ValueError as error:
        raise RunError(f"--rule: {error}, or the folder of a run of jmeta active train.") from error


def _check_labels(labels: int, rows: int) -> None:
    try:
        check_labels(labels, rows)
    except ValueError as error:
        raise RunError(sentence(error)) from error


def _features(trained: Trained, inputs: Array) -> Array:
    """What distances are measured in: the features of the run's encoder, or the inputs of a learner without one."""
    found = encoder_of(trained)
    return flat(inputs) if found is None else flat(jax.jit(found[0].apply)(found[1], inputs))


def as_csv(found: list[Suggestion]) -> str:
    """A table with a header row."""
    text = io.StringIO()
    rows = ([str(k + 1), str(one.path), one.name, f"{one.probability:.4f}"] for k, one in enumerate(found))
    csv.writer(text, lineterminator="\n").writerows([["rank", "path", "class", "probability"], *rows])
    return text.getvalue()


def main(config: Config) -> list[Suggestion]:
    """`suggest`, as a list on the terminal, and the table where one is asked for.

    Raises:
        RunError: as there, and for a file that can't be the table.
        OSError: if the CSV file can't be written.
    """
    check(config)
    if config.csv is not None:
        check_output("--csv", config.csv)
        read = {path.resolve() for path in given(config.support, config.pool).paths}
        if Path(config.csv).resolve() in {*read, Path(config.pool).resolve(), Path(config.support).resolve()}:
            raise RunError(f"--csv {config.csv} is among what is to be read, which it would replace: choose another.")
    found = suggest(config)
    rows = [(str(k + 1), str(one.path), one.name, f"{one.probability:.2f}") for k, one in enumerate(found)]
    print(markdown(("", "label next", "looks like", "probability"), rows), end="")
    if config.csv is not None:
        write_text(Path(config.csv), as_csv(found))
        print(f"\nwritten to {config.csv}")
    return found
