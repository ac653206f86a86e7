"""A trained state out of its run folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from jax import Array

from jmeta.errors import RunError, unknown
from jmeta.runs.engine import checkpoints, folder


def restored(run_dir: Path, init: Callable[[Array], Any], checkpoint: str = "best") -> tuple[int, Any]:
    """Step and state, like that of `init(key)`, of a single run's checkpoint: `best` by validation, or `newest`."""
    if checkpoint not in ("best", "newest"):
        raise unknown("checkpoint", checkpoint, ("best", "newest"))
    kept = run_dir / folder.CHECKPOINTS
    none = RunError(f"{run_dir} has no checkpoint yet: wait for its first, or train with a smaller --save-every.")
    if not kept.is_dir():
        raise none
    like = jax.eval_shape(init, jax.random.key(0))
    with checkpoints.opened(kept, read_only=True) as found:
        step = checkpoints.best(found) if checkpoint == "best" else checkpoints.newest(found)
        if step is None:
            raise none
        return step, checkpoints.restore(found, step, like)
