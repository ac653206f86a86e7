"""The programs behind `jmeta rl`: training by the engine, and others of a `Config` and a `main` each."""

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from jmeta.registry import short
from jmeta.rl import experiment
from jmeta.rl.envs.catalog import ENVIRONMENTS
from jmeta.rl.settings import START, Choice, Settings, check, defaults
from jmeta.runs.engine import area as areas
from jmeta.runs.engine.area import Area
from jmeta.runs.engine.options import Options
from jmeta.runs.engine.warm_start import as_they_are

PROGRAMS = {
    "train": "train RL^2 or MAML on a family of environments, one seed or several in one program",
    "evaluate": "what a trained agent gets on new tasks, beside the exact optimum and classic strategies",
    "plot": "draw its training, its returns as it learns a task, and paths of navigation",
}
STUDIES = ("asking", "estimators")  # of the repository, in scripts/rl


def _defaults(choice: Any) -> tuple[Settings, Options]:
    settings, own = defaults(choice), ENVIRONMENTS.get(choice.env).start.get(choice.algorithm, {})
    return settings, Options(log_every=own.get("log_every", 10), save_every=own.get("save_every", 100))


def _run_dir(settings: Settings, options: Options) -> str:
    return f"runs/{settings.algorithm}-{short(settings.env)}"


def _fitted(found: Mapping[str, np.ndarray], wanted: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray | None]:
    """What another run knows of its rewards counts as one batch, so that other rewards are soon known as well."""
    once = lambda name: name.startswith("paid/") and name.endswith("/batches")
    return as_they_are({n: np.minimum(array, 1) if once(n) else array for n, array in found.items()}, wanted)


AREA = Area(
    kind="rl",
    prog="jmeta rl train",
    description=Settings.__doc__.partition("\n")[0],  # pyright: ignore[reportOptionalMemberAccess]
    choice=Choice,
    choices=lambda: {"algorithm": START, "env": ENVIRONMENTS},
    defaults=_defaults,
    build=lambda: experiment.build,
    run_dir=_run_dir,
    check=lambda settings, options: check(settings),
    presets="rl",
    evaluate="jmeta rl evaluate",
    light=lambda settings: True,
    fit=_fitted,
    shaped_by="--algorithm, --policy and --units, and an --env with the same observations and actions",
)


train = functools.partial(areas.train, AREA)
