"""A run while it goes on: its parts, where it goes on from, and its steps in pieces that can be interrupted."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jmeta import sharding
from jmeta.experiment import Experiment
from jmeta.loop import PIECE, Advance
from jmeta.runs.engine import checkpoints, folder, keeping, processes
from jmeta.runs.engine.checkpoints import Checkpoints
from jmeta.runs.engine.members import Member
from jmeta.runs.engine.options import Options
from jmeta.runs.engine.programs import Programs
from jmeta.runs.engine.progress import Report
from jmeta.runs.engine.signals import Stop

RESPONSE = 0.5
"""Seconds after which a piece should end, so that a signal is answered and a person sees the loss."""
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
        kept: the checkpoints of each member, in the first process alone, once they are open.
        save_due: whether the clock asks for a checkpoint.
        events: what adds a row to each member's events, in the first process alone, where they are asked for.
    """

    run_dir: Path
    options: Options
    experiment: Experiment
    members: dict[str, Member]
    mesh: Mesh | None
    programs: Programs
    report: Report
    stop: Stop
    kept: Mapping[str, Checkpoints] = {}
    save_due: Callable[[], bool] = lambda: False
    events: Mapping[str, Callable[[Mapping[str, Any]], None]] = {}

    @property
    def group(self) -> bool:
        """Whether it has members beside each other."""
        return "" not in self.members


def own_copy(run: Run, states: Any) -> Any:
    """The states on one device of this process, for all that isn't training."""
    return states if run.mesh is None else sharding.local(states)


def shared(run: Run, states: Any) -> Any:
    """`own_copy` undone: the states on all devices."""
    return states if run.mesh is None else sharding.replicate(states, run.mesh)


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
    return shared(run, states), diverged


def _restored(run: Run, like: Any, diverged: Diverged) -> Any:
    going_on = alive(run, diverged)
    step = keeping.common_step({name: run.kept[name] for name in going_on}, run.run_dir, run.options.save_every)
    for name in going_on:
        # What is from after the step is taken again.
        checkpoints.prune(run.kept[name], step)
        folder.cut_rows(run.run_dir / name / folder.METRICS, step, run.report.note)
    if not step:
        return None
    end, from_where = run.experiment.steps, f"going on from its checkpoint{'s' if run.group else ''}."
    run.report.note(f"step {step} of {end}: " + ("nothing is left to do." if step >= end else from_where))
    one = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), like)
    each = {name: checkpoints.restore(run.kept[name], step, one) for name in going_on}
    if diverged:
        start = run.programs.start()
        each |= {name: member_of(start, i) for i, name in enumerate(run.members) if name in diverged}
    return jax.tree.map(lambda *a: jnp.stack(a), *(each[name] for name in run.members))


def take(
    advance: Advance, stop: Stop, look: Callable[[int, Any], bool], states: Any, step: int, end: int
) -> tuple[Any, Any]:
    """Steps up to the next row: the states, and metrics of all pieces as NumPy arrays; or None and a signal to stop.

    Where a piece ends does not change a bit of what is computed, so that its length may be chosen by the clock. `stop`
    is asked before each piece, and `look(step, metrics)` after each whether to go on.
    """
    done: list[Any] = []
    length, began, goes_on = 1, time.perf_counter(), True
    pending: tuple[int, Any] | None = None

    def finish(count: int, metrics: Any) -> bool:
        done.append(jax.tree.map(lambda a: np.asarray(a)[..., :count], metrics))
        return look(step, done[-1])

    while step < end and goes_on:
        asked = stop()
        if asked is not None:
            return None, asked
        count = min(length, end - step)
        states, metrics = advance(states, count)
        # The piece before is waited for while this one is computed, which keeps a device busy and the bar honest.
        if pending is not None:
            goes_on, now = finish(*pending), time.perf_counter()
            # As many steps as take a response's time by the last piece's measure, at most twice its.
            by_clock = int(RESPONSE * pending[0] / max(now - began, 1e-9))
            length, began = processes.said_by_first(max(1, min(2 * pending[0], by_clock, PIECE))), now
        pending = count, metrics
        step += count
    assert pending is not None, "a round has a step or more"
    finish(*pending)
    return states, jax.tree.map(lambda *parts: np.concatenate(parts, axis=-1), *done)


def alarm(seconds: float | None) -> Callable[[], bool]:
    """Whether so many seconds are over since it last said so; never for None."""
    last = time.monotonic()

    def due() -> bool:
        nonlocal last
        if seconds is None or time.monotonic() - last < seconds:
            return False
        last = time.monotonic()
        return True

    return due
