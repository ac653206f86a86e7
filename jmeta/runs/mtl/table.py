"""Several tasks of a table of your own, which share a network.

TABLE is a CSV file with a header: cells apart by commas, semicolons or tabs. All columns but target and task are
features. Columns of numbers are standardized, and an empty cell has the mean; columns of texts have a feature for each
text. A part of each task's rows is held out, and the network is measured on it beside models that share nothing: the
mean or most frequent class of each task, and a linear model of each. For example:

  jmeta mtl train table.csv --task school --target score --run-dir runs/table
  jmeta mtl predict --run-dir runs/table --table new.csv --csv predicted.csv
"""

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from jmeta.datasets.sources import listed
from jmeta.datasets.tables import read_table
from jmeta.errors import RunError
from jmeta.mtl.names import aggregator_names, weighting_names
from jmeta.mtl.tables import (
    KINDS,
    Columns,
    Features,
    columns_of,
    features_of,
    held_out,
    of_rows,
    targets_of,
    tasks_of,
)
from jmeta.report.statistics import interval, paired
from jmeta.report.tables import markdown, percent
from jmeta.runs.engine.compile_cache import use_compile_cache
from jmeta.runs.engine.progress import say
from jmeta.runs.mtl import kept
from jmeta.runs.mtl.kept import Rows, some
from jmeta.settings import check, setting, to_dict

PENALTIES = (1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
CHOSEN_BY = 0.2
"""Share of each task's rows to learn from that a penalty is chosen by."""


@dataclasses.dataclass(frozen=True)
class Data:
    """What the columns of the table are.

    Attributes:
        target: the column to be predicted, or several, each a task of its own.
        task: the column that names each row's task, such as a school or a patient; otherwise all rows are one task.
        kind: what targets are: numbers, or classes, or auto, by which they are numbers where all cells are.
        categorical: columns of codes or of many texts, to have a feature for each.
        ignore: columns that are no features, such as names and row numbers.
        holdout: share of each task's rows to be measured on, of which the network learns nothing; 0 for none.
    """

    target: tuple[str, ...] = ()
    task: str | None = None
    kind: str = setting("auto", choices=KINDS)
    categorical: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    holdout: float = setting(0.2, least=0, most=0.9)


@dataclasses.dataclass(frozen=True)
class Network:
    """The shared network, as in jmeta.mtl.estimators.

    Attributes:
        hidden: units of its layers.
        weighting: of the tasks' losses.
        aggregate: of the tasks' gradients, such as pcgrad; otherwise they are added.
        learning_rate: at the first step.
        steps: of training.
        l2: penalty on the kernels; otherwise the one of six that predicts a fifth of the rows to learn from best.
        batch_size: rows of each task in a step; otherwise all.
        balanced: count all classes of a task alike, however many rows they have.
    """

    hidden: tuple[int, ...] = setting((64,), least=1)
    weighting: str = setting("uniform", choices=weighting_names())
    aggregate: str | None = setting(None, choices=aggregator_names())
    learning_rate: float = setting(0.01, above=0)
    steps: int = setting(300, least=1)
    l2: float | None = setting(None, least=0)
    batch_size: int | None = setting(None, least=1)
    balanced: bool = False


@dataclasses.dataclass(frozen=True)
class Config:
    """What `jmeta mtl train TABLE` is told.

    Attributes:
        table: a CSV file with a header.
        data: what its columns are.
        network: what learns.
        run_dir: a folder to be made; otherwise runs/table-NAME.
        seed: of the rows that are held out, and of the network.
    """

    table: tyro.conf.Positional[str]
    data: Data = Data()
    network: Network = Network()
    run_dir: str | None = None
    seed: int = setting(0, least=0)


def main(config: Config) -> dict[str, Any]:
    """Train on a table, measure, print, and write the run folder.

    Raises:
        RunError: for a table or settings that can't be used, or a run folder that is there.
        OSError: if the table can't be read, or the run folder not be written.
    """
    check(config)
    run_dir = Path(config.run_dir or f"runs/table-{Path(config.table).stem}")
    if run_dir.exists() and (not run_dir.is_dir() or any(run_dir.iterdir())):
        raise RunError(f"{run_dir} is there already: choose another --run-dir.")
    given, share = dataclasses.asdict(config.data), config.data.holdout
    given.pop("holdout")
    table = read_table(config.table)
    columns = columns_of(table, targets=given.pop("target"), **given)
    y, task = targets_of(columns, table), tasks_of(columns, table)
    held = held_out(_groups(columns, y, task), share, [config.seed])
    if share and not held.any():
        raise RunError(f"{table.path} has too few rows of a task to hold some out: add rows, or --holdout 0.")
    columns = of_rows(columns, [row for row, out in zip(table.rows, held, strict=True) if not out])
    found = features_of(columns, table)
    facts = {"rows": len(y), "held_out": int(held.sum()), "tasks": len({*task})}
    _tell(columns, found, table.header, facts)
    if not columns.classes:
        _tell_of_few(columns, y)
    use_compile_cache(True)
    rows = Rows(found.X, y, task)
    settings = _settings(config, columns, some(rows, ~held))
    trained = kept.fitted(columns, settings, some(rows, ~held))
    result = _measured(trained, some(rows, ~held), some(rows, held)) if held.any() else {}
    if result:
        _show(result, columns)
    facts |= {
        "l2": settings["l2"],
        "checksum": table.checksum,
        "split_hash": hashlib.sha256(held.tobytes()).hexdigest(),
    }
    kept.write(run_dir, trained, {**to_dict(config), "run_dir": None}, facts, result)
    say(f"kept in {run_dir}")
    say(f"next: jmeta mtl predict --run-dir {run_dir} --table NEW.csv")
    return result


def _groups(columns: Columns, y: np.ndarray, task: np.ndarray) -> list[Any]:
    """What each row is one of, of which a share is held out: its task, and the classes that it has."""
    return [(name, *own) for name, own in zip(task, y.tolist(), strict=True)] if columns.classes else task.tolist()


def _settings(config: Config, columns: Columns, rows: Rows) -> dict[str, Any]:
    """The parameters of the estimator, with a penalty that predicts a part of the rows best if none is given."""
    values = {**dataclasses.asdict(config.network), "random_state": config.seed}
    balanced = values.pop("balanced")
    if columns.classes:
        values["class_weight"] = "balanced" if balanced else None
    elif balanced:
        raise RunError("--balanced is of classes, and targets are numbers: leave it out, or add --kind classes.")
    if values["l2"] is not None:
        return values
    held = held_out(_groups(columns, rows.y, rows.task), CHOSEN_BY, [config.seed, 1])
    if not held.any():
        return {**values, "l2": PENALTIES[1]}
    found = {}
    for l2 in PENALTIES:
        trained = kept.fitted(columns, {**values, "l2": l2}, some(rows, ~held))
        found[l2] = float(
            np.mean(_scores(columns, kept.predicted(trained, rows.X[held], rows.task[held]), rows.y[held]))
        )
    best = max(found, key=lambda l2: found[l2])
    said = ", ".join(f"{l2:g}" for l2 in PENALTIES)
    say(f"--l2 {best:g} predicts {held.sum()} of the rows to learn from best, of {said}")
    return {**values, "l2": best}


def _tell(columns: Columns, found: Features, header: list[str], facts: Mapping[str, int]) -> None:
    kind, tasks = "classes" if columns.classes else "numbers", facts["tasks"]
    say(
        f"{facts['rows']} rows, {tasks} task{'s' * (tasks > 1)}, {found.X.shape[1]} features, "
        f"targets that are {kind}: {listed(columns.targets, 8)}"
    )
    if columns.texts:
        say(f"a feature for each text of {listed(columns.texts, 8)}")
    if "" in header:
        say("a column without a name is left out")
    tell_of_cells(found.empty, found.strange)


def _tell_of_few(columns: Columns, y: np.ndarray) -> None:
    """Say which numbers may be the codes of classes."""
    for name, own in zip(columns.targets, y.T, strict=True):
        values = np.unique(own)
        if 2 <= len(values) <= 10 and (values == np.round(values)).all():
            say(f"{name} has {len(values)} different whole numbers: if they stand for classes, add --kind classes")


def tell_of_cells(empty: Mapping[str, int], strange: Mapping[str, int]) -> None:
    """Say what stands for cells that are empty, or have a text that was not trained on."""
    if empty:
        say(f"empty cells have the mean of the rows that were trained on: {_counted(empty)}")
    if strange:
        say(f"texts that were not trained on count as none of those that were: {_counted(strange)}")


def _counted(cells: Mapping[str, int]) -> str:
    return listed([f"{count} in {name}" for name, count in cells.items()], 8)


def _scores(columns: Columns, guess: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Of each row, mean over its targets: whether a class is right; of numbers 1 - error^2 / variance, whose mean over
    rows is the explained variance, R2."""
    if columns.classes:
        return (guess == true).astype(np.float64).mean(axis=1)
    return np.mean(1 - ((guess - true) / _spread(true)) ** 2, axis=1)


def _spread(true: np.ndarray) -> np.ndarray:
    """Standard deviations, whose squares may be out of range, and 1 in place of 0."""
    return kept.estimators().network.moments(true)[1]


def _measured(trained: kept.Kept, rows: Rows, held: Rows) -> dict[str, Any]:
    """By model, its score on the held-out rows, and the paired difference from the network."""
    from jmeta.mtl.estimators.floors import floors

    columns = trained.columns
    guesses = {"this network": kept.predicted(trained, held.X, held.task)}
    guesses |= floors(rows.X, rows.y, rows.task.astype(str), held.X, held.task.astype(str))
    scores = {name: _scores(columns, guess, held.y) for name, guess in guesses.items()}
    models: dict[str, Any] = {}
    for name, own in scores.items():
        mean, ci95 = interval(own)
        difference, difference_ci95 = paired(own, scores["this network"])
        models[name] = {"score": mean, "ci95": ci95, "difference": difference, "difference_ci95": difference_ci95}
        if not columns.classes:
            errors = (guesses[name] - held.y) / _spread(held.y)
            models[name]["rmse"] = (_spread(held.y) * np.sqrt(np.mean(errors**2, axis=0))).tolist()
    return {"score": "accuracy" if columns.classes else "explained variance", "rows": len(held.y), "models": models}


def _show(result: Mapping[str, Any], columns: Columns) -> None:
    cells = []
    for name, row in result["models"].items():
        beside = "-" if name == "this network" else percent(row["difference"], row["difference_ci95"], sign="+")
        cells.append(
            [name, percent(row["score"], row["ci95"]), beside, *(f"{rmse:.4g}" for rmse in row.get("rmse", []))]
        )
    errors = [] if columns.classes else [f"RMSE of {name}" for name in columns.targets]
    print(markdown([f"{result['rows']} rows held out", f"{result['score']}, %", "minus the network", *errors], cells))
    say("95 % intervals are over these rows, as if they were independent: other rows of the same tasks")
