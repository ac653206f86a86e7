"""What a person sees of a run: a progress bar, or plain lines where there is no terminal."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from jmeta.errors import first_line, printable

SILENCE = 30.0
"""Seconds after which lines tell of the steps between two rows."""


class Report(NamedTuple):
    """What a run tells about itself.

    Attributes:
        begin: `(step, steps)`, before the first piece.
        piece: `(step, metrics)`, after each piece of steps, with the last number of each.
        row: `(row)`, after each row of `metrics.jsonl`.
        note: `(sentence)`.
    """

    begin: Callable[[int, int], None]
    piece: Callable[[int, Mapping[str, float]], None]
    row: Callable[[Mapping[str, Any]], None]
    note: Callable[[str], None]


silent = Report(lambda step, steps: None, lambda step, metrics: None, lambda row: None, lambda text: None)
"""Tells nobody."""


def shown(title: str) -> AbstractContextManager[Report]:
    """A report to the terminal, or in lines to standard output: to a file or a pipe of a notebook, which asks for
    colors and is no terminal, too."""
    console = Console()
    moves = console.is_terminal and sys.stdout.isatty() and not console.is_dumb_terminal
    return _bar(title, console) if moves else nullcontext(_lines())


@contextmanager
def _bar(title: str, console: Console) -> Iterator[Report]:
    columns = (
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[steps]}"),
        TextColumn("{task.fields[numbers]}"), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    progress = Progress(*columns, console=console)
    progress.start()
    try:
        bar = progress.add_task(title, total=None, steps="", numbers="compiling")
        told: dict[str, str] = {}
        told_of: list[int] = []

        def begin(step: int, steps: int) -> None:
            told_of.append(steps)
            progress.update(bar, completed=step, total=steps, steps=f"{step}/{steps}")

        def piece(step: int, metrics: Mapping[str, float]) -> None:
            name = "returns" if "returns" in metrics else "loss"
            told["now"] = _number(name, metrics[name])
            steps = f"{step}/{told_of[-1]}"
            progress.update(bar, completed=step, steps=steps, numbers="  ".join(told.values()))

        def row(values: Mapping[str, Any]) -> None:
            told["validation"] = _validation(values) or told.get("validation", "")
            told["speed"] = _speed(values)
            progress.update(bar, numbers="  ".join(told.values()))

        def note(text: str) -> None:
            with suppress(OSError):
                progress.console.print(printable(text), highlight=False, markup=False)

        yield Report(begin, piece, row, note)
    finally:
        with suppress(OSError):  # the terminal has gone
            progress.stop()


def _lines() -> Report:
    started = [time.perf_counter(), 0, 0]
    said = [time.perf_counter()]

    def begin(step: int, steps: int) -> None:
        started[:] = [time.perf_counter(), step, steps]
        said[0] = started[0]

    def left_at(step: int) -> str:
        began, first, steps = started
        said[0] = time.perf_counter()
        left = int((said[0] - began) / (step - first) * (steps - step))
        return f"{left // 60}:{left % 60:02d} left"

    def piece(step: int, metrics: Mapping[str, float]) -> None:
        """Between rows that are far apart."""
        if time.perf_counter() - said[0] > SILENCE:
            name = "returns" if "returns" in metrics else "loss"
            say(f"step {step}/{started[2]}  {_number(name, metrics[name])}  {left_at(step)}")

    def row(values: Mapping[str, Any]) -> None:
        step = values["step"]
        words = [f"step {step}/{started[2]}"]
        words += [_number(name, values[name]) for name in ("returns", "loss", "accuracy", "entropy") if name in values]
        words += [word for word in (_validation(values), _speed(values)) if word]
        say("  ".join([*words, left_at(step)]))

    return Report(begin, piece, row, say)


def _number(name: str, value: float) -> str:
    return f"{name} {100 * value:.1f} %" if name.endswith("accuracy") else f"{name} {value:.4f}"


def _validation(values: Mapping[str, Any]) -> str:
    found = [(name.removeprefix("val_"), v) for name, v in values.items() if name.startswith("val_")]
    words = [f"{100 * v:.1f} %" if n == "accuracy" else f"{n} {v:.4f}" for n, v in found if n != "ci95"]
    return f"validation {' '.join(words)}" if words else ""


def _speed(values: Mapping[str, Any]) -> str:
    """The fastest count is of what there is most."""
    speeds = {name.removesuffix("_per_second"): v for name, v in values.items() if name.endswith("_per_second")}
    if not speeds:
        return ""
    name = max(speeds, key=lambda name: speeds[name])
    return f"{speeds[name]:,.0f} {name.replace('_', ' ')}/s"


def say(text: str) -> None:
    """One line on standard output. Where that has gone, it is told once, and what is going on goes on without."""
    try:
        print(printable(text), flush=True)
    except OSError as error:
        silence()
        complain(f"standard output can't be written to any more ({first_line(error)}): going on without it.")


def silence() -> None:
    """Let standard output lead nowhere, what is still to be written to it included."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def complain(text: str) -> None:
    """One line on standard error, if anybody is there."""
    with suppress(OSError):
        print(f"jmeta: {printable(text)}", file=sys.stderr, flush=True)
