"""Ctrl-C, SIGTERM and SIGHUP as a question that a loop can ask, and as an end without a traceback."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

Stop = Callable[[], int | None]
"""The signal that asked to stop, or None."""
_ENDS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@contextmanager
def asked_to_stop() -> Iterator[Stop]:
    """While inside, SIGINT, SIGTERM and SIGHUP are remembered; a second one ends the process at once.

    SIGHUP stays ignored where it was, as by `nohup`.
    """
    received: list[int] = []

    def remember(number: int, frame: FrameType | None) -> None:
        if received:
            end_at_once(number)
        received.append(number)

    ignored = [number for number in _ENDS[2:] if signal.getsignal(number) == signal.SIG_IGN]
    with _handled([number for number in _ENDS if number not in ignored], remember):
        yield lambda: received[0] if received else None


@contextmanager
def interrupted_at_once() -> Iterator[None]:
    """While inside, Ctrl-C ends the process at once: out of what is being imported, it would end in a traceback."""
    with _handled([signal.SIGINT], end_at_once):
        yield


def end_at_once(number: int, frame: FrameType | None = None) -> NoReturn:
    """End the process as a kill would, which a run folder withstands, but for a word and the cursor of the terminal."""
    with suppress(OSError, ValueError):
        if sys.stdout.isatty():
            os.write(sys.stdout.fileno(), b"\x1b[?25h\n")
        os.write(sys.stderr.fileno(), b"jmeta: stopped.\n")
    os._exit(128 + number)


@contextmanager
def _handled(numbers: Iterable[int], handler: Any) -> Iterator[None]:
    there = numbers if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, handler) for number in there}
    try:
        yield
    finally:
        for number, own in before.items():
            signal.signal(number, own)
