"""A trained learner out of its run folder, at any way and number of inner steps."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jmeta import training
from jmeta.errors import RunError, unknown
from jmeta.runs import build, checkpoints, folder, learners, record
from jmeta.runs.config import TrainConfig
from jmeta.types import Learner, Params


class Trained(NamedTuple):
    """What evaluation and prediction need of a run.

    Attributes:
        config: the run's settings.
        stored: all that its `config.json` holds.
        step: of the checkpoint.
        params: meta-parameters, for `config.way`.
        learner_of: `(inner_steps, way) -> Learner`.
    """

    config: TrainConfig
    stored: dict[str, Any]
    step: int
    params: Params
    learner_of: Callable[[Any, int], Learner]


def load_trained(run_dir: str | Path, checkpoint: str = "best") -> Trained:
    """Read a run folder.

    Args:
        run_dir: the folder.
        checkpoint: `best` by validation, or `newest`.

    Raises:
        RunError: if it is no run folder, has no checkpoint, or is damaged.
    """
    if checkpoint not in ("best", "newest"):
        raise unknown("checkpoint", checkpoint, ("best", "newest"))
    path = Path(run_dir)
    config, stored = record.load(path)
    kept = path / folder.CHECKPOINTS
    if not kept.is_dir():
        raise _no_checkpoint(path)
    learner = learners.training_learner(config, stored.get("train_classes"))
    shape = tuple(stored["input_shape"])
    like = jax.eval_shape(
        lambda: training.init_state(
            learner, build.outer_optimizer(config), jax.random.key(0), build.sample_input(config, shape)
        )
    )
    with checkpoints.opened(kept, read_only=True) as found:
        step = checkpoints.best(found) if checkpoint == "best" else checkpoints.newest(found)
        if step is None:
            raise _no_checkpoint(path)
        state = checkpoints.restore(found, step, like)
    return Trained(
        config, stored, step, state.params, lambda inner_steps, way: learners.learner_of(config, inner_steps, way=way)
    )


def _no_checkpoint(path: Path) -> RunError:
    return RunError(f"{path} has no checkpoint yet: wait for its first, or train with a smaller --save-every.")


def at_way(params: Params, trained_way: int, way: int) -> Params:
    """Parameters for another number of classes.

    The columns of the head stand for labels, which training has made exchangeable. For fewer classes the first columns
    are kept; for more, the added ones start at the mean of the trained ones.

    Args:
        params: meta-parameters; the leaves of a head are those below a "head" and with `trained_way` last.
        trained_way: their number of columns.
        way: the number wanted.
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
