"""Rows of another table, by what was trained on a table."""

import csv
import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np

from jmeta.datasets.sources import listed
from jmeta.datasets.tables import Table, read_table
from jmeta.errors import RunError
from jmeta.mtl.tables import features_of, targets_of, tasks_of
from jmeta.report.files import write_text
from jmeta.report.tables import markdown
from jmeta.runs.engine.folder import check_output
from jmeta.runs.engine.progress import say
from jmeta.runs.mtl import kept
from jmeta.runs.mtl.table import tell_of_cells
from jmeta.settings import check


@dataclasses.dataclass(frozen=True)
class Config:
    """Predict the targets of each row of a table.

    Attributes:
        run_dir: the folder of a run of `jmeta mtl train TABLE.csv`.
        table: a CSV file with the features that were trained on, and the tasks, by the same names; it needs no targets,
            and more columns do no harm.
        csv: write the line, the task and the predictions of each row to this file, in place of printing them.
        support: a table of a few rows of new tasks with their targets, to learn these tasks from.
    """

    run_dir: str
    table: str
    csv: str | None = None
    support: str | None = None


def main(config: Config) -> list[list[str]]:
    """Print or write a row of texts for each row of the table.

    Raises:
        RunError: for a run or tables that can't be used, such as one with a task that was not trained.
        OSError: if a file can't be read or written.
    """
    check(config)
    if config.csv is not None:
        check_output("--csv", config.csv)
        if Path(config.csv).resolve() in {Path(path).resolve() for path in (config.table, config.support) if path}:
            raise RunError(f"--csv {config.csv} is a table to be read, which it would replace: choose another.")
    run, table = kept.read(Path(config.run_dir)), read_table(config.table)
    columns = run.columns
    if config.support is not None:
        _learn(run, read_table(config.support))
    found, task = features_of(columns, table), tasks_of(columns, table)
    _check_known(run, table, task)
    tell_of_cells(found.empty, found.strange)
    guesses = kept.predicted(run, found.X, task)
    own = [] if columns.task is None else [columns.task]
    header = ["line", *own, *columns.targets]
    rows = [
        [str(line), *([name] if own else []), *map(_shown, guess)]
        for line, name, guess in zip(table.lines, task, guesses, strict=True)
    ]
    if config.csv is None:
        print(markdown(header, rows), end="")
        return rows
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    write_text(config.csv, text.getvalue())
    say(f"{len(rows)} rows predicted in {config.csv}")
    return rows


def _learn(run: kept.Kept, support: Table) -> None:
    """New tasks from a few rows."""
    if run.columns.task is None:
        raise RunError("--support is of new tasks, and the run was trained without a column of tasks: leave it out.")
    parts = features_of(run.columns, support).X, targets_of(run.columns, support), tasks_of(run.columns, support)
    kept.adapted(run, kept.Rows(*parts))


def _check_known(run: kept.Kept, table: Table, task: np.ndarray) -> None:
    known = {name: True for name in kept.tasks_of(run)}
    for name, line in zip(task, table.lines, strict=True):
        if name not in known:
            raise RunError(
                f"{table.path}, line {line}, is of the {run.columns.task} {name!r:.60}, which was not trained (there "
                f"are {listed(known, 8)}): leave it out, or give a few rows of it with their targets by --support."
            )


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"
