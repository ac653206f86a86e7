"""`jmeta generative`: new drawings after a few of a class; programs of a `Config` and a `main` each."""

from collections.abc import Sequence

from jmeta.generative import experiment, settings
from jmeta.generative.catalog import GENERATORS
from jmeta.registry import short
from jmeta.runs.engine import members
from jmeta.runs.engine.area import Area
from jmeta.runs.engine.options import Options

PROGRAMS = {
    "train": "learn to draw: what new examples of a class are like, after none to a few of it",
    "evaluate": "density of new classes' drawings after none to ten of each, beside what is known without learning",
    "sample": "draw new examples of a class of your own, after a folder of a few, as pictures",
    "plot": "draw a page of new classes with new examples of each, and the training curve",
}
"""Name and what it shows."""

STUDIES: Sequence[str] = ("completion", "omniglot", "processes")
"""Programs of the repository, in scripts/generative."""


def _run_dir(own: settings.Settings, options: Options) -> str:
    return f"runs/{short(own.algorithm)}-{short(own.drawings.dataset)}" + members.suffix(own, options)


AREA = Area(
    kind="generative",
    prog="jmeta generative train",
    description="Train what draws new examples of a class after a few of it, and keep it in a run folder.",
    choice=settings.Choice,
    choices=lambda: {"algorithm": GENERATORS},
    defaults=lambda choice: (settings.defaults(choice), Options(log_every=50, save_every=500)),
    build=experiment.builder,
    run_dir=_run_dir,
    evaluate="jmeta generative evaluate",
    shaped_by="--algorithm, --features and --layers",
)
