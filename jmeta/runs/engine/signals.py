"""Ctrl-C and SIGTERM as a question that a loop can ask."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

Stop = Callable[[], int | None]
"""The signal that asked to stop, or None."""


@contextmanager
def asked_to_stop() -> Iterator[Stop]:
    """While inside, SIGINT and SIGTERM are remembered; a second one ends the program at once."""
    received: list[int] = []

    def remember(number: int, frame: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    handled = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, remember) for number in handled}
    try:
        yield lambda: received[0] if received else None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
