"""Tables on the terminal."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

_OF_SETTING = ("seeds", "mean", "ci95")


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows of words, as wide as the terminal is, or 120 characters where there is none."""
    table = Table(*header)
    for row in rows:
        table.add_row(*row)
    Console(highlight=False, width=None if sys.stdout.isatty() else 120).print(table)


def print_group(summary: Mapping[str, Any], title: str) -> None:
    """Print each run of a group, then mean and 95 % interval over the seeds of each setting.

    Args:
        summary: as `statistics.summary` makes it.
        title: printed first.
    """
    name = summary["measured"]
    kind = name.removeprefix("val_")
    print(title)
    table = Table("run", kind)
    for member, own in summary["members"].items():
        value = f"diverged at step {own['diverged_at']}" if "diverged_at" in own else "-"
        table.add_row(member, number(kind, own[name]) if name in own else value)
    Console(highlight=False, width=None if sys.stdout.isatty() else 120).print(table)
    for row in summary["settings"]:
        rates = " ".join(f"{key} {value:g}" for key, value in row.items() if key not in _OF_SETTING)
        print(f"{rates}: " if rates else "", end="")
        print(_over_seeds(kind, row) if row["seeds"] else "no run is left")


def _over_seeds(kind: str, row: Mapping[str, Any]) -> str:
    unit = " %" if kind == "accuracy" else ""
    interval = "" if row["ci95"] is None else f" +- {plain(kind, row['ci95'])}"
    return f"{kind} {plain(kind, row['mean'])}{unit}{interval} ({row['seeds']} seed{'s' * (row['seeds'] > 1)})"


def plain(name: str, value: float) -> str:
    """A number as tables have it, of an accuracy in percent."""
    return f"{100 * value:.2f}" if name == "accuracy" else f"{value:.4f}"


def number(name: str, value: float) -> str:
    """The same with its unit."""
    return plain(name, value) + (" %" if name == "accuracy" else "")
