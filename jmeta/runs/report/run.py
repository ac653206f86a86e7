"""What the folder of a run says of it, whatever the area; what can't be read is noted and left out."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jmeta import settings as flat
from jmeta.errors import RunError, sentence
from jmeta.runs.catalog import EXPERIMENTS
from jmeta.runs.engine import folder, keeping, record
from jmeta.runs.engine.area import Area, Whole, load_run, start_of
from jmeta.runs.mtl import kept, table

FEW_SHOT = "few-shot"


class Seen(NamedTuple):
    """A run as it is found.

    Attributes:
        path: its folder.
        kind: of its experiment.
        values: settings and options by name, as they are stored.
        facts: what else is stored.
        rows: of `metrics.jsonl`.
        evaluation: `evaluation.json`; empty without one.
        prog: the words that train such a run; empty where its code can't be read.
        whole: its settings, grouped; None where they can't be read.
        start: the defaults of its choice, likewise.
        chosen: the settings that decide which others there are.
        steps: of the whole training; None where that is not known.
        training: whether a process trains in it now.
        diverged_at: the step by which it had diverged, of a run of a group.
        notes: sentences about what could not be read.
    """

    path: Path
    kind: str
    values: Mapping[str, Any]
    facts: Mapping[str, Any]
    rows: list[dict[str, Any]]
    evaluation: dict[str, Any]
    prog: str
    whole: Any
    start: Any
    chosen: list[str]
    steps: int | None
    training: bool
    diverged_at: int | None
    notes: list[str]

    @property
    def name(self) -> str:
        """Of the folder."""
        return self.path.resolve().name


def look(run_dir: Path, tell: Callable[[str], None]) -> Seen:
    """Read a run folder; `tell` is given what is damaged.

    Raises:
        RunError: if it is no run folder, or its `config.json` is damaged.
    """
    stored, notes = record.load(run_dir), list[str]()

    def told(said: str) -> None:
        notes.append(said)
        tell(said)

    rows = folder.read_rows(run_dir / folder.METRICS, told)
    evaluation = {} if not (run_dir / folder.EVALUATION).exists() else _tried(told, {}, _evaluation, run_dir)
    prog, whole, start, chosen = _tried(told, ("", None, None, []), _settings, stored, run_dir)
    with folder.locked(run_dir, shared=True) as free:
        training = not free
    return Seen(
        run_dir, stored.kind, stored.values, stored.facts, rows, evaluation, prog, whole, start, chosen,
        _steps(whole, stored.facts), training, _tried(told, None, _diverged_at, run_dir), notes,
    )  # fmt: skip


def _tried(told: Callable[[str], None], otherwise: Any, read: Callable[..., Any], *args: Any) -> Any:
    try:
        return read(*args)
    except RunError as error:
        told(sentence(error))
        return otherwise


def _evaluation(run_dir: Path) -> dict[str, Any]:
    return folder.read_json(run_dir / folder.EVALUATION)


def _diverged_at(run_dir: Path) -> int | None:
    """The step, of a member of a group, whose folder is the one above."""
    place = run_dir.resolve()
    return keeping.known_to_diverge(place.parent).get(place.name) if (place.parent / folder.GROUP).exists() else None


def _settings(stored: record.Stored, run_dir: Path) -> tuple[str, Any, Any, list[str]]:
    """The words that train it, its settings, the defaults, and the names of what was chosen."""
    if stored.kind == kept.KIND:
        path = str(run_dir / folder.CONFIG)
        start = table.Config(flat.typed("table", stored.values.get("table"), str, path))
        return "jmeta mtl train", flat.read(start, stored.values, path), start, ["table", "target", "task"]
    area: Area = EXPERIMENTS.get(stored.kind)
    loaded = load_run(area, run_dir)
    chosen = [field.name for field in dataclasses.fields(area.choice)]
    return area.prog, Whole(loaded.settings, loaded.options), start_of(area, stored.values), chosen


def _steps(whole: Any, facts: Mapping[str, Any]) -> int | None:
    """A run that went on beyond its end has its own number in the settings."""
    growing = [] if whole is None else flat.names(whole, "grows")
    found = flat.to_dict(whole)[growing[0]] if growing else facts.get("steps")
    return found if type(found) is int else None


def status(seen: Seen) -> str:
    """How far it is, in a sentence; none for a table, which is there when it is trained."""
    last = seen.rows[-1]["step"] if seen.rows else 0
    of = "" if seen.steps is None else f" of {seen.steps}"
    if seen.kind == kept.KIND:
        return ""
    if seen.training:
        return f"It is still training, at step {last}{of}."
    if seen.diverged_at is not None:
        return f"It has diverged by step {seen.diverged_at}{of}, and keeps its last checkpoint."
    if not seen.rows:
        return "It has no row yet: training was stopped before its first."
    if seen.steps is not None and last < seen.steps:
        return f"It was stopped at step {last}{of}, before its end."
    return f"It is finished, after {last} steps." if seen.steps else f"It has been trained for {last} steps."
