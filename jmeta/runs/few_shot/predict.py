"""What a user does with the result: name pictures after a few examples of each new class."""

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jmeta.datasets.sentences import is_sentences
from jmeta.errors import RunError, unknown
from jmeta.report.files import write_text
from jmeta.runs.engine.folder import check_output
from jmeta.runs.few_shot import text
from jmeta.runs.few_shot.given import Examples, check_several, given, in_order, inputs_of, readable
from jmeta.runs.few_shot.heads import at_way
from jmeta.runs.few_shot.readings import ONE, VIEWS, check_views, reading
from jmeta.runs.few_shot.statistics import SOURCES, SUPPORT, TRAIN, of_training
from jmeta.runs.few_shot.trained import Trained, load_trained
from jmeta.settings import check, setting
from jmeta.tasks import catalog as sources
from jmeta.types import Batch, Episode

INVERT = ("auto", "yes", "no")


@dataclasses.dataclass(frozen=True)
class PredictConfig:
    """Adapt a trained learner to a few pictures of each new class, and name others.

    Attributes:
        run_dir: the folder of the run.
        support: a folder with a sub-folder of pictures for each class; one picture is enough, and numbers may differ.
            Or an npz file of images and labels, and of features where those were trained on, or a csv file. After
            sentences, a .csv or .jsonl file of them with their labels.
        query: what is to be named: pictures, folders of them at any depth, or both; or an npz or csv file of examples;
            or sentences, in quotes, or in files: .csv or .jsonl with a text in each line, or a .txt of lines.
        csv: write path or sentence, class and probability of each example to this file, in place of printing them.
        inner_steps: inner steps; otherwise the run's for evaluation.
        checkpoint: best (by validation) or newest.
        invert: all pictures or none. auto does with gray ones as was done with the files of a folder that was trained
            on; of other data, it inverts them if ink is dark in them, taken together, and light in training, or the
            reverse; it leaves those in color as they are. Or yes or no.
        strict: refuse files that are no pictures or can't be read, in place of leaving them out.
        transductive: let the pictures see each other through the batch statistics. Good where all classes are among
            them about as often; otherwise each is judged alone.
        statistics: as in `jmeta evaluate`: of support, or train.
        views: as in `jmeta evaluate`: one, mirror for photographs, or affine for drawings.
        compile_cache: keep compiled programs for the next start.
    """

    run_dir: str
    support: str
    query: tuple[str, ...]
    csv: str | None = None
    inner_steps: int | None = setting(None, least=0)
    checkpoint: str = "best"
    invert: str = "auto"
    strict: bool = False
    transductive: bool = False
    statistics: str = setting(SUPPORT, choices=SOURCES)
    views: str = setting(ONE, choices=tuple(VIEWS))
    compile_cache: bool = True


class Prediction(NamedTuple):
    """What one example was taken for: its path, or its row in an array or among sentences; the class, the learner's
    probability, and the sentence, where it is one."""

    path: Path | int
    name: str
    probability: float
    text: str | None = None


def predict(
    run: str | Path,
    support: str | Path | Mapping[Any, Examples],
    query: Examples,
    *,
    inner_steps: int | None = None,
    checkpoint: str = "best",
    invert: str = "auto",
    strict: bool = False,
    transductive: bool = False,
    statistics: str = SUPPORT,
    views: str = ONE,
    trust_code: bool = False,
) -> list[Prediction]:
    """Adapt a trained learner to a few examples of each new class, and name others, in their order.

    Args:
        run: the folder of a run of `jmeta train`.
        support: examples of each class, at least one and of numbers that may differ: a folder with a sub-folder of
            pictures for each, an npz file of `images` and `labels`, a csv file, or `{name: examples}`. After a run on
            sentences, a csv or jsonl file of sentences with labels, or `{name: texts}`.
        query: examples to be named; sentences are a list of texts, in which a `Path` is a file of them, or one file, or
            one text of several words.
        inner_steps: inner steps; None for the run's in evaluation.
        checkpoint: best (by validation) or newest.
        invert: pictures in gray: "yes", "no", or "auto". auto does with files, and arrays beside files, as was done
            with those of a folder that was trained on; otherwise it inverts them if ink is dark in them, taken
            together, and light in training, or the reverse. Pictures in color stay as they are.
        strict: refuse files that are no pictures or can't be read, in place of leaving them out with a warning.
        transductive: let the examples see each other through the batch statistics.
        statistics: "support", or "train" for those of training pictures, after a run with support statistics.
        views: of each picture: "one"; "mirror", left and right exchanged too, for photographs; or "affine", turned,
            stretched, slanted and moved a little too, for drawings. All are support examples, and logits are their
            mean.
        trust_code: whether to run the code that the folder names, `FILE.py:NAME`.

    Examples are a folder of pictures, at any depth, one picture, paths of pictures, an npz or csv file, or an array
    `[N, ...]`. Pictures, as files or arrays `[N, H, W, C]` or `[N, H, W]` of 0 to 255 or 0 to 1, are brought to the
    size, the channels and the ink of those that were trained on; other arrays have the shape of what was trained on.

    Raises:
        RunError: for a run, or examples, that can't be used.

    Example:
        >>> found = predict("runs/first", {"cat": cats, "dog": dogs}, new)  # doctest: +SKIP
        >>> [(one.name, one.probability) for one in found]  # doctest: +SKIP
        [('dog', 0.93), ('cat', 0.71)]
    """
    if invert not in INVERT:
        raise unknown("choice for --invert", invert, INVERT)
    if statistics not in SOURCES:
        raise unknown("choice for --statistics", statistics, SOURCES)
    if views not in VIEWS:
        raise unknown("choice for --views", views, VIEWS)
    switches = {"strict": strict, "transductive": transductive, "trust_code": trust_code}
    if odd := [name for name, on in switches.items() if not isinstance(on, bool | np.bool_)]:
        raise RunError(f"{odd[0]} is True or False, got {switches[odd[0]]!r:.60}: choose one.")
    trained = load_trained(run, checkpoint, trust_code=trust_code)
    if sources.row(trained.settings.tasks.dataset).numbers:
        raise RunError(
            f"{run} was trained on {trained.settings.tasks.dataset}, which has no classes to be named: "
            "jmeta.load gives its learner."
        )
    steps = trained.steps(inner_steps)
    check_views(views, f"the data of {run}", trained.facts["input_shape"])
    if statistics == TRAIN:
        trained = of_training(str(run), trained)
    read = _examples if trained.reader is None else _sentences
    found = read(trained, support, query, invert=invert, strict=strict)
    names, count = found.names, len(found.labels)
    inputs = jnp.asarray(found.inputs)
    support_set = Batch(inputs[:count], jax.nn.one_hot(jnp.array(found.labels), len(names)))
    learner = trained.learner_of(steps, len(names))
    read_as = reading(transductive, views)
    program = jax.jit(lambda params, episode: jax.nn.softmax(read_as(learner, params, episode)))
    queries = Batch(inputs[count:], jnp.zeros((len(found.queries), len(names))))  # whose classes are not known
    params = at_way(trained.params, trained.settings.tasks.way, len(names))
    rows = np.asarray(program(params, Episode(support_set, queries)))
    return [
        Prediction(
            example if isinstance(example, Path) else i, names[int(row.argmax())], float(row.max()),
            example if isinstance(example, str) else None,
        )
        for i, (example, row) in enumerate(zip(found.queries, rows, strict=True))
    ]  # fmt: skip


class _Read(NamedTuple):
    """The names of the classes, the label of each support example, inputs `[N, ...]` of support and query, and what the
    queries were."""

    names: list[str]
    labels: list[int]
    inputs: np.ndarray
    queries: Sequence[Any]


def _examples(trained: Trained, support: Any, query: Examples, *, invert: str, strict: bool) -> _Read:
    if trained.look is None and invert == "yes":
        raise RunError("--invert yes is for pictures, and the run was trained on none: leave it out.")
    for examples in (query, *(support.values() if isinstance(support, Mapping) else ())):
        check_several(examples, tuple(trained.facts["input_shape"]))
    found = readable(given(support, query), strict)
    learned, labels = in_order(found.classes)
    return _Read([*found.classes], labels, inputs_of(trained, [*learned, *found.queries], invert), found.queries)


def _sentences(trained: Trained, support: Any, query: Any, *, invert: str, strict: bool) -> _Read:
    if invert != "auto" or strict:
        raise RunError("--invert and --strict are for pictures, and the run was trained on sentences: leave them out.")
    assert trained.reader is not None, "a run on sentences has their reader"
    classes, queries = text.given(support, query)
    learned, labels = in_order(classes)
    return _Read([*classes], labels, text.numbers(trained.reader, [*learned, *queries]), queries)


def main(config: PredictConfig) -> list[Prediction]:
    """`predict` of what a command line says, and its table where it asks for one.

    Raises:
        RunError: as there, and for a file that can't be the table.
        OSError: if the CSV file can't be written.
    """
    check(config)
    if not config.query or not all(word.strip() for word in config.query):
        raise RunError("--query has nothing after it, or an empty word: give what is to be named.")
    words = [Path(word) if text.names_file(word) else word for word in config.query]
    query: Any = words[0] if len(words) == 1 else words
    if config.csv is not None:
        check_output("--csv", config.csv)
        named = [Path(config.support), *map(Path, config.query)]
        if not any(map(is_sentences, named)):
            named += given(config.support, query).paths
        if Path(config.csv).resolve() in {path.resolve() for path in named}:
            raise RunError(f"--csv {config.csv} is among what is to be read, which it would replace: choose another.")
    words = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    passed = words.keys() - {"run_dir", "support", "query", "csv", "compile_cache"}
    found = predict(config.run_dir, config.support, query, **{name: words[name] for name in passed})
    if config.csv is not None:
        write_text(Path(config.csv), as_csv(found))
    return found


def as_csv(predictions: list[Prediction]) -> str:
    """A table with a header row, in which a sentence is its own place."""
    written, sentences = io.StringIO(), any(p.text is not None for p in predictions)
    rows = ([str(p.path) if p.text is None else p.text, p.name, f"{p.probability:.4f}"] for p in predictions)
    head = ["text" if sentences else "path", "class", "probability"]
    csv.writer(written, lineterminator="\n").writerows([head, *rows])
    return written.getvalue()
