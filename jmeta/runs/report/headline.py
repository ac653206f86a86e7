"""The one number that a run is known by: its evaluation, or the best of its validations."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from jmeta.report.curves import validated_by
from jmeta.report.statistics import paired
from jmeta.runs.report.run import FEW_SHOT, Seen

_ROWS = {
    "join": ("the join", "accuracy", "accuracy"),
    "active": ("learned", "area", "accuracy over labels"),
    "optimizers": ("learned", "final", "final loss"),
    "generative": ("learned", "nats", "nats a drawing"),
    "continual": (None, "accuracy", "accuracy"),
}
"""By kind the row of `evaluation.json`, its number, and what that is; None is the first row."""
_EPISODES = (
    "dataset",
    "data_checksum",
    "split_hash",
    "part",
    "way",
    "shot",
    "query_shot",
    "rotations",
    "within_groups",
)


class Measured(NamedTuple):
    """A number by its name, with half the width of its 95 % interval if that is known."""

    name: str
    mean: float
    ci95: float | None


class Difference(NamedTuple):
    """Of two runs, and whether both were measured on the same episodes."""

    mean: float
    ci95: float | None
    paired: bool


def floor(found: Mapping[str, Any]) -> Measured | None:
    """What needs no training, on the same episodes of an evaluation; None where it was not measured."""
    mean, ci95 = (found.get(f"floor_{name}") for name in ("accuracy", "ci95"))
    if not isinstance(mean, float):
        return None
    return Measured("floor, by the nearest class mean of raw inputs: accuracy", mean, ci95)


def evaluated(kind: str, found: Mapping[str, Any]) -> Measured | None:
    """What `evaluation.json` says; None where there is none, or nothing that is known here."""
    if kind == FEW_SHOT:
        name = "accuracy" if "accuracy" in found else "error"
        return _measured(f"test {name}" if found.get("part") == "test" else name, found.get(name), found.get("ci95"))
    if kind == "rl":
        return _measured("total reward", found.get("mean"), found.get("ci95"))
    if kind == "table":
        own = _row(found.get("models"), "this network")
        return _measured(str(found.get("score")), own.get("score"), own.get("ci95"))
    if kind not in _ROWS:
        return None
    row, number, name = _ROWS[kind]
    own = _row(found.get("rows"), row)
    return _measured(name, own.get(number), own.get("ci95"))


def _row(rows: Any, name: str | None) -> Mapping[str, Any]:
    own = rows.get(next(iter(rows), None) if name is None else name) if isinstance(rows, Mapping) else None
    return own if isinstance(own, Mapping) else {}


def _measured(name: str, mean: Any, ci95: Any) -> Measured | None:
    """Of a list, such as after more and more classes, the last."""
    mean, ci95 = (value[-1] if isinstance(value, list) and value else value for value in (mean, ci95))
    if not isinstance(mean, int | float):
        return None
    return Measured(name, float(mean), float(ci95) if isinstance(ci95, int | float) else None)


def best_validation(seen: Seen) -> tuple[int, Measured] | None:
    """The step and the number of the best validation: the highest, but for losses and errors."""
    name = validated_by(seen.rows)
    if name is None:
        return None
    sign = -1 if name.endswith(("loss", "error")) else 1
    row = max((row for row in seen.rows if name in row), key=lambda row: sign * row[name])
    return row["step"], Measured(f"validation {name.removeprefix('val_')}", row[name], row.get("val_ci95"))


def difference(mine: Seen, base: Seen) -> Difference | None:
    """How far a run is above another: paired where both met the same episodes; None where tasks were others.

    Unpaired, the halves add as independent ones do: `sqrt(a^2 + b^2)`.
    """
    one, other = (evaluated(seen.kind, seen.evaluation) for seen in (mine, base))
    if one is None or other is None or one.name != other.name or not _alike(mine, base):
        return None
    same = all(mine.evaluation.get(name) == base.evaluation.get(name) for name in ("seed", "episodes"))
    values, others = (_values(seen.evaluation) for seen in (mine, base))
    if same and len(values) == len(others) > 0:
        return Difference(*paired(values, others), True)
    known = one.ci95 is not None and other.ci95 is not None
    half = (one.ci95**2 + other.ci95**2) ** 0.5 if known else None  # type: ignore[operator]
    return Difference(one.mean - other.mean, half, False)


def _values(found: Mapping[str, Any]) -> list[float]:
    """That of each episode; none where they were not kept."""
    values = found.get("values")
    return values if isinstance(values, list) and all(isinstance(v, int | float) for v in values) else []


def _alike(mine: Seen, base: Seen) -> bool:
    """Whether the tasks of two evaluations are of the same kind."""
    if mine.kind == FEW_SHOT:
        return all(mine.evaluation.get(name) == base.evaluation.get(name) for name in _EPISODES)
    return all(mine.values.get(name) == base.values.get(name) for name in ("env", "dataset", "problem", "table"))
