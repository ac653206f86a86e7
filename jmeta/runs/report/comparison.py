"""A page of several runs: one table, their curves in one figure, and what they differ in."""

from collections.abc import Mapping, Sequence
from typing import Any

from jmeta.report.curves import curves
from jmeta.runs.report.common import again_of, part
from jmeta.runs.report.headline import best_validation, difference, evaluated, floor
from jmeta.runs.report.numbers import seconds, shown, with_interval
from jmeta.runs.report.page import Html, joined, note, section, table, tag
from jmeta.runs.report.pictures import Draw
from jmeta.runs.report.run import Seen, status
from jmeta.runs.report.settings import NONE, differing, labels


def parts(every: Sequence[Seen], title: str, summary: Mapping[str, Any], draw: Draw) -> list[Html]:
    """All of the page; `summary` is that of a group, empty where the runs are none."""
    names, prog = labels(every), every[0].prog or every[0].kind
    said = f"{len(every)} runs of {prog}, the first of which, {names[0]}, the others are compared with."
    notes = [note(f"{name}: {told}") for name, seen in zip(names, every, strict=True) for told in seen.notes]
    return [
        tag("h1", title),
        tag("p", said, class_="lead"),
        *notes,
        section("Results", _results(every, names), _explained(every), *_of_group(summary)),
        part("Training", lambda: _curves(every, names, draw)),
        differing(every),
        _made(every, names),
    ]


def _results(every: Sequence[Seen], names: Sequence[str]) -> Html:
    rows, floors = [], [floor(seen.evaluation) for seen in every]
    for seen, name, least in zip(every, names, floors, strict=True):
        found, best = evaluated(seen.kind, seen.evaluation), best_validation(seen)
        cells = [NONE, NONE] if found is None else [with_interval(_kind(found.name), found.mean, found.ci95)]
        cells += [] if found is None else [_difference(seen, every[0])]
        if any(floors):
            cells.append(NONE if least is None else with_interval("accuracy", least.mean, least.ci95))
        cells.append(NONE if best is None else with_interval(_kind(best[1].name), best[1].mean, best[1].ci95))
        rows.append((name, *cells, shown(best[0]) if best else NONE))
    measured = next((found.name for s in every if (found := evaluated(s.kind, s.evaluation))), "evaluation")
    validated = next((best[1].name for s in every if (best := best_validation(s))), "validation")
    header = ["run", measured, "difference", *["floor"] * any(floors), f"best {validated}", "at step"]
    return table("With 95 % intervals", header, rows, kind="numbers")


def _kind(name: str) -> str:
    return "accuracy" if name.endswith("accuracy") else "number"


def _difference(seen: Seen, base: Seen) -> str:
    """To the first run, in points of percent for accuracies."""
    if seen is base or (found := difference(seen, base)) is None:
        return NONE
    own = evaluated(seen.kind, seen.evaluation)
    kind = _kind(own.name if own else "")
    return f"{with_interval(kind, found.mean, found.ci95, sign='+')}, {'paired' if found.paired else 'unpaired'}"


def _explained(every: Sequence[Seen]) -> Html:
    found = [difference(seen, every[0]) for seen in every[1:]]
    said = []
    if any(floor(seen.evaluation) for seen in every):
        said.append("The floor is the nearest class mean of raw inputs, on the same episodes.")
    if any(each is not None and each.paired for each in found):
        said.append("Paired: both met the same episodes, and the interval is that of the differences on each.")
    if any(each is not None and not each.paired for each in found):
        said.append("Unpaired: the intervals of both are added as if they were independent.")
    if any(each is None for each in found):
        said.append("No difference: a run is not evaluated, or was on other data or tasks of another size.")
    return tag("p", " ".join(said)) if said else Html()


def _of_group(summary: Mapping[str, Any]) -> list[Html]:
    """Means over the seeds of each setting."""
    rows = [row for row in summary.get("settings", ()) if isinstance(row, Mapping)]
    if not rows:
        return []
    kind = _kind(str(summary.get("measured")))
    cells = []
    for row in rows:
        rates = ", ".join(f"{name} {shown(v)}" for name, v in row.items() if name not in ("seeds", "mean", "ci95"))
        mean = NONE if row.get("mean") is None else with_interval(kind, row["mean"], row.get("ci95"))
        cells.append((rates or "all", shown(row.get("seeds")), mean))
    return [table("Over the seeds of each setting", ["setting", "seeds", str(summary.get("measured"))], cells)]


def _curves(every: Sequence[Seen], names: Sequence[str], draw: Draw) -> list[Html]:
    rows = {name: seen.rows for name, seen in zip(names, every, strict=True) if seen.rows}
    return draw(lambda: curves(rows), f"Training and validation of {', '.join(rows)}.", "") if rows else []


def _made(every: Sequence[Seen], names: Sequence[str]) -> Html:
    rows = [
        (name, status(seen), seconds(sum(row.get("seconds", 0.0) for row in seen.rows)), shown(seen.values.get("seed")))
        for name, seen in zip(names, every, strict=True)
    ]
    again = joined(tag("div", tag("h3", name), again_of(seen)) for name, seen in zip(names, every, strict=True))
    return section("How they were made", table("Runs", ["run", "state", "took", "seed"], rows), again)
