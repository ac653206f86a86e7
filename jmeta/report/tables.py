"""Numbers as tables have them, and tables: in Markdown, and on the terminal."""

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jmeta.errors import printable

_OF_SETTING = ("seeds", "mean", "ci95")
_NUMBER = re.compile(r"-|\**[+-]?\d.*")


def plus_minus(mean: float, ci95: float | None = None, *, digits: int = 2, sign: str = "") -> str:
    """Mean and interval, `0.50 +- 0.02`; a sign of "+" is for differences.

    Example:
        >>> plus_minus(0.5, 0.021, sign="+"), plus_minus(0.5)
        ('+0.50 +- 0.02', '0.50')
    """
    return f"{mean:{sign}.{digits}f}" + ("" if ci95 is None else f" +- {ci95:.{digits}f}")


def percent(mean: float, ci95: float | None = None, *, digits: int = 2, sign: str = "") -> str:
    """`plus_minus` of shares, in percent.

    Example:
        >>> percent(0.5, 0.021, digits=1)
        '50.0 +- 2.1'
    """
    return plus_minus(100 * mean, None if ci95 is None else 100 * ci95, digits=digits, sign=sign)


def number(name: str, value: float) -> str:
    """A number by its name: an accuracy in percent with its unit, others with four digits."""
    return f"{percent(value)} %" if name == "accuracy" else plus_minus(value, digits=4)


def told(name: str, mean: float, ci95: float | None) -> str:
    """`number` with its name and its interval, as in `accuracy 93.41 % +- 0.52`."""
    half = "" if ci95 is None else f" +- {number(name, ci95).removesuffix(' %')}"
    return f"{name} {number(name, mean)}{half}"


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown, which can be read as it is; columns of numbers are aligned at the right.

    Raises:
        ValueError: for a row of another length than the header.
    """
    lines = [[printable(cell) for cell in row] for row in (header, *rows)]
    columns = list(zip(*lines, strict=True))
    right = [any(column[1:]) and all(_NUMBER.fullmatch(cell) for cell in column[1:] if cell) for column in columns]
    widths = [max(3, *map(len, column)) for column in columns]

    def line(cells: Iterable[str]) -> str:
        each = zip(cells, widths, right, strict=True)
        return "| " + " | ".join(cell.rjust(width) if end else cell.ljust(width) for cell, width, end in each) + " |"

    rule = ["-" * (width - end) + ":" * end for width, end in zip(widths, right, strict=True)]
    return "\n".join([line(lines[0]), line(rule), *map(line, lines[1:])]) + "\n"


def show(header: Sequence[str], rows: Iterable[Sequence[str]], title: str | None = None) -> None:
    """Print a table on the terminal; 120 characters wide where the output is none."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*header, title=title and Text(printable(title)), title_justify="left")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    Console(highlight=False, width=None if sys.stdout.isatty() else 120).print(table)


def print_group(summary: Mapping[str, Any], title: str) -> None:
    """Print each run of a `statistics.summary`, then mean and 95 % interval over the seeds of each setting."""
    name = summary["measured"]
    kind = name.removeprefix("val_")
    print(printable(title))
    rows = []
    for member, own in summary["members"].items():
        value = f"diverged at step {own['diverged_at']}" if "diverged_at" in own else "-"
        rows.append((member, number(kind, own[name]) if name in own else value))
    show(("run", kind), rows)
    for row in summary["settings"]:
        rates = " ".join(f"{key} {value:g}" for key, value in row.items() if key not in _OF_SETTING)
        seeds = f" ({row['seeds']} seed{'s' * (row['seeds'] > 1)})"
        mean = told(kind, row["mean"], row["ci95"]) + seeds if row["seeds"] else "no run is left"
        print(f"{rates}: {mean}" if rates else mean)
