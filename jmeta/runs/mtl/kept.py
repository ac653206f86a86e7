"""A run folder of tasks of a table: how they are trained, written, read and predicted with."""

import json
import typing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jmeta.errors import RunError, sentence
from jmeta.mtl.tables import Columns
from jmeta.report.files import write_json
from jmeta.runs.engine import folder, record
from jmeta.settings import check_names

KIND, MODEL, COLUMNS = "table", "model.npz", "columns.json"


class Kept(NamedTuple):
    """What a run folder holds: what columns are, and an estimator of `jmeta.mtl.estimators`."""

    columns: Columns
    model: Any


class Rows(NamedTuple):
    """Features `[N, D]`, targets `[N, k]`, and the name of each row's task, `[N]`."""

    X: np.ndarray
    y: np.ndarray
    task: np.ndarray


def estimators() -> Any:
    """`jmeta.mtl.estimators`; RunError where scikit-learn isn't there."""
    try:
        from jmeta.mtl import estimators
    except ImportError as error:
        raise RunError("tables need scikit-learn, which is not installed: pip install 'jmeta[digits]'.") from error
    return estimators


def some(rows: Rows, which: np.ndarray) -> Rows:
    """Those that a mask has."""
    return Rows(*(part[which] for part in rows))


def fitted(columns: Columns, settings: dict[str, Any], rows: Rows) -> Kept:
    """Train; RunError for what the estimator refuses. Several targets that are classes are a task each, stacked."""
    made, targets = estimators(), range(rows.y.shape[1])
    try:
        if not columns.classes:
            y = rows.y if len(targets) > 1 else rows.y[:, 0]
            return Kept(columns, made.MultiTaskRegressor(**settings).fit(rows.X, y, task=rows.task))
        names = np.concatenate([_names(columns, rows.task, j) for j in targets])
        X, y = np.tile(rows.X, (len(targets), 1)), rows.y.T.ravel()
        return Kept(columns, made.MultiTaskClassifier(**settings).fit(X, y, task=names))
    except ValueError as error:
        raise RunError(sentence(error)) from error


def adapted(kept: Kept, rows: Rows) -> None:
    """Learn new tasks from a few rows of them, on the network as it is; RunError for what the estimator refuses."""
    columns, model = kept
    try:
        for name in dict.fromkeys(rows.task):
            X, y, task = some(rows, rows.task == name)
            for j in range(y.shape[1] if columns.classes else 1):
                own = y[:, j] if columns.classes or y.shape[1] == 1 else y
                model.adapt(X, own, task=_names(columns, task, j))
    except ValueError as error:
        raise RunError(sentence(error)) from error


def predicted(kept: Kept, X: np.ndarray, task: np.ndarray) -> np.ndarray:
    """Predictions `[N, k]`, numbers or classes, of rows whose tasks are known."""
    columns, model = kept
    if not columns.classes:
        return model.predict(X, task=task).reshape(len(X), -1)
    each = range(len(columns.targets))
    return np.stack([model.predict(X, task=_names(columns, task, j)) for j in each], axis=1)


def tasks_of(kept: Kept) -> list[str]:
    """The names of the tasks that are known, as the table has them."""
    names = kept.model.tasks_
    several = kept.columns.classes and len(kept.columns.targets) > 1
    return list(dict.fromkeys(json.loads(name)[0] for name in names)) if several else names


def _names(columns: Columns, task: np.ndarray, target: int) -> np.ndarray:
    """The estimator's names of the tasks of rows: with several targets of classes, of task and target together."""
    if not columns.classes or len(columns.targets) == 1:
        return task
    return np.array([json.dumps([name, columns.targets[target]]) for name in task], dtype=object)


def write(run_dir: Path, kept: Kept, values: dict[str, Any], facts: dict[str, Any], found: dict[str, Any]) -> None:
    """A run folder, which appears whole or not at all."""
    with folder.made_whole(run_dir) as place:
        kept.model.save(place / MODEL)
        write_json(place / COLUMNS, kept.columns._asdict())
        write_json(place / folder.EVALUATION, found)
        config = {record.KIND: KIND, **values, record.FACTS: {**facts, **record.surroundings()}}
        write_json(place / folder.CONFIG, config)


def read(run_dir: Path) -> Kept:
    """What `write` wrote; RunError for a folder of another kind, or one that is damaged."""
    stored = record.load(run_dir)
    if stored.kind != KIND:
        raise RunError(f"{run_dir} is a run of {stored.kind}, and no table was trained on: name another --run-dir.")
    path = run_dir / COLUMNS
    values = folder.read_json(path, typing.get_type_hints(Columns))
    check_names(Columns._fields, values, str(path))
    columns = Columns(**values)
    made = estimators()
    kind = made.MultiTaskClassifier if columns.classes else made.MultiTaskRegressor
    try:
        kept = Kept(columns, kind.load(run_dir / MODEL))
    except ValueError as error:
        raise RunError(sentence(error)) from error
    if not _is_whole(kept):
        raise RunError(f"{path} and {MODEL} are not of one run: restore them, or train again in another folder.")
    return kept


def loaded(run_dir: Path, checkpoint: str, *, trust_code: bool) -> dict[str, Any]:
    """What `jmeta.load` returns, of an estimator, whose arrays are its own."""
    model = read(run_dir).model
    settings, facts = model.get_params(), record.load(run_dir).facts
    return {"learner": model, "params": {}, "settings": settings, "step": model.steps, "facts": facts}


def _is_whole(kept: Kept) -> bool:
    """Whether columns and model are as `fitted` leaves them."""
    columns, model = kept
    lengths = len(columns.numbers) == len(columns.fills) and len(columns.texts) == len(columns.values)
    width = len(columns.numbers) + sum(map(len, columns.values))
    if not (lengths and np.isfinite(columns.fills).all() and width == model.n_features_in_ and columns.targets):
        return False
    if not columns.classes:
        return len(next(iter(model.heads_.values()))[1]) == len(columns.targets)
    try:
        names = np.array(tasks_of(kept), dtype=object)
        return {*model.tasks_} == {name for j in range(len(columns.targets)) for name in _names(columns, names, j)}
    except (ValueError, TypeError, LookupError):  # names that are no JSON, or of something else
        return False
