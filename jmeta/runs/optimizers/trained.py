"""A learned rule out of its run folder."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jmeta.optimizers import experiment
from jmeta.optimizers.settings import Settings
from jmeta.registry import by_files
from jmeta.runs.engine.area import load_run
from jmeta.runs.engine.checkpoints import params_of, restored
from jmeta.runs.engine.leaves import name_of
from jmeta.runs.optimizers import AREA
from jmeta.settings import replaced
from jmeta.types import Params


class Trained(NamedTuple):
    """What evaluation needs of a run: its settings, the step of its checkpoint, and the rule's parameters."""

    settings: Settings
    step: int
    theta: Params


def load_trained(
    run_dir: Path, checkpoint: str = "best", *, data_dir: str | None = None, trust_code: bool = False
) -> Trained:
    """Read a run folder, at the checkpoint that is `best` by validation or the `newest`.

    Raises:
        RunError: if it is no run folder of this area, has no checkpoint, or is damaged; or names code to run; or its
            data are not there.
    """
    settings = load_run(AREA, run_dir, trust_code=trust_code).settings
    if data_dir is not None and hasattr(settings.problems, "data_dir"):
        settings = replaced(settings, {"data_dir": data_dir})
    with by_files(trust_code):
        data = experiment.load_data(settings.problem, settings.problems)
        step, state = restored(run_dir, experiment.experiment(settings, data).init, checkpoint)
    return Trained(settings, step, state.params)


def optimizer(run_dir: Path, checkpoint: str = "best", *, trust_code: bool = False) -> optax.GradientTransformation:
    """The rule as an Optax optimizer; its data are needed only where theta has the form of what it was trained on.

    Raises:
        RunError: as `load_trained`.
    """
    settings = load_run(AREA, run_dir, trust_code=trust_code).settings
    with by_files(trust_code):
        rule = experiment.rule_of(settings)
    like = jax.eval_shape(lambda key: rule.init(key, {}), jax.random.key(0))
    paths, structure = jax.tree_util.tree_flatten_with_path(like)
    kept = params_of(run_dir, checkpoint)
    names = [name_of(path) for path, _ in paths]
    if {*names} == kept.keys() and all(kept[n].shape == a.shape for n, (_, a) in zip(names, paths, strict=True)):
        return rule.make(jax.tree.unflatten(structure, [jnp.asarray(kept[name]) for name in names]))
    return rule.make(load_trained(run_dir, checkpoint, trust_code=trust_code).theta)


def loaded(run_dir: Path, checkpoint: str, *, trust_code: bool) -> dict[str, Any]:
    """What `jmeta.load` returns: the rule as `learner`, and its parameters."""
    settings, step, theta = load_trained(run_dir, checkpoint, trust_code=trust_code)
    rule = experiment.rule_of(settings)
    return {"learner": rule, "params": theta, "settings": settings, "step": step, "facts": {}}
