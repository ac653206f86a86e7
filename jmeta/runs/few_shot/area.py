"""Few-shot runs for the command line, and the same for Python."""

import functools

from jmeta.algorithms.catalog import LEARNERS
from jmeta.runs.engine import area as areas
from jmeta.runs.engine.area import Area
from jmeta.runs.few_shot.experiment import builder
from jmeta.runs.few_shot.settings import KIND, Choice, Settings, check, defaults, run_dir
from jmeta.tasks import catalog


def _is_light(settings: Settings) -> bool:
    return catalog.row(settings.tasks.dataset).light


AREA = Area(
    kind=KIND,
    prog="jmeta train",
    description=(
        "Meta-train a learner and keep it in a run folder. Without flags: MAML on glyphs, 5-way 1-shot. --preset NAME "
        "starts from a published setting, --config FILE from a file, and a flag beside it wins. Ctrl-C or SIGTERM "
        "saves and stops; the same command with --resume goes on as if nothing had happened. What is shown is what "
        "the algorithm has: ask with --algorithm NAME for that of another."
    ),
    choice=Choice,
    choices=lambda: {"algorithm": LEARNERS},
    defaults=defaults,
    build=builder,
    run_dir=run_dir,
    check=check,
    presets="few_shot",
    evaluate="jmeta evaluate",
    light=_is_light,
)


from_preset = functools.partial(areas.from_preset, AREA)
train = functools.partial(areas.train, AREA)
