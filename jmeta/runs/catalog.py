"""Everything that has a name on the command line, in tables, and experiments by name."""

import dataclasses
import inspect
import typing
from collections.abc import Sequence
from typing import Any

import tyro

from jmeta.algorithms.catalog import LEARNERS
from jmeta.algorithms.row import own_row
from jmeta.bayes.catalog import BAYESIAN, KERNELS
from jmeta.continual.algorithms.catalog import LEARNERS as STREAM_LEARNERS
from jmeta.continual.online import ONLINE
from jmeta.datasets import catalog as datasets
from jmeta.errors import RunError, unknown
from jmeta.generative.catalog import GENERATORS
from jmeta.nets.catalog import NETWORKS
from jmeta.optimizers.catalog import ESTIMATORS, PROBLEMS, RULES
from jmeta.registry import Registry, short
from jmeta.report.tables import show as show_table
from jmeta.rl.envs.catalog import ENVIRONMENTS
from jmeta.runs import active, bayes, continual, few_shot, generative, mtl, optimizers, rl
from jmeta.runs.engine import area as areas
from jmeta.runs.engine.area import Area
from jmeta.runs.engine.command import train_command
from jmeta.runs.engine.members import suffix
from jmeta.runs.engine.options import Options
from jmeta.runs.engine.words import read_words
from jmeta.tasks.catalog import TASKS


@dataclasses.dataclass(frozen=True)
class NoChoice:
    """Nothing decides which settings there are."""


def own_area(name: str, found: Any) -> Area:
    """A user's experiment, as the command line trains it.

    It is an `Area`, or `build(settings: S) -> Experiment`, with S a frozen dataclass of flags that all have defaults.
    """
    if isinstance(found, Area):
        return found
    parameters = list(inspect.signature(found).parameters) if inspect.isfunction(found) else []
    settings = typing.get_type_hints(found).get(parameters[0]) if parameters else None
    if settings is None or len(parameters) != 1 or not dataclasses.is_dataclass(settings):
        raise RunError(
            f"{name} must be an Area, or a function build(settings: S) -> Experiment with S a dataclass, got a "
            f"{type(found).__name__}: correct it."
        )
    kind: Any = settings
    return Area(
        kind=name,
        prog=f"jmeta run {name}",
        description=inspect.getdoc(found) or f"Train {name}.",
        choice=NoChoice,
        defaults=lambda choice: (kind(), Options()),
        build=lambda: found,
        run_dir=lambda settings, options: f"runs/{short(name)}{suffix(settings, options)}",
    )


EXPERIMENTS = Registry[Area](
    "experiment",
    {
        "few-shot": few_shot.AREA,
        "rl": rl.AREA,
        "join": mtl.AREA,
        "active": active.AREA,
        "bayes": bayes.AREA,
        "continual": continual.AREA,
        "optimizers": optimizers.AREA,
        "generative": generative.AREA,
    },
    "jmeta.experiments",
    own_area,
)
KINDS: dict[str, tuple[Registry[Any], str, str]] = {
    "learners": (LEARNERS, "--algorithm", "what it learns"),
    "bayesian-learners": (Registry("learner", BAYESIAN, "", own_row), "jmeta bayes --algorithm", "what it learns"),
    "kernels": (KERNELS, "--kernel", "what functions it is of"),
    "stream-learners": (STREAM_LEARNERS, "jmeta continual --algorithm", "what it learns"),
    "online-learners": (ONLINE, "jmeta continual --algorithm", "what it does"),
    "generators": (GENERATORS, "jmeta generative --algorithm", "what it makes"),
    "rules": (RULES, "jmeta optimizers --rule", "what is learned"),
    "problems": (PROBLEMS, "jmeta optimizers --problem", "what is optimized"),
    "estimators": (ESTIMATORS, "jmeta optimizers --estimator", "how the meta-gradient is found"),
    "networks": (NETWORKS, "--network", "what it is"),
    "tasks": (TASKS, "--dataset", "what its tasks are"),
    "datasets": (datasets.DATASETS, "--dataset", "what it is"),
    "environments": (ENVIRONMENTS, "--env", "what it is"),
    "experiments": (EXPERIMENTS, "jmeta run", "what is trained"),
}
"""Of each kind its rows, how a name is given, and what is said of it."""


def rows(kind: str) -> list[tuple[str, str, str]]:
    """Name, what it is and its paper of all rows of a kind."""
    if kind not in KINDS:
        raise unknown("kind of rows", kind, KINDS)
    registry = KINDS[kind][0]
    if registry is EXPERIMENTS:
        return [(name, row.description.partition(".")[0], "") for name, row in registry.items()]
    named = datasets.shown if registry is datasets.DATASETS else str
    own = [(named(name), row.what, row.paper) for name, row in registry.items()]
    return own + [(f"{prefix}:NAME", family.what, family.paper) for prefix, family in registry.families.items()]


def markdown(kind: str) -> str:
    """The rows of a kind as a table in Markdown, as the documentation has it."""
    _, flag, what = KINDS[kind]
    lines = [f"| `{flag}` | {what} | from |", "|---|---|---|"]
    for name, row, paper in rows(kind):
        authors, _, rest = paper.partition(",")
        link = f"[{authors}]({rest.rpartition(' ')[2]})" if paper else ""
        lines.append(f"| `{name}` | {row} | {link} |")
    return "\n".join(lines) + "\n"


@dataclasses.dataclass(frozen=True)
class ListConfig:
    """List what has a name: learners, bayesian-learners, stream-learners, online-learners, kernels, generators, rules,
    problems, estimators, networks, tasks, datasets, environments or experiments.

    Files and installed packages have more: FILE.py:NAME and MODULE:NAME are names too, and packages have entry points
    of the groups jmeta.learners, jmeta.networks and so on.

    Attributes:
        kind: what to list, such as learners; without it, what there is to list.
        markdown: print the table in Markdown.
    """

    kind: tyro.conf.Positional[str | None] = None
    markdown: bool = False


def show(words: Sequence[str]) -> int:
    """`jmeta list [KIND] [--markdown]`."""
    config = read_words(ListConfig, words, prog="jmeta list")
    if config.kind is None:
        every = [(kind, flag, str(len(rows(kind)))) for kind, (_, flag, _) in KINDS.items()]
        show_table(["jmeta list", "for", "names"], every)
        return 0
    found = rows(config.kind)
    if config.markdown:
        print(markdown(config.kind), end="")
    else:
        show_table([*KINDS[config.kind][1:], "from"], found)
    return 0


def presets(words: Sequence[str]) -> int:
    """`jmeta presets`."""
    if list(words) in (["--help"], ["-h"]):
        print("usage: jmeta presets\n\nList the published settings that --preset knows, and where each is from.")
        return 0
    if words:
        raise RunError(f"jmeta presets takes no arguments, got {' '.join(words)}: leave them out.")
    for area in (few_shot.AREA, rl.AREA):
        print(f"{area.prog} --preset")
        for name, preset in areas.presets(area).items():
            print(f"  {name:28} {preset['source']}")
    return 0


def run(words: Sequence[str]) -> int:
    """`jmeta run NAME`."""
    if not words or words[0].startswith("-"):
        raise RunError("jmeta run takes the name of an experiment first: give one of `jmeta list experiments`.")
    return train_command(EXPERIMENTS.get(words[0]), words[1:])
