"""What a part is asked and what it answers: two JSON files, since each part is a process of its own."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

TRIES = 2
DONE, UNFINISHED, FAILED, LEFT_OUT = "done", "unfinished", "failed", "left out"


class LeftOut(Exception):
    """What a part needs is not there; the message says what, and where to put it."""


class Outcome(NamedTuple):
    """What a part ends with.

    Attributes:
        value: what was measured, as JSON has it.
        left: what is still to be done; empty where all is.
    """

    value: dict[str, Any]
    left: str = ""


class Ask(NamedTuple):
    """What a part is asked.

    Attributes:
        platform: of the device, cpu or gpu.
        scale: of all lengths, above 0 and up to 1.
        deadline: in seconds of `time.monotonic`, by when it has to have stopped.
        work: a folder for what a later call goes on from.
        data_dir: of data sets, if there is one.
        found: what other parts have measured by now, by name.
        before: what this part had measured when it was stopped; empty at first.
        keep: what has been measured so far, in case that there is no end.
    """

    platform: str
    scale: float
    deadline: float
    work: Path
    data_dir: str | None
    found: Mapping[str, Any]
    before: Mapping[str, Any]
    keep: Callable[[dict[str, Any]], None] = lambda value: None

    @property
    def seconds_left(self) -> float:
        """Until the deadline."""
        return self.deadline - time.monotonic()

    def begins(self, value: dict[str, Any], name: str) -> bool:
        """Note in `value["begun"]` that something is begun, and keep that; whether to try it at all.

        What was begun `TRIES` times without an end has taken the whole part with it each time.
        """
        begun = value.setdefault("begun", {})
        if begun.get(name, 0) >= TRIES:
            return False
        begun[name] = begun.get(name, 0) + 1
        self.keep(value)
        return True

    def length(self, whole: int, least: int = 1) -> int:
        """A length at the scale, never below `least`, nor above the whole."""
        return min(whole, max(least, round(self.scale * whole)))
