"""Tables for a terminal."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from jmeta import datasets
from jmeta.errors import RunError, unknown
from jmeta.runs.config import ANY_WAY
from jmeta.runs.predict import Prediction

_OF_SETTING = ("seeds", "mean", "ci95")


def print_evaluation(result: Mapping[str, Any]) -> None:
    """Print what `evaluate` returned: a table, then one line with the mean and its interval."""
    name = "accuracy" if "accuracy" in result else "error"
    table = Table("after inner steps", name, "95 % interval", title=_title(result), title_justify="left")
    for row in result["steps"]:
        table.add_row(str(row["inner_steps"]), _number(name, row[name]), f"+- {_number(name, row['ci95'])}")
    Console(highlight=False, width=None if sys.stdout.isatty() else 120).print(table)
    if result["way"] != result["trained_way"] and result["algorithm"] not in ANY_WAY:
        print(f"trained {result['trained_way']}-way: its head was fitted to {result['way']} classes")
    if result.get("changes"):
        print(f"pictures of {result['dataset']}: {result['changes']}")
    if result["seen_classes"] is None:
        print("whether its classes were trained on is not known, since the training data can't be read")
    elif result["seen_classes"]:
        print(f"{result['seen_classes']} of these classes were trained on: this is no measure of new ones")
    if "precision" in result:
        print(f"precision {_number(name, result['precision'])}, recall {_number(name, result['recall'])} (macro)")
    for reading in ("inductive", "transductive"):
        if f"{reading}_accuracy" in result:
            mean, ci95 = result[f"{reading}_accuracy"], result[f"{reading}_ci95"]
            how = "one query at a time" if reading == "inductive" else "all queries together"
            print(f"{reading} accuracy {_number(name, mean)} +- {_plain(name, ci95)} ({how})")
    if "errors" in result:
        print(f"wrong in each run, %: {' '.join(f'{100 * wrong:.0f}' for wrong in result['errors'])}")
    unit = " %" if name == "accuracy" else ""
    print(
        f"{name} {_plain(name, result[name])}{unit} +- {_plain(name, result['ci95'])} ({result['episodes']} episodes)"
    )


def print_group(summary: Mapping[str, Any], title: str) -> None:
    """Print each run of a group, then mean and 95 % interval over the seeds of each setting.

    Args:
        summary: as `seeds.summary` makes it.
        title: printed first.
    """
    name = summary["measured"]
    kind = name.removeprefix("val_")
    print(title)
    table = Table("run", kind)
    for member, own in summary["members"].items():
        value = f"diverged at step {own['diverged_at']}" if "diverged_at" in own else "-"
        table.add_row(member, _number(kind, own[name]) if name in own else value)
    Console(highlight=False, width=None if sys.stdout.isatty() else 120).print(table)
    for row in summary["settings"]:
        rates = " ".join(f"{key} {value:g}" for key, value in row.items() if key not in _OF_SETTING)
        print(f"{rates}: " if rates else "", end="")
        print(_over_seeds(kind, row) if row["seeds"] else "no run is left")


def _over_seeds(kind: str, row: Mapping[str, Any]) -> str:
    unit = " %" if kind == "accuracy" else ""
    interval = "" if row["ci95"] is None else f" +- {_plain(kind, row['ci95'])}"
    return f"{kind} {_plain(kind, row['mean'])}{unit}{interval} ({row['seeds']} seed{'s' * (row['seeds'] > 1)})"


def print_predictions(found: Sequence[Prediction]) -> None:
    """Print path, class and probability of each picture."""
    paths, names = (max(len(str(p[i])) for p in found) for i in (0, 1))
    for path, name, probability in found:
        print(f"{path!s:{paths}}  {name:{names}}  {100 * probability:5.1f} %")


def _title(result: Mapping[str, Any]) -> str:
    size = "" if "error" in result else f"{result['way']}-way "
    return (
        f"{result['algorithm']} trained on {result['trained_on']}, step {result['checkpoint_step']}: "
        f"{result['dataset']} ({result['part']}), {size}{result['shot']}-shot"
    )


def _plain(name: str, value: float) -> str:
    return f"{100 * value:.2f}" if name == "accuracy" else f"{value:.4f}"


def _number(name: str, value: float) -> str:
    return _plain(name, value) + (" %" if name == "accuracy" else "")


def data(words: Sequence[str]) -> int:
    """`jmeta data list` and `jmeta data prepare NAME`, each with `--data-dir FOLDER`.

    Raises:
        RunError: for other words.
        DataError: for data that are missing or damaged.
    """
    words, root = _without_data_dir(list(words))
    if not words or words[0] in ("-h", "--help"):
        print("jmeta data list [--data-dir FOLDER]\njmeta data prepare NAME [--data-dir FOLDER]")
        return 0
    if words[0] not in ("list", "prepare"):
        raise unknown("data command", words[0], ("list", "prepare"))
    if words[0] == "prepare":
        if len(words) != 2:
            raise RunError(f"jmeta data prepare takes one name, got {' '.join(words[1:]) or 'none'}: try omniglot.")
        found = datasets.load(words[1], root)
        classes, examples, height, width, channels = found.images.shape
        print(f"{found.name}: {classes} classes, up to {examples} pictures each, {height} x {width} x {channels}")
        print(f"splits: {', '.join(datasets.protocols(found))}; checksum {found.checksum[:16]}")
        return 0
    table = Table("name", "what", "where")
    for row in datasets.available(root):
        table.add_row(*row)
    Console(highlight=False, width=None if sys.stdout.isatty() else 120).print(table)
    return 0


def _without_data_dir(words: list[str]) -> tuple[list[str], str | None]:
    if "--data-dir" not in words:
        return words, None
    i = words.index("--data-dir")
    if i + 1 >= len(words):
        raise RunError("--data-dir needs a folder: name it.")
    return words[:i] + words[i + 2 :], words[i + 1]
