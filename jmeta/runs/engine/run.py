"""A run while it goes on: its compiled parts and its files."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from jmeta import sharding
from jmeta.experiment import Experiment
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
        kept: the files of each, in the first process alone.
        mesh: devices that share the tasks of a step.
        programs: what is compiled.
        report: what is told, by the first process alone.
        stop: the signal to stop, the same in all processes.
        save_due: whether the clock asks for a checkpoint.
    """

    run_dir: Path
    options: Options
    experiment: Experiment
    members: dict[str, Member]
    kept: dict[str, Kept]
    mesh: Mesh | None
    programs: Programs
    report: Report
    stop: Stop
    save_due: Callable[[], bool]

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
