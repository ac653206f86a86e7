"""The programs behind `jmeta active`: training of a learned rule by the engine, and others of a `Config` and a `main`
each."""

from collections.abc import Sequence
from typing import Any

from jmeta.active import experiment
from jmeta.active.settings import Choice, Settings, check, defaults
from jmeta.algorithms.catalog import LEARNERS
from jmeta.registry import short
from jmeta.runs.active.encoder import encoded
from jmeta.runs.engine import members
from jmeta.runs.engine.area import Area
from jmeta.runs.engine.options import Options

PROGRAMS = {
    "train": "learn what to ask: a rule that chooses labels of a pool, on an encoder of `jmeta train` or on its own",
    "evaluate": "accuracy by every rule on the same new pools, beside the learned one and an oracle",
    "plot": "draw accuracy against labels, and the training curve",
    "suggest": "which of your own pictures to label next, by a run of `jmeta train`",
}
"""Name and what it shows."""

STUDIES: Sequence[str] = ("exact", "few_shot", "optimization")
"""Programs of the repository, in scripts/active."""


def _defaults(choice: Any) -> tuple[Settings, Options]:
    return defaults(choice), Options(log_every=50, save_every=250)


def _run_dir(settings: Settings, options: Options) -> str:
    pools = settings.pools
    return (
        f"runs/active-{short(settings.algorithm)}-{short(pools.dataset)}-{pools.way}w{pools.labels}l"
        + members.suffix(settings, options)
    )


AREA = Area(
    kind="active",
    prog="jmeta active train",
    description=(Settings.__doc__ or "").partition("\n")[0],
    choice=Choice,
    choices=lambda: {"algorithm": [name for name, row in LEARNERS.items() if not row.ordinary]},
    defaults=_defaults,
    build=lambda: experiment.builder(encoded),
    run_dir=_run_dir,
    check=lambda settings, options: check(settings),
    evaluate="jmeta active evaluate",
)
