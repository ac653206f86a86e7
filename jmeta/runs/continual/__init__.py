"""`jmeta continual`: streams of classes, and sequences of tasks, each met once; programs of a `Config` and a `main`
each."""

from typing import Any

from jmeta.continual import experiment, settings
from jmeta.continual.algorithms.catalog import LEARNERS
from jmeta.continual.online import experiment as online_experiment
from jmeta.continual.online import settings as online_settings
from jmeta.continual.online.catalog import ONLINE
from jmeta.experiment import Build
from jmeta.registry import short, spelled
from jmeta.runs.engine import members
from jmeta.runs.engine.area import Area
from jmeta.runs.engine.options import Options

PROGRAMS = {
    "train": "meta-train a learner of streams (features, and for some a head or a prior), or go through a sequence of "
    "tasks by an online learner",
    "evaluate": "accuracy after streams of more and more new classes, of this or of a run of jmeta train; or on each "
    "task of a sequence",
    "plot": "draw the training, and accuracy against the number of classes",
}
STUDIES = ("mnist", "omniglot")
"""Programs of the repository, in scripts/continual."""


def of_sequence(settings: Any) -> bool:
    """Whether settings are of an online learner, which goes through a sequence of tasks."""
    return isinstance(settings, online_settings.Settings)


def _defaults(choice: Any) -> tuple[Any, Options]:
    online = spelled(choice.algorithm) in ONLINE
    own = online_settings.defaults(choice) if online else settings.defaults(choice)
    return own, Options(log_every=100, save_every=1000)


def _build() -> Build:
    streams, sequence = experiment.builder(), online_experiment.builder()
    return lambda own: (sequence if of_sequence(own) else streams)(own)


def _check(own: Any, options: Options) -> None:
    (online_settings if of_sequence(own) else settings).check(own)


def _run_dir(own: Any, options: Options) -> str:
    of = own.sequence if of_sequence(own) else own.streams
    what = f"{of.sequence}-{of.scenario}" if of_sequence(own) else "streams"
    return f"runs/{short(own.algorithm)}-{short(of.dataset)}-{what}" + members.suffix(own, options)


AREA = Area(
    kind="continual",
    prog="jmeta continual train",
    description="Meta-train a learner of streams, or go through a sequence of tasks by an online learner, and keep it "
    "in a run folder.",
    choice=settings.Choice,
    choices=lambda: {"algorithm": [*LEARNERS, *ONLINE]},
    defaults=_defaults,
    build=_build,
    run_dir=_run_dir,
    check=_check,
    evaluate="jmeta continual evaluate",
)
