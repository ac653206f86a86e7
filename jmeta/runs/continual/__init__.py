"""`jmeta continual`: streams of classes, each seen once; programs of a `Config` and a `main` each."""

from typing import Any

from jmeta.continual import experiment
from jmeta.continual.algorithms.catalog import LEARNERS
from jmeta.continual.settings import Choice, Settings, check, defaults
from jmeta.registry import short
from jmeta.runs.engine import members
from jmeta.runs.engine.area import Area
from jmeta.runs.engine.options import Options

PROGRAMS = {
    "train": "meta-train a learner of streams: features, and for some a head or a prior",
    "evaluate": "accuracy after streams of more and more new classes, of this or of a run of jmeta train",
    "plot": "draw the training, and accuracy against the number of classes",
}
STUDIES = ("omniglot",)
"""Programs of the repository, in scripts/continual."""


def _defaults(choice: Any) -> tuple[Settings, Options]:
    return defaults(choice), Options(log_every=100, save_every=1000)


def _run_dir(settings: Settings, options: Options) -> str:
    return f"runs/{short(settings.algorithm)}-{short(settings.streams.dataset)}-streams" + members.suffix(
        settings, options
    )


AREA = Area(
    kind="continual",
    prog="jmeta continual train",
    description=(Settings.__doc__ or "").partition("\n")[0],
    choice=Choice,
    choices=lambda: {"algorithm": LEARNERS},
    defaults=_defaults,
    build=experiment.builder,
    run_dir=_run_dir,
    check=lambda settings, options: check(settings),
    evaluate="jmeta continual evaluate",
)
