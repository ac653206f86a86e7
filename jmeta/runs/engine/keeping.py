"""What is written of each member of a run: rows, checkpoints, and the summary of a group."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jmeta import evaluation
from jmeta.errors import RunError
from jmeta.experiment import Score
from jmeta.report import statistics
from jmeta.report.files import write_json
from jmeta.runs.engine import checkpoints, folder
from jmeta.runs.engine.checkpoints import Checkpoints
from jmeta.runs.engine.members import Member
from jmeta.settings import typed


def row(step: int, metrics: Any, seconds: float, counts: Mapping[str, float]) -> dict[str, Any]:
    """A row of `metrics.jsonl`: means of a NamedTuple of numbers `[steps]`, and how much of `counts` a second."""
    found = {name: v for name, v in metrics._asdict().items() if v is not None}
    means = {name: float(np.mean(values, dtype=np.float64)) for name, values in found.items()}
    steps = len(metrics.loss)
    speeds = {f"{name}_per_second": round(steps * number / seconds, 1) for name, number in counts.items()}
    return {"step": step, **means, "seconds": round(seconds, 3), **speeds}


def validated(
    validate: Callable[[Any, int], Mapping[str, Any]] | None, score: Score | None, params: Any, i: int
) -> dict[str, float]:
    """What a validation adds to a row: means, and the interval of the score."""
    if validate is None:
        return {}
    found = {name: evaluation.summarize(np.asarray(values)) for name, values in validate(params, i).items()}
    numbers = {f"val_{name}": result.mean for name, result in found.items()}
    return numbers | ({} if score is None else {"val_ci95": found[score.name].ci95})


def known_to_diverge(run_dir: Path) -> dict[str, int]:
    """The members of a group that have diverged before, and at what step."""
    known = summary(run_dir).get("members", {})
    return {name: own["diverged_at"] for name, own in known.items() if "diverged_at" in own}


def summary(run_dir: Path) -> dict[str, Any]:
    """What `summary.json` of a group holds; empty where there is none."""
    path = run_dir / folder.SUMMARY
    if not path.exists():
        return {}
    found = folder.read_json(path, {"step": int, "measured": str, "members": dict, "settings": tuple[dict, ...]})
    for name, own in (*found["members"].items(), *(("settings", own) for own in found["settings"])):
        for field, value in typed(name, own, dict, str(path)).items():
            typed(field, value, int if field == "diverged_at" else float | None, f"{name} of {path}")
    return found


def common_step(kept: Mapping[str, Checkpoints], run_dir: Path, save_every: int) -> int:
    """The newest step that all members have a checkpoint of; 0 where a kill came before all had their first."""
    steps = {name: checkpoints.steps(own) for name, own in kept.items()}
    common = set.intersection(*(set(own) for own in steps.values())) if steps else set()
    if common:
        return max(common)
    latest = max((max(own, default=0) for own in steps.values()), default=0)
    if latest <= save_every and not all(steps.values()):
        return 0
    where = "; ".join(f"{name}: {', '.join(map(str, own)) or 'none'}" for name, own in steps.items())
    raise RunError(
        f"the members of {run_dir} have no checkpoint of the same step ({where}): "
        "go on with each by itself, by --resume and its own --run-dir."
    )


def save(
    kept: Mapping[str, Checkpoints], states: Mapping[str, Any], rows: Mapping[str, Any], score: Score | None
) -> None:
    """A checkpoint of each state, by the names of members, with its score if it was validated."""
    for name, state in states.items():
        checkpoints.save(kept[name], state, None if score is None else score.sign * rows[name][f"val_{score.name}"])
    # Not before all are saved: a kill in between then leaves a step that all have.
    for name in states:
        checkpoints.prune(kept[name])


def write_summary(
    run_dir: Path,
    step: int,
    score: Score | None,
    members: Mapping[str, Member],
    rows: Mapping[str, Mapping[str, Any]],
    diverged: Mapping[str, int],
) -> None:
    """`summary.json` of a group: each member's validation, and mean and interval over the seeds of each setting."""
    name = "loss" if score is None else f"val_{score.name}"
    before = summary(run_dir)
    now = {member: own for member, own in rows.items() if name in own}
    latest = now or {member: own for member, own in before.get("members", {}).items() if name in own}
    numbers = {member: {key: own[key] for key in (name, "val_ci95") if key in own} for member, own in latest.items()}
    found = statistics.summary(
        name,
        {member: own.varied for member, own in members.items()},
        numbers | {member: {"diverged_at": at} for member, at in diverged.items()},
    )
    write_json(run_dir / folder.SUMMARY, {"step": step if now else before.get("step", 0), **found})


def mean_row(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What is shown of all members: their means, and what all do in a second."""
    means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    speeds = {name: sum(row[name] for row in rows) for name in means if name.endswith("_per_second")}
    return {**means, "step": rows[0]["step"], **speeds}
