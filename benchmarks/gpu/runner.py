"""Which part is next, and whether it still fits into the time."""

from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.gpu.protocol import DONE, FAILED, LEFT_OUT
from benchmarks.gpu.records import Record, Records
from benchmarks.gpu.table import LIMIT, Part

Launch = Callable[[Part, Records, float], Record]
_WORTHWHILE = 150.0
"""Seconds in which what can stop anywhere gets somewhere."""


def run(
    parts: Sequence[Part],
    records: Records,
    *,
    minutes: float | None,
    launch: Launch,
    keep: Callable[[Records], Any],
    say: Callable[[str], Any],
    now: Callable[[], float],
    began: float,
) -> Records:
    """Run what is not done, one part after another, and keep each record at once.

    A part is begun if it is expected to fit into what is left of the minutes, or can stop anywhere; the first one is
    begun in any case. Those that have failed come last.

    Args:
        parts: in their order.
        records: of those that have run.
        minutes: for all of them, from `began` on; None for as long as it takes.
        launch: `(part, records, seconds) -> record`.
        keep: told all records after each part.
        say: told what goes on.
        now: the clock, in seconds.
        began: by that clock.

    Returns:
        All records.
    """
    records, started = dict(records), 0
    for part in in_order(parts, records):
        left = LIMIT if minutes is None else 60 * minutes - (now() - began)
        if started and left < needed(part):
            say(f"{part.name}: it does not fit into the {max(left, 0) / 60:.1f} minutes that are left")
            continue
        say(f"{part.name}: {part.what}, about {part.minutes:g} min on a GPU")
        start = now()
        records[part.name] = launch(part, records, min(LIMIT, max(left, 1.0)))
        started += 1
        keep(records)
        say(f"{part.name}: {state_of(records[part.name])}, {now() - start:.0f} s")
    return records


def in_order(parts: Sequence[Part], records: Records) -> list[Part]:
    """What is not done: in the order of the parts, those that have failed or were left out after the others."""
    state = {part.name: records.get(part.name, {}).get("state") for part in parts}
    later = [part for part in parts if state[part.name] in (FAILED, LEFT_OUT)]
    return [part for part in parts if state[part.name] not in (DONE, FAILED, LEFT_OUT)] + later


def needed(part: Part) -> float:
    """Seconds that have to be left to begin a part."""
    return min(_WORTHWHILE, 60 * part.minutes) if part.resumes else 60 * part.minutes


def state_of(record: Record | None) -> str:
    """A record in a few words."""
    if record is None:
        return "not begun"
    why = record.get("left") or record.get("error")
    return f"{record['state']} ({why})" if why else record["state"]
