"""A trained learner out of its run folder, at any way and number of inner steps."""

import reprlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jmeta.datasets.look import Look
from jmeta.errors import RunError
from jmeta.registry import by_files, is_command
from jmeta.runs.engine import folder
from jmeta.runs.engine.area import load_run
from jmeta.runs.engine.checkpoints import restored
from jmeta.runs.few_shot.experiment import AREA, eval_steps, learner_of, starting
from jmeta.runs.few_shot.settings import Settings
from jmeta.settings import INT32, typed
from jmeta.tasks import catalog as sources
from jmeta.types import Learner, Params

_FACTS = {
    "protocol": str, "split_hash": str, "checksum": str, "input_shape": tuple[int, ...], "train_classes": int | None,
}  # fmt: skip


class Trained(NamedTuple):
    """What evaluation and prediction need of a run.

    Attributes:
        settings: the run's.
        facts: what else its `config.json` knows: `protocol`, `split_hash`, `checksum`, `input_shape`, ...
        step: of the checkpoint.
        params: meta-parameters, for the way of training.
        learner_of: `(inner_steps, way) -> Learner`.
    """

    settings: Settings
    facts: Mapping[str, Any]
    step: int
    params: Params
    learner_of: Callable[[Any, int], Learner]

    @property
    def inner_steps(self) -> int:
        """Of evaluation."""
        return eval_steps(self.settings.learner)

    @property
    def look(self) -> Look:
        """How the pictures looked that it was trained on.

        Runs of older versions don't say it: theirs were drawings of light ink if they were gray, else photographs.
        """
        height, width, channels = self.facts["input_shape"]
        kept = self.facts.get("look") or {"ink": "light" if channels == 1 else "none", "files": None}
        return Look((height, width), channels, kept["ink"], kept["files"])


def load_trained(run_dir: str | Path, checkpoint: str = "best", *, trust_code: bool = False) -> Trained:
    """Read a run folder, at the checkpoint that is `best` by validation or the `newest`.

    Args:
        run_dir: the folder.
        checkpoint: which.
        trust_code: whether to run the code that the folder names, see `load_run`.

    Raises:
        RunError: if it is no run folder of few-shot learning, has no checkpoint, or is damaged; or names code to run.
    """
    path = Path(run_dir)
    settings, facts = load_settings(path, trust_code=trust_code)
    with by_files(trust_code):
        init = starting(settings, facts["train_classes"], tuple(facts["input_shape"]))
        step, state = restored(path, init, checkpoint)
    return Trained(settings, facts, step, state.params, lambda steps, way: learner_of(settings, steps, way=way))


def load_settings(run_dir: Path, *, trust_code: bool = False) -> tuple[Settings, dict[str, Any]]:
    """The settings of a run folder, and what else is known of the run; arguments and errors as `load_trained`."""
    settings, _, facts = load_run(AREA, run_dir, trust_code=trust_code)
    if not (trust_code or is_command()):  # whoever reads its data later is not asked again
        with by_files(trust_code):
            sources.row(settings.tasks.dataset)
    missing = [name for name in _FACTS if name not in facts]
    if missing:
        path = run_dir / folder.CONFIG
        raise RunError(f"{path} lacks {', '.join(missing)}: it was made by another version, or changed by hand.")
    where = f"{run_dir / folder.CONFIG}, in its facts,"
    for name, kind in _FACTS.items():
        typed(name, facts[name], kind, where)
    if look := typed("look", facts.get("look"), dict | None, where):
        typed("ink", look.get("ink"), str, where)
        typed("files", look.get("files"), str | None, where)
    sizes = [*facts["input_shape"], *([] if facts["train_classes"] is None else [facts["train_classes"]])]
    if not facts["input_shape"] or not all(1 <= size <= INT32 for size in sizes):
        raise RunError(f"{where} has sizes {reprlib.repr(sizes)}, which must be 1 or more each: correct them.")
    return settings, facts


def at_way(params: Params, trained_way: int, way: int) -> Params:
    """Parameters for another number of classes.

    The columns of the head stand for labels, which training has made exchangeable. For fewer classes the first columns
    are kept; for more, the added ones start at the mean of the trained ones. The leaves of a head are those below a
    "head" and with `trained_way` last.
    """
    if way == trained_way:
        return params

    def change(path: Any, leaf: Array) -> Array:
        names = [jax.tree_util.keystr((part,), simple=True) for part in path]
        if "head" not in names or leaf.shape[-1:] != (trained_way,):
            return leaf
        mean = jnp.mean(leaf, axis=-1, keepdims=True)
        added = jnp.broadcast_to(mean, (*leaf.shape[:-1], max(way - trained_way, 0)))
        return jnp.concatenate([leaf[..., :way], added], axis=-1)

    return jax.tree_util.tree_map_with_path(change, params)
