"""What a person sees of a run: a progress bar, or plain lines where there is no terminal."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Report(NamedTuple):
    """What a run tells about itself.

    Attributes:
        piece: `(step, loss)`, after each piece of outer steps.
        row: `(row)`, after each row of `metrics.jsonl`.
        note: `(sentence)`.
    """

    piece: Callable[[int, float], None]
    row: Callable[[Mapping[str, Any]], None]
    note: Callable[[str], None]


silent = Report(lambda step, loss: None, lambda row: None, lambda text: None)
"""Tells nobody."""


@contextmanager
def shown(config: TrainConfig) -> Iterator[Report]:
    """A report to the terminal, or in lines to standard output."""
    console = Console()
    if console.is_terminal:
        with _bar(config, console) as report:
            yield report
    else:
        yield _lines(config)


@contextmanager
def _bar(config: TrainConfig, console: Console) -> Iterator[Report]:
    columns = (
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TextColumn("{task.fields[numbers]}"), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task(config.algorithm, total=config.outer_steps, numbers="compiling")
        shown: dict[str, str] = {}

        def update() -> None:
            progress.update(bar, numbers="  ".join(shown.values()))

        def piece(step: int, loss: float) -> None:
            shown["loss"] = f"loss {loss:.3f}"
            progress.update(bar, completed=step)
            update()

        def row(values: Mapping[str, Any]) -> None:
            shown["validation"] = _validation(values) or shown.get("validation", "")
            shown["speed"] = f"{values['tasks_per_second']:.0f} tasks/s"
            update()

        def note(text: str) -> None:
            progress.console.print(text, highlight=False)

        yield Report(piece, row, note)


def _lines(config: TrainConfig) -> Report:
    began = time.perf_counter()
    first: list[int] = []

    def row(values: Mapping[str, Any]) -> None:
        step = values["step"]
        first.append(step)
        seconds = time.perf_counter() - began
        left = seconds / (step - first[0] + config.log_every) * (config.outer_steps - step)
        words = [f"step {step}/{config.outer_steps}", f"loss {values['loss']:.4f}"]
        words += [f"accuracy {100 * values['accuracy']:.1f} %"] if "accuracy" in values else []
        words += [_validation(values)] if _validation(values) else []
        words += [f"{values['tasks_per_second']:.0f} tasks/s", f"{int(left) // 60}:{int(left) % 60:02d} left"]
        print("  ".join(words), flush=True)

    return Report(lambda step, loss: None, row, lambda text: print(text, flush=True))


def _validation(values: Mapping[str, Any]) -> str:
    if "val_accuracy" in values:
        return f"validation {100 * values['val_accuracy']:.1f} %"
    return f"validation error {values['val_error']:.4f}" if "val_error" in values else ""


def complain(text: str) -> None:
    """One line on standard error."""
    print(f"jmeta: {text}", file=sys.stderr, flush=True)
