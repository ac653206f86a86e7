"""A learned rule out of its run folder."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

from jmeta.active import experiment
from jmeta.active.experiment import Data
from jmeta.active.settings import Settings
from jmeta.registry import by_files
from jmeta.runs.active import AREA
from jmeta.runs.active.encoder import encoded
from jmeta.runs.engine.area import load_run
from jmeta.runs.engine.checkpoints import restored
from jmeta.types import Params


class Trained(NamedTuple):
    """What evaluation needs of a run: its settings, its data, the step of its checkpoint, and parameters."""

    settings: Settings
    data: Data
    step: int
    params: Params


def load_trained(
    run_dir: Path, checkpoint: str = "best", *, data_dir: str | None = None, trust_code: bool = False
) -> Trained:
    """Read a run folder, at the checkpoint that is `best` by validation or the `newest`.

    Raises:
        RunError: if it is no run folder of this area, has no checkpoint, or is damaged; or names code to run; or its
            data or its encoder are not there.
    """
    settings = load_run(AREA, run_dir, trust_code=trust_code).settings
    pools = settings.pools if data_dir is None else dataclasses.replace(settings.pools, data_dir=data_dir)
    with by_files(trust_code):
        data = experiment.load_data(pools, encoded)
    step, state = restored(run_dir, experiment.experiment(settings, data).init, checkpoint)
    return Trained(settings, data, step, state.params)


def loaded(run_dir: Path, checkpoint: str, *, trust_code: bool) -> dict[str, Any]:
    """What `jmeta.load` returns: the learner, and parameters of it and of the rule."""
    settings, data, step, params = load_trained(run_dir, checkpoint, trust_code=trust_code)
    learner = experiment.learner_of(settings)
    return {"learner": learner, "params": params, "settings": settings, "step": step, "facts": data.facts}
