"""Trained agents out of a run folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jmeta.errors import RunError
from jmeta.rl.agent import Agent
from jmeta.rl.experiment import agent_of, env_of
from jmeta.rl.settings import Settings
from jmeta.rl.types import Env
from jmeta.runs.engine import folder, keeping, record
from jmeta.runs.engine.area import load_group, load_run
from jmeta.runs.engine.checkpoints import restored
from jmeta.runs.rl import AREA
from jmeta.types import Params


class Trained(NamedTuple):
    """What evaluation and pictures need of a run."""

    settings: Settings  # of all seeds
    env: Env
    agent: Agent
    params: Mapping[Path, Params]  # of each run folder, in the order of seeds; those that diverged are left out
    steps: list[int]  # of their checkpoints, in the same order


def load(run_dir: str | Path, checkpoint: str, *, trust_code: bool = False) -> Trained:
    """A trained run, or the seeds of a group, at the best or the newest checkpoint.

    Args:
        run_dir: the folder.
        checkpoint: which.
        trust_code: whether to run the code that the folder names, see `load_run`.

    Raises:
        RunError: if it is no run folder of this area, holds runs of different settings, has no checkpoint yet, or is
            damaged; or names code to run.
    """
    path = Path(run_dir)
    if (path / folder.GROUP).exists():
        loaded = load_group(AREA, path, trust_code=trust_code)
        names, diverged = record.members_of(path), keeping.known_to_diverge(path)
        if loaded.options.sweep:
            swept = ", ".join(loaded.options.sweep)
            raise RunError(f"{path} holds runs of several settings ({swept}): name one, as {path / names[0]}.")
        folders = [path / name for name in names if name not in diverged]
    else:
        loaded, folders = load_run(AREA, path, trust_code=trust_code), [path]
    for own in folders:
        load_run(AREA, own, trust_code=trust_code)  # which refuses a folder that was changed by hand
    settings = loaded.settings
    env = env_of(settings.env, settings.world)
    agent = agent_of(settings, env)
    found = {own: restored(own, agent.init, checkpoint) for own in folders}
    params = {own: state.params for own, (_, state) in found.items()}
    return Trained(settings, env, agent, params, [step for step, _ in found.values()])


def loaded(run_dir: Path, checkpoint: str, *, trust_code: bool) -> dict[str, Any]:
    """What `jmeta.load` returns."""
    trained = load(run_dir, checkpoint, trust_code=trust_code)
    (params,), (step,) = trained.params.values(), trained.steps
    facts = record.load(run_dir).facts
    return {"learner": trained.agent, "params": params, "settings": trained.settings, "step": step, "facts": facts}
