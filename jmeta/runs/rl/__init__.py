"""The programs behind `jmeta rl`: training by the engine, and others of a `Config` and a `main` each."""

import functools
from pathlib import Path
from typing import Any

from jmeta.errors import RunError
from jmeta.registry import short
from jmeta.rl import experiment
from jmeta.rl.envs.catalog import ENVIRONMENTS
from jmeta.rl.settings import START, Choice, Settings, check, defaults, length_decides
from jmeta.runs.engine import area as areas
from jmeta.runs.engine import record
from jmeta.runs.engine.area import Area
from jmeta.runs.engine.options import Options

PROGRAMS = {
    "train": "train RL^2 or MAML on a family of environments, one seed or several in one program",
    "evaluate": "what a trained agent gets on new tasks, beside the exact optimum and classic strategies",
    "plot": "draw its training, its returns as it learns a task, and paths of navigation",
}
STUDIES = ("estimators",)  # of the repository, in scripts/rl


def _defaults(choice: Any) -> tuple[Settings, Options]:
    settings, own = defaults(choice), ENVIRONMENTS.get(choice.env).start.get(choice.algorithm, {})
    return settings, Options(log_every=own.get("log_every", 10), save_every=own.get("save_every", 100))


def _run_dir(settings: Settings, options: Options) -> str:
    return f"runs/{settings.algorithm}-{short(settings.env)}"


def _check(settings: Settings, options: Options) -> None:
    """Refuse values that do not go together, and a run of another length where the length decides what came before."""
    check(settings)
    run_dir = options.run_dir or _run_dir(settings, options)
    stored = record.load_any(Path(run_dir)) if options.resume and length_decides(settings) else None
    before, now = (None if stored is None else stored.values.get("updates")), settings.training.updates
    if before is not None and before != now:
        raise RunError(
            f"{run_dir} belongs to another configuration (--updates {before}, not {now}), over which its rate or "
            "entropy falls: resume it with its own settings, or choose another --run-dir."
        )


AREA = Area(
    kind="rl",
    prog="jmeta rl train",
    description=Settings.__doc__.partition("\n")[0],  # pyright: ignore[reportOptionalMemberAccess]
    choice=Choice,
    choices=lambda: {"algorithm": START, "env": ENVIRONMENTS},
    defaults=_defaults,
    build=lambda: experiment.build,
    run_dir=_run_dir,
    check=_check,
    presets="rl",
    evaluate="jmeta rl evaluate",
    light=lambda settings: True,
)


train = functools.partial(areas.train, AREA)
