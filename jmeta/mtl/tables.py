"""What the columns of a person's own table are to several tasks: features, the name of the task, and targets."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from jmeta.datasets.sources import listed
from jmeta.datasets.tables import Table, number_in
from jmeta.errors import DataError, RunError, unknown

MISSING = ("", "?", "na", "n/a", "nan", "none", "null")
"""Cells that say that there is no number, in any case."""
MOST_TEXTS = 50
"""Different texts that a column may have without being named a category."""
KINDS = ("auto", "classes", "numbers")


class Columns(NamedTuple):
    """How the columns of a table become features and targets, the same for a later table.

    Attributes:
        numbers: columns that are a feature each.
        fills: what stands for an empty cell of each: the mean of the rows that were trained on.
        texts: columns that are a feature for each of their texts, 1 where the row has it and else 0.
        values: these texts, of each such column.
        task: the column that names the task; None for one task.
        targets: the columns to be predicted.
        classes: whether they hold classes, and not numbers.
    """

    numbers: tuple[str, ...]
    fills: tuple[float, ...]
    texts: tuple[str, ...]
    values: tuple[tuple[str, ...], ...]
    task: str | None
    targets: tuple[str, ...]
    classes: bool


class Features(NamedTuple):
    """Features `[N, D]`, and how many cells of a column of numbers were empty, and of texts had an unknown one."""

    X: np.ndarray
    empty: dict[str, int]
    strange: dict[str, int]


def columns_of(
    table: Table,
    *,
    targets: Sequence[str],
    task: str | None = None,
    kind: str = "auto",
    categorical: Sequence[str] = (),
    ignore: Sequence[str] = (),
) -> Columns:
    """What each column is, with all rows' means and texts; `of_rows` has those of some.

    A column of numbers may have empty cells. One of texts may have up to 50 different ones, or any number where it is
    `categorical`, as may numbers that are codes. A column without a name is left out.

    Args:
        table: rows.
        targets, task, categorical, ignore: names of columns.
        kind: of targets: numbers, classes, or auto for numbers where all cells are some.

    Raises:
        RunError: for a name that is no column or is said to be two things, or no target.
        DataError: for a table without rows or features, or a cell that is not as the others of its column.
    """
    if not table.rows:
        raise DataError(f"{table.path} has no rows below its header: add some.")
    named = [*targets, *([] if task is None else [task]), *categorical, *ignore]
    for name in named:
        if name not in table.header:
            raise unknown("column", name, [name for name in table.header if name])
    twice = [name for name in named if named.count(name) > 1]
    if twice:
        raise RunError(
            f"the column {twice[0]} is named twice, as target, task, category or to be ignored: name it once."
        )
    if not targets:
        raise RunError(f"no target is named: add --target and one or more of {listed(table.header, 12)}.")
    kinds = {name: "classes" if kind == "classes" else _kind_of(table, name) for name in targets}
    if kind == "numbers" and "classes" in kinds.values():
        name = next(name for name, own in kinds.items() if own == "classes")
        raise DataError(f"{table.path} has texts in the column {name}: leave --kind numbers out, or give numbers.")
    if len({*kinds.values()}) > 1:
        raise DataError(
            f"of the targets {' and '.join(f'{name} is of {own}' for name, own in kinds.items())}: train each kind by "
            "itself, or all as --kind classes."
        )
    features = [name for name in table.header if name and name not in {*targets, task, *ignore}]
    texts = tuple(name for name in features if name in categorical or _kind_of(table, name) == "classes")
    for name in (name for name in texts if name not in categorical):
        if (found := len({row[name] for row in table.rows})) > MOST_TEXTS:
            raise DataError(
                f"the column {name} has {found} different texts, and up to {MOST_TEXTS} are taken for categories: "
                f"add --ignore {name}, or --categorical {name}."
            )
    numbers = tuple(name for name in features if name not in texts)
    if not features:
        raise DataError(f"{table.path} has no column beside target and task: add one to learn from.")
    classes = "classes" in kinds.values()
    return of_rows(Columns(numbers, (), texts, (), task, tuple(targets), classes), table.rows)


def of_rows(columns: Columns, rows: Sequence[dict[str, str]]) -> Columns:
    """The same with the means and the texts of these rows alone, those to be trained on."""
    fills = []
    for name in columns.numbers:
        known = [number for row in rows if (number := number_in(row[name])) is not None]
        fills.append(float(np.mean(known, dtype=np.longdouble)) if known else 0.0)
    values = tuple(tuple(sorted({row[name] for row in rows})) for name in columns.texts)
    return columns._replace(fills=tuple(fills), values=values)


def _kind_of(table: Table, name: str) -> str:
    """Whether a column has numbers or classes; DataError where it has both, or nothing."""
    known = [(row[name], line) for row, line in zip(table.rows, table.lines, strict=True) if not _missing(row[name])]
    odd = [(cell, line) for cell, line in known if number_in(cell) is None]
    if not known:
        raise DataError(f"{table.path} has nothing in the column {name}: fill it, or add --ignore {name}.")
    with_commas = [(cell, line) for cell, line in odd if "," in cell and number_in(cell.replace(",", "")) is not None]
    if with_commas or 0 < len(odd) < len(known):
        cell, line = (with_commas or odd)[0]
        raise DataError(
            f"{table.path}, line {line}, has {cell!r:.40} in the column {name}, which else has numbers: give a number, "
            "with a point and no comma, or say that they are no numbers, by --categorical of a feature and --kind "
            "classes of a target."
        )
    return "classes" if odd else "numbers"


def _missing(cell: str) -> bool:
    return cell.lower() in MISSING


def features_of(columns: Columns, table: Table) -> Features:
    """The features of a table's rows, in the order of `columns`, whatever the order of the table's.

    Raises:
        DataError: for a table that lacks a column or rows, or a cell that is no number.
    """
    check_has(table, [*columns.numbers, *columns.texts])
    empty: dict[str, int] = {}
    strange: dict[str, int] = {}
    parts = []
    for name, fill in zip(columns.numbers, columns.fills, strict=True):
        found = [fill if _missing(row[name]) else number_in(row[name]) for row in table.rows]
        if None in found:
            _refuse(table, name, found.index(None))
        empty[name] = sum(_missing(row[name]) for row in table.rows)
        parts.append(np.array(found, np.float64)[:, None])
    for name, values in zip(columns.texts, columns.values, strict=True):
        places = {value: i for i, value in enumerate(values)}
        own = np.array([places.get(row[name], len(values)) for row in table.rows])
        strange[name] = int(np.sum(own == len(values)))
        parts.append(np.eye(len(values) + 1)[own, :-1])
    return Features(np.hstack(parts), *({n: c for n, c in counts.items() if c} for counts in (empty, strange)))


def check_has(table: Table, names: Iterable[str]) -> None:
    """DataError for a table without rows, or without one of these columns."""
    for name in names:
        if name not in table.header:
            raise DataError(f"{table.path} has no column {name}, which the run was trained with: add it.")
    if not table.rows:
        raise DataError(f"{table.path} has no rows below its header: add some.")


def _refuse(table: Table, name: str, row: int) -> None:
    cell = table.rows[row][name]
    raise DataError(
        f"{table.path}, line {table.lines[row]}, has {cell!r:.40} in the column {name}, which is no number: give one, "
        "with a point and no comma."
    )


def targets_of(columns: Columns, table: Table) -> np.ndarray:
    """Targets `[N, k]`, numbers or texts.

    Raises:
        DataError: for a table that lacks a column, an empty cell, or one that is no number.
    """
    return np.stack([_target(columns, table, name) for name in columns.targets], axis=1)


def _target(columns: Columns, table: Table, name: str) -> np.ndarray:
    cells = _complete(table, name)
    if columns.classes:
        return np.array(cells, dtype=object)
    found = [number_in(cell) for cell in cells]
    if None in found:
        _refuse(table, name, found.index(None))
    return np.array(found, np.float64)


def tasks_of(columns: Columns, table: Table) -> np.ndarray:
    """The name of each row's task `[N]`, which is empty where no column names one. DataError as `targets_of`."""
    return np.array([""] * len(table.rows) if columns.task is None else _complete(table, columns.task), dtype=object)


def _complete(table: Table, name: str) -> list[str]:
    check_has(table, [name])
    for row, line in zip(table.rows, table.lines, strict=True):
        if not row[name]:
            raise DataError(
                f"{table.path}, line {line}, has nothing in the column {name}, which every row must have: complete or "
                "remove it."
            )
    return [row[name] for row in table.rows]


def held_out(groups: Sequence[object], share: float, seed: Sequence[int]) -> np.ndarray:
    """Which rows `[N]` are held out: of each group the share, rounded, and never all of its rows."""
    rng = np.random.default_rng(seed)
    kinds = {group: i for i, group in enumerate(sorted({*groups}, key=repr))}
    number = np.array([kinds[group] for group in groups])
    order = np.argsort(number, kind="stable")
    held = np.zeros(len(number), bool)
    for rows in np.split(order, np.cumsum(np.bincount(number))[:-1]):
        held[rng.permutation(rows)[: min(int(share * len(rows) + 0.5), len(rows) - 1)]] = True
    return held
