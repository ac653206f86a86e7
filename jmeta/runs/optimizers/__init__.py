"""The programs behind `jmeta optimizers`: training of a rule by the engine, and others of a `Config` and a `main`
each."""

from collections.abc import Sequence
from typing import Any

from jmeta.optimizers import catalog, experiment
from jmeta.optimizers.settings import Choice, Settings, check, defaults
from jmeta.registry import short
from jmeta.runs.engine import members
from jmeta.runs.engine.area import Area
from jmeta.runs.engine.options import Options

PROGRAMS = {
    "train": "learn an optimizer, which `jmeta.optimizers.load` then gives to any Optax user",
    "evaluate": "loss on new problems, of the run's kind or of another, beside tuned rules and the best that there is",
    "plot": "draw the loss against steps beside all of these, and the training curve",
}
"""Name and what it shows."""

STUDIES: Sequence[str] = ("exact", "transfer")
"""Programs of the repository, in scripts/optimizers."""


def _defaults(choice: Any) -> tuple[Settings, Options]:
    return defaults(choice), Options(log_every=20, save_every=200)


def _run_dir(settings: Settings, options: Options) -> str:
    data = f"-{short(settings.problems.dataset)}" if hasattr(settings.problems, "dataset") else ""
    return (
        f"runs/optimizers-{short(settings.rule)}-{short(settings.problem)}{data}-{short(settings.estimator)}"
        + members.suffix(settings, options)
    )


AREA = Area(
    kind="optimizers",
    prog="jmeta optimizers train",
    description=(Settings.__doc__ or "").partition("\n")[0],
    choice=Choice,
    choices=lambda: {"rule": catalog.RULES, "problem": catalog.PROBLEMS, "estimator": catalog.ESTIMATORS},
    defaults=_defaults,
    build=experiment.builder,
    run_dir=_run_dir,
    check=lambda settings, options: check(settings),
    evaluate="jmeta optimizers evaluate",
    shaped_by="--rule, --units and --rates",
)
