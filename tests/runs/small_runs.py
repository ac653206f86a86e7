"""Flags of a run of two seconds, and what two runs are compared by."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jmeta.runs.engine.folder import read_rows
from jmeta.runs.few_shot import load_trained

TINY = tuple(
    "--way 2 --query-shot 2 --network mlp --features 16 --norm none --inner-lr 0.5 --outer-lr 0.01 "
    "--meta-batch-size 4 --outer-steps 20 --log-every 5 --save-every 10 --val-episodes 10 --devices 1".split()
)
PLAIN = tuple(word for word in TINY if word not in ("--inner-lr", "0.5"))
"""The same for a learner without an inner loop."""


def rows_of(run_dir: Path) -> list[dict]:
    """`metrics.jsonl` without what a clock decides."""
    rows = read_rows(Path(run_dir) / "metrics.jsonl")
    return [{k: v for k, v in row.items() if "second" not in k} for row in rows]


def arrays_of(run_dir: Path, checkpoint: str = "newest") -> list[np.ndarray]:
    """All arrays of a checkpoint's parameters."""
    return [np.asarray(leaf) for leaf in jax.tree.leaves(load_trained(run_dir, checkpoint).params)]


def assert_same_run(one: Path, other: Path) -> None:
    """Rows and parameters agree bit for bit."""
    assert rows_of(one) == rows_of(other)
    for checkpoint in ("newest", "best"):
        for a, b in zip(arrays_of(one, checkpoint), arrays_of(other, checkpoint), strict=True):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)


def poisoned(compiled, at, members=(0,)):
    """Programs in which the loss of some members is no number from a step on."""

    def make(*args, **kwargs):
        made = compiled(*args, **kwargs)

        def advance(states, length):
            after, metrics = made.advance(states, length)
            steps = states.step[-1] + 1 + jnp.arange(metrics.loss.shape[1])
            bad = jnp.isin(jnp.arange(len(states.step)), jnp.array(members))[:, None] & (steps >= at)[None]
            return after, metrics._replace(loss=jnp.where(bad, jnp.nan, metrics.loss))

        return made._replace(advance=advance)

    return make
