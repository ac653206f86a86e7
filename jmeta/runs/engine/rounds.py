"""What is done between two rows of the metrics: steps in pieces that are short enough to be interrupted."""

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jmeta.loop import PIECE, Advance
from jmeta.runs.engine.processes import said_by_first
from jmeta.runs.engine.signals import Stop

RESPONSE = 0.5
"""Seconds after which a piece should end, so that a signal is answered and a person sees the loss."""


def take(
    advance: Advance, stop: Stop, look: Callable[[int, Any], bool], states: Any, step: int, end: int
) -> tuple[Any, Any]:
    """Steps up to the next row.

    Where a piece ends does not change a bit of what is computed, so that its length may be chosen by the clock. `stop`
    is asked before each piece, and `look(step, metrics)` after each whether to go on.

    Returns:
        The states and the metrics of all pieces, as NumPy arrays; or None and the signal that asked to stop.
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
            length, began = said_by_first(_next_length(pending[0], now - began)), now
        pending = count, metrics
        step += count
    assert pending is not None, "a round has a step or more"
    finish(*pending)
    return states, jax.tree.map(lambda *parts: np.concatenate(parts, axis=-1), *done)


def _next_length(count: int, seconds: float) -> int:
    """As many steps as take a response's time by the last piece's measure, at most twice its."""
    return max(1, min(2 * count, int(RESPONSE * count / max(seconds, 1e-9)), PIECE))


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
