"""Numbers and values of JSON as a page shows them, and any evaluation as tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from jmeta.report.tables import told
from jmeta.runs.report.page import Html, facts, table, tag

_LONG = 12
_LEFT_OUT = ("values", "counts", "config")
"""Lists of a number for each episode, and settings, which stand elsewhere."""


def shown(value: Any) -> str:
    """A value of JSON in a cell."""
    if value in (None, [], {}, ""):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {shown(own)}" for name, own in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        some = ", ".join(map(shown, value[:_LONG]))
        return some if len(value) <= _LONG else f"{some}, ... ({len(value)} in all)"
    return str(value)


def with_interval(name: str, mean: float, ci95: float | None = None, *, sign: str = "") -> str:
    """`66.52 % ± 1.00` of an accuracy, `0.1312 ± 0.0040` of other numbers; a sign of "+" is for differences."""
    found = told(name, mean, ci95).removeprefix(f"{name} ").replace("+-", "±")
    return f"+{found}" if sign and mean >= 0 else found


def seconds(value: float) -> str:
    """A duration, `1 h 2 min` or `12.3 s`."""
    if value < 60:
        return f"{value:.1f} s"
    minutes = round(value / 60)
    return (
        f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{int(value) // 60} min {value % 60:.0f} s"
    )


def tables_of(found: Mapping[str, Any], caption: str) -> list[Html]:
    """Any evaluation: what has rows as a table of them, and all else by name."""
    left = {name: value for name, value in found.items() if name not in _LEFT_OUT}
    tables = []
    for name, value in list(left.items()):
        if rows := _rows(value):
            first, *columns = dict.fromkeys(column for row in rows for column in row)
            cells = [(_cell(row.get(first)), *(_cell(row.get(c)) for c in columns)) for row in rows]
            heading = f"{caption}: {name.replace('_', ' ')}"
            tables.append(table(heading, [c.replace("_", " ") for c in (first, *columns)], cells, kind="numbers"))
            del left[name]
    rest = {name.replace("_", " "): shown(value) for name, value in left.items()}
    return [*tables, *([tag("div", tag("div", facts(rest)), class_="groups single")] if rest else [])]


def _cell(value: Any) -> str:
    return "" if value is None else shown(value)


def _rows(value: Any) -> list[Mapping[str, Any]]:
    """What is a table: a list of objects, or objects by name, which comes first then."""
    if isinstance(value, Mapping):
        value = [{"": name, **own} if isinstance(own, Mapping) else None for name, own in value.items()]
    return value if isinstance(value, list) and value and all(isinstance(row, Mapping) and row for row in value) else []
