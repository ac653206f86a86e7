"""A generator out of its run folder."""

from pathlib import Path
from typing import Any, NamedTuple

from jmeta.datasets.look import Look
from jmeta.errors import RunError
from jmeta.generative import experiment
from jmeta.generative.settings import Settings
from jmeta.generative.types import Generator
from jmeta.registry import by_files
from jmeta.runs.engine.area import load_run
from jmeta.runs.engine.checkpoints import restored
from jmeta.runs.generative import AREA
from jmeta.settings import replaced
from jmeta.types import Params


class Trained(NamedTuple):
    """A run: its settings, what else it knows, the step of its checkpoint, the generator, and its parameters."""

    settings: Settings
    facts: dict[str, Any]
    step: int
    generator: Generator
    params: Params

    @property
    def look(self) -> Look | None:
        """How the pictures looked that it was trained on; None for a data set that says nothing of it."""
        kept = self.facts.get("look")
        height, width, channels = self.facts["input_shape"]
        return None if kept is None else Look((height, width), channels, kept["ink"], kept["files"])


def load_trained(run_dir: Path, checkpoint: str = "best", *, trust_code: bool = False) -> Trained:
    """Read a run folder, at the checkpoint that is `best` by validation or the `newest`. Its data are not needed.

    Raises:
        RunError: if it is no run folder of this area, has no checkpoint, or is damaged; or names code to run.
    """
    settings, _, facts = load_run(AREA, run_dir, trust_code=trust_code)
    with by_files(trust_code):
        generator = experiment.generator_of(settings, facts["input_shape"])
        step, state = restored(run_dir, experiment.starting(settings, facts["input_shape"]), checkpoint)
    return Trained(settings, facts, step, generator, state.params)


def data_of(trained: Trained, run_dir: str, data_dir: str | None = None) -> experiment.Data:
    """The data of a run, from its own folder or another; RunError if these are other classes."""
    drawings = trained.settings.drawings
    data = experiment.load_data(drawings if data_dir is None else replaced(drawings, {"data_dir": data_dir}))
    if data.facts["split_hash"] != trained.facts["split_hash"]:
        raise RunError(f"{run_dir} was trained on other classes than --split {drawings.split} has: restore its data.")
    return data


def loaded(run_dir: Path, checkpoint: str, *, trust_code: bool) -> dict[str, Any]:
    """What `jmeta.load` returns: the generator as `learner`, and its parameters."""
    settings, facts, step, generator, params = load_trained(run_dir, checkpoint, trust_code=trust_code)
    return {"learner": generator, "params": params, "settings": settings, "step": step, "facts": facts}
