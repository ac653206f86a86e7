"""A trained join out of its run folder."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

from jmeta.mtl import experiment
from jmeta.mtl.experiment import Data
from jmeta.mtl.settings import Settings
from jmeta.registry import by_files
from jmeta.runs.engine.area import load_run
from jmeta.runs.engine.checkpoints import restored
from jmeta.runs.mtl import AREA
from jmeta.types import Params


class Trained(NamedTuple):
    """What evaluation needs of a run: its settings, its data, the step of its checkpoint, and meta-parameters."""

    settings: Settings
    data: Data
    step: int
    params: Params


def load_trained(
    run_dir: Path, checkpoint: str = "best", *, data_dir: str | None = None, trust_code: bool = False
) -> Trained:
    """Read a run folder, at the checkpoint that is `best` by validation or the `newest`.

    Args:
        run_dir: the folder.
        checkpoint: which.
        data_dir: the folder of data sets; None for the run's.
        trust_code: whether to run the code that the folder names, see `load_run`.

    Raises:
        RunError: if it is no run folder of the join, has no checkpoint, or is damaged; or names code to run; or its
            data are not there.
    """
    settings = load_run(AREA, run_dir, trust_code=trust_code).settings
    problems = settings.problems
    if data_dir is not None:
        problems = dataclasses.replace(problems, data_dir=data_dir)
    with by_files(trust_code):  # from Python too, a folder's data set is no code to run
        data = experiment.load_data(problems)
    step, state = restored(run_dir, experiment.experiment(settings, data).init, checkpoint)
    return Trained(settings, data, step, state.params)


def loaded(run_dir: Path, checkpoint: str, *, trust_code: bool) -> dict[str, Any]:
    """What `jmeta.load` returns."""
    settings, data, step, params = load_trained(run_dir, checkpoint, trust_code=trust_code)
    learner = experiment.trained_learner(settings)
    return {"learner": learner, "params": params, "settings": settings, "step": step, "facts": data.facts}
