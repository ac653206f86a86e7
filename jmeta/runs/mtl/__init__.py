"""The programs behind `jmeta mtl`: training of the join by the engine, and its evaluation."""

from collections.abc import Sequence
from typing import Any

from jmeta.algorithms.catalog import LEARNERS
from jmeta.errors import RunError
from jmeta.mtl import experiment
from jmeta.mtl.settings import Choice, Settings, check, defaults
from jmeta.registry import short
from jmeta.runs.engine import members
from jmeta.runs.engine.area import Area
from jmeta.runs.engine.options import Options

PROGRAMS = {
    "train": "TABLE.csv --task COLUMN --target COLUMN: several tasks of a table of your own share a network; without a "
    "table, meta-train the join: any meta-learner, on problems of several tasks that are trained on jointly",
    "predict": "rows of another table, by what was trained on a table",
    "evaluate": "a trained join on problems of new groups",
}
"""Name and what it shows."""


def of_file(words: Sequence[str]) -> str | None:
    """The module behind words that name a table first, None where they don't; RunError where they name it later."""
    if words[:1] != ["train"]:
        return None
    if words[1:] and not words[1].startswith("-"):
        return "table"
    if any(word.partition("=")[0] == "--target" for word in words):
        raise RunError("the table comes first: jmeta mtl train TABLE.csv --target COLUMN.")
    return None


STUDIES = ("digits", "join", "multimnist", "school", "synthetic", "toy")
"""Programs of the repository, in scripts/mtl."""


def _defaults(choice: Any) -> tuple[Settings, Options]:
    return defaults(choice), Options(log_every=100, save_every=500)


def _run_dir(settings: Settings, options: Options) -> str:
    problems = settings.problems
    return (
        f"runs/join-{short(settings.algorithm)}-{short(problems.dataset)}-{problems.tasks}t{problems.shot}s"
        + members.suffix(settings, options)
    )


AREA = Area(
    kind="join",
    prog="jmeta mtl train",
    description=(Settings.__doc__ or "").partition("\n")[0]
    + " For a table of your own: jmeta mtl train TABLE.csv --help.",
    choice=Choice,
    choices=lambda: {"algorithm": [name for name, row in LEARNERS.items() if not row.ordinary]},
    defaults=_defaults,
    build=experiment.builder,
    run_dir=_run_dir,
    check=lambda settings, options: check(settings),
    presets="mtl",
    evaluate="jmeta mtl evaluate",
)
