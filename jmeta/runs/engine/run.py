"""A run while it goes on: its compiled parts and its files, and where it goes on from."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from jmeta import sharding
from jmeta.experiment import Experiment
from jmeta.runs.engine import checkpoints, keeping, processes
from jmeta.runs.engine.keeping import Kept
from jmeta.runs.engine.members import Member
from jmeta.runs.engine.options import Options
from jmeta.runs.engine.programs import Programs
from jmeta.runs.engine.progress import Report
from jmeta.runs.engine.signals import Stop

Diverged = Mapping[str, int]
"""The step at which a member's loss or parameters were no longer finite, by its name."""


class Run(NamedTuple):
    """The compiled parts and the files of all members; states have a leading axis of members.

    Attributes:
        run_dir: the run folder, or that of the group.
        options: of all.
        experiment: of the first member.
        members: by name; a single run has none.
        mesh: devices that share the tasks of a step.
        programs: what is compiled.
        report: what is told, by the first process alone.
        stop: the signal to stop, the same in all processes.
        kept: the files of each member, in the first process alone, once they are open.
        save_due: whether the clock asks for a checkpoint.
    """

    run_dir: Path
    options: Options
    experiment: Experiment
    members: dict[str, Member]
    mesh: Mesh | None
    programs: Programs
    report: Report
    stop: Stop
    kept: Mapping[str, Kept] = {}
    save_due: Callable[[], bool] = lambda: False

    @property
    def group(self) -> bool:
        """Whether it has members beside each other."""
        return "" not in self.members


def own_copy(run: Run, states: Any) -> Any:
    """The states on one device of this process, for all that isn't training."""
    return states if run.mesh is None else sharding.local(states)


def member_of(states: Any, i: int) -> Any:
    """What all have, of member i."""
    return jax.tree.map(lambda a: a[i], states)


def alive(run: Run, diverged: Diverged) -> dict[str, int]:
    """The members that go on, and where they are among all."""
    return {name: i for i, name in enumerate(run.members) if name not in diverged}


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
    end, from_where = run.experiment.steps, f"going on from its checkpoint{'s' if run.group else ''}."
    run.report.note(f"step {step} of {end}: " + ("nothing is left to do." if step >= end else from_where))
    one = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), like)
    each = {name: checkpoints.restore(run.kept[name].checkpoints, step, one) for name in going_on}
    if diverged:
        start = run.programs.start()
        each |= {name: member_of(start, i) for i, name in enumerate(run.members) if name in diverged}
    return jax.tree.map(lambda *a: jnp.stack(a), *(each[name] for name in run.members))
