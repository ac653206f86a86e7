"""The commands of few-shot learning, from the words behind `jmeta evaluate` and so on to what is printed."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import tyro

from jmeta import datasets
from jmeta.datasets import cache
from jmeta.errors import RunError, printable, several, unknown
from jmeta.ragged import Ragged
from jmeta.report.tables import number, print_group, show, told
from jmeta.runs import few_shot
from jmeta.runs.engine.command import train_command
from jmeta.runs.engine.compile_cache import use_compile_cache
from jmeta.runs.engine.folder import GROUP
from jmeta.runs.engine.progress import say
from jmeta.runs.engine.words import read_words
from jmeta.runs.few_shot import AREA, EvaluateConfig, PlotConfig, PredictConfig
from jmeta.runs.few_shot.learners import LEARNERS
from jmeta.runs.few_shot.predict import main as named
from jmeta.runs.few_shot.readings import ONE, VIEWS
from jmeta.runs.few_shot.statistics import TRAIN
from jmeta.settings import check, setting

C = TypeVar("C", EvaluateConfig, PlotConfig, PredictConfig)


def print_evaluation(result: Mapping[str, Any]) -> None:
    """Print what `evaluate` returned: a table, then one line with the mean and its interval."""
    name = "accuracy" if "accuracy" in result else "error"
    rows = [(str(r["inner_steps"]), number(name, r[name]), f"+- {number(name, r['ci95'])}") for r in result["steps"]]
    if result["inner_steps"]:
        show(("after inner steps", name, "95 % interval"), rows, _title(result))
    else:
        say(_title(result))
    if result["way"] != result["trained_way"] and LEARNERS.get(result["algorithm"]).fixed_way:
        say(f"trained {result['trained_way']}-way: its head was fitted to {result['way']} classes")
    if result.get("changes"):
        say(f"pictures of {result['dataset']}: {result['changes']}")
    _say_how(result)
    if result["seen_classes"] is None:
        say("whether its classes were trained on is not known, since the training data can't be read")
    elif result["seen_classes"]:
        say(f"{result['seen_classes']} of these classes were trained on: this is no measure of new ones")
    if (classes := result.get("part_classes")) and classes < 2 * result["way"]:
        drawn = f"all episodes are drawn from {several(classes, 'class')}"
        say(f"{drawn}: on others it may differ by more than the interval")
    if "precision" in result:
        say(f"precision {number(name, result['precision'])}, recall {number(name, result['recall'])} (macro)")
    for reading in ("inductive", "transductive"):
        if f"{reading}_accuracy" in result:
            how = "one query at a time, as predict does" if reading == "inductive" else "all queries together"
            say(f"{reading} {told(name, result[f'{reading}_accuracy'], result[f'{reading}_ci95'])} ({how})")
    if "floor_accuracy" in result:
        floor = told(name, result["floor_accuracy"], result["floor_ci95"])
        say(f"{floor}: the floor, the nearest class mean of raw inputs on the same episodes")
    if "errors" in result:
        say(f"wrong in each run, %: {' '.join(f'{100 * wrong:.0f}' for wrong in result['errors'])}")
    readings = {"transductive": ", all queries together", "inductive": ", one query at a time"}
    how = readings.get(str(result.get("reading")), "")
    say(f"{told(name, result[name], result['ci95'])} ({several(result['episodes'], 'episode')}{how})")


def _say_how(result: Mapping[str, Any]) -> None:
    """What was asked for of the reading, of a run or of all runs of a group."""
    if result["statistics"] == TRAIN:
        say("normalized by pictures that were trained on, as with running averages")
    if (views := result.get("views", ONE)) != ONE:
        say(f"each picture is seen in {len(VIEWS[views])} views ({views})")


def train(words: Sequence[str]) -> int:
    """`jmeta train`."""
    return train_command(AREA, words)


def evaluate(words: Sequence[str]) -> int:
    """`jmeta evaluate`, of a run or each of a group."""
    config = _config(EvaluateConfig, words, "jmeta evaluate")
    if not (Path(config.run_dir) / GROUP).exists():
        few_shot.evaluate(config, print_evaluation)
        return 0

    def shown(summary: Mapping[str, Any]) -> None:
        size = f"{summary['episodes']} episodes of {summary['dataset']} ({summary['part']})"
        _say_how(summary)
        print_group(summary, f"{config.run_dir}: {size}")

    few_shot.evaluate_group(config, shown)
    return 0


def predict(words: Sequence[str]) -> int:
    """`jmeta predict`: path, class and probability of each picture."""
    config = _config(PredictConfig, words, "jmeta predict")
    found = named(config)
    if config.csv is not None:
        say(f"{several(len(found), 'example')} named in {config.csv}")
        return 0
    told = [(printable(one.path if one.text is None else one.text), printable(one.name)) for one in found]
    paths, names = (max(len(p[i]) for p in told) for i in (0, 1))
    for (path, name), one in zip(told, found, strict=True):
        print(f"{path:{paths}}  {name:{names}}  {100 * one.probability:5.1f} %")
    return 0


def plot(words: Sequence[str]) -> int:
    """`jmeta plot`: the files that are drawn."""
    for path in few_shot.plot(_config(PlotConfig, words, "jmeta plot")):
        say(str(path))
    return 0


def _config(kind: type[C], words: Sequence[str], prog: str) -> C:
    config = read_words(kind, words, prog=prog)
    check(config)
    use_compile_cache(config.compile_cache)
    return config


def _title(result: Mapping[str, Any]) -> str:
    size = "" if "error" in result else f"{result['way']}-way "
    return (
        f"{result['algorithm']} trained on {result['trained_on']}, step {result['checkpoint_step']}: "
        f"{result['dataset']} ({result['part']}), {size}{result['shot']}-shot"
    )


@dataclasses.dataclass(frozen=True)
class ListConfig:
    """List the data sets that there are, and where.

    Attributes:
        data_dir: the folder of data sets; otherwise $JMETA_DATA, otherwise a folder in the user's cache.
    """

    data_dir: str | None = None


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
    """Load a data set once, so that it is there for all runs, and say what it has.

    Attributes:
        name: of the data set, such as omniglot, or a path.
        npz: keep it in this file, which is a data set by its own name.
        examples: so many pictures of each class, the first ones; otherwise all.
        data_dir: the folder of data sets; otherwise $JMETA_DATA, otherwise a folder in the user's cache.
    """

    name: tyro.conf.Positional[str]
    npz: str | None = None
    examples: int | None = setting(None, least=1)
    data_dir: str | None = None


def data(words: Sequence[str]) -> int:
    """`jmeta data list` and `jmeta data prepare NAME`."""
    if not words or words[0] in ("-h", "--help"):
        say("jmeta data list [--data-dir FOLDER]")
        say("jmeta data prepare NAME [--npz FILE] [--examples N] [--data-dir FOLDER]")
        return 0
    if words[0] not in ("list", "prepare"):
        raise unknown("data command", words[0], ("list", "prepare"))
    kind = ListConfig if words[0] == "list" else PrepareConfig
    config = read_words(kind, words[1:], prog=f"jmeta data {words[0]}")
    if isinstance(config, PrepareConfig):
        found = _prepared(config)
        classes, most, *shape = found.examples.shape
        what = "examples" if found.look is None else "pictures"
        say(f"{found.name}: {classes} classes, up to {most} {what} each, {' x '.join(map(str, shape))}")
        say(f"splits: {', '.join(datasets.protocols(found))}; checksum {found.checksum[:16]}")
        return 0
    show(("name", "what", "where"), datasets.available(config.data_dir))
    return 0


def _prepared(config: PrepareConfig) -> datasets.Dataset:
    check(config)
    if config.npz is not None and not config.npz.endswith(".npz"):
        raise RunError(f"--npz must be a file that ends in .npz, got {config.npz}: choose another.")
    found = datasets.load(config.name, config.data_dir)
    if config.examples is not None:
        counts, rows = np.minimum(found.counts, config.examples), found.examples.rows
        place = np.arange(len(rows)) - np.repeat(found.examples.starts, found.counts)
        kept = Ragged(rows[place < config.examples], counts)
        found = datasets.make_dataset(found.name, kept, found.class_names, found.groups)
    if config.npz is not None:
        cache.write(Path(config.npz), found)
    return found
