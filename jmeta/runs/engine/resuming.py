"""Where a run goes on from."""

from typing import Any

import jax
import jax.numpy as jnp

from jmeta import sharding
from jmeta.runs.engine import checkpoints, keeping, processes
from jmeta.runs.engine.run import Diverged, Run, alive, member_of


def first_states(run: Run) -> tuple[Any, Diverged]:
    """The states of the newest step that all members have a checkpoint of, or the first; and who has diverged."""
    diverged = processes.said_by_first(processes.on_first(keeping.known_to_diverge, run.run_dir))
    like = jax.eval_shape(run.programs.start)
    found = processes.on_first(_restored, run, like, diverged)
    # Sent, as the folder need not be on a file system that all processes see.
    fresh = processes.said_by_first(found is None)
    states = run.programs.start() if fresh else processes.from_first(found, like)
    return (states if run.mesh is None else sharding.replicate(states, run.mesh)), diverged


def _restored(run: Run, like: Any, diverged: Diverged) -> Any:
    going_on = alive(run, diverged)
    step = keeping.common_step({name: run.kept[name] for name in going_on}, run.run_dir, run.options.save_every)
    for name in going_on:
        keeping.cut_after(run.kept[name], step)
    if not step:
        return None
    end = run.experiment.steps
    run.report.note(
        f"step {step} of {end}: "
        + ("nothing is left to do." if step >= end else f"going on from its checkpoint{'s' if run.group else ''}.")
    )
    one = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), like)
    each = {name: checkpoints.restore(run.kept[name].checkpoints, step, one) for name in going_on}
    if diverged:
        start = run.programs.start()
        each |= {name: member_of(start, i) for i, name in enumerate(run.members) if name in diverged}
    return jax.tree.map(lambda *a: jnp.stack(a), *(each[name] for name in run.members))
