"""What a page has of any run: what it is, its numbers, its training, its evaluations, and how it was made."""

from collections.abc import Callable, Sequence
from typing import Any

from jmeta.errors import RunError, sentence
from jmeta.report.curves import curves, trained_by, validated_by
from jmeta.runs.engine import folder
from jmeta.runs.report.headline import Measured, best_validation, evaluated
from jmeta.runs.report.numbers import seconds, shown, tables_of, with_interval
from jmeta.runs.report.page import Html, facts, joined, note, section, table, tag
from jmeta.runs.report.pictures import Draw
from jmeta.runs.report.run import Seen, status
from jmeta.runs.report.settings import command

_MOST_ROWS = 12


def part(title: str, make: Callable[[], Sequence[Html]]) -> Html:
    """A section, a sentence in its place where it can't be made, or nothing where there is nothing of it."""
    try:
        inside = make()
    except (RunError, OSError) as error:
        inside = [note(f"This is left out: {sentence(error)}")]
    return section(title, *inside) if inside else Html()


def lead(seen: Seen, what: str) -> list[Html]:
    """The name of the run, what it is and how far."""
    said = [tag("p", sentence, class_="lead") for sentence in (what, status(seen)) if sentence]
    return [tag("h1", seen.name), *said, *map(note, seen.notes)]


def what_it_is(seen: Seen) -> str:
    """A sentence of what decides its settings: the algorithm, and what it is trained on."""
    chosen = ", ".join(f"{name.replace('_', ' ')} {shown(seen.values.get(name))}" for name in seen.chosen)
    return f"A run of {seen.prog or seen.kind}{': ' if chosen else ''}{chosen}."


def card(measured: Measured, beside: str = "") -> Html:
    """A number in large print, with its name below."""
    name = "accuracy" if measured.name.endswith("accuracy") else "number"
    big = tag("b", with_interval(name, measured.mean, measured.ci95))
    return tag("div", big, tag("span", measured.name + (f", {beside}" if beside else "")))


def headline(seen: Seen, floor: Measured | None = None) -> Html:
    """The evaluation beside its floor, and the best validation."""
    found, cards = evaluated(seen.kind, seen.evaluation), []
    if found is not None:
        number = seen.evaluation.get("episodes")
        cards.append(card(found, f"{number} episodes" if number else ""))
    if floor is not None:
        cards.append(card(floor))
    if best := best_validation(seen):
        cards.append(card(best[1], f"best, at step {best[0]}"))
    return tag("div", *cards, class_="headline") if cards else Html()


def training(seen: Seen, draw: Draw, figure: Callable[[], Any] | None = None) -> list[Html]:
    """The curve, and some rows of it; nothing before the first row."""
    if not seen.rows:
        return []
    return [*draw(figure or (lambda: curves({seen.name: seen.rows})), told(seen.rows), ""), rows_of(seen.rows)]


def told(rows: Sequence[dict[str, Any]]) -> str:
    """What a training curve shows, in words."""
    name, last = trained_by(rows), rows[-1]["step"]
    values = [row[name] for row in rows if name in row]
    from_to = f" goes from {shown(values[0])} to {shown(values[-1])}" if values else ""
    validated = validated_by(rows)
    beside = f", with the validation {validated.removeprefix('val_')} beside it" if validated else ""
    return f"Training over {last} steps: the {name}{from_to}{beside}."


def rows_of(rows: Sequence[dict[str, Any]]) -> Html:
    """At most a dozen rows, the validated ones if there are any, evenly from all."""
    name = validated_by(rows)
    some = [row for row in rows if name in row] if name else list(rows)
    picked = [some[round(i * (len(some) - 1) / max(_MOST_ROWS - 1, 1))] for i in range(_MOST_ROWS)]
    some = some if len(some) <= _MOST_ROWS else picked
    columns = [c for c in dict.fromkeys(c for row in some for c in row) if c != "step" and "second" not in c]
    cells = [(str(row["step"]), *(shown(row[c]) if c in row else "" for c in columns)) for row in some]
    what = "Steps with a validation" if name else "Steps"
    heading = f"{what}, as metrics.jsonl has them" + ("" if len(cells) < _MOST_ROWS else " (some of them)")
    return table(heading, ["step", *(c.replace("_", " ") for c in columns)], cells, kind="numbers")


def evaluations(seen: Seen) -> list[Html]:
    """Every file that an evaluation has left, as tables."""
    parts = []
    for path in sorted([*seen.path.glob("evaluation*.json"), *seen.path.glob("uncertainty.json")]):
        try:
            parts += tables_of(folder.read_json(path), path.name)
        except RunError as error:
            parts.append(note(sentence(error)))
    return parts


def again_of(seen: Seen) -> Html:
    """The command that trains the run again, which breaks between its words alone."""
    return tag("pre", tag("code", joined((tag("span", word) for word in command(seen).split(" ")), " ")))


def made(seen: Seen) -> Html:
    """Versions, device, data, seed and duration, and the command that makes the run again."""
    known, versions = seen.facts, seen.facts.get("versions")
    took = sum(row.get("seconds", 0.0) for row in seen.rows)
    compiling = sum(row.get("compile_seconds", 0.0) for row in seen.rows)
    pairs = {
        "folder": str(seen.path.resolve()),
        "seed": seen.values.get("seed"),
        "duration": f"{seconds(took)}, and {seconds(compiling)} of compiling" if seen.rows else None,
        "device": known.get("device"),
        "devices": seen.values.get("devices"),
        "processes": known.get("processes"),
        "parameters": f"{known['parameters']:,}" if type(known.get("parameters")) is int else None,
        "protocol": known.get("protocol"),
        "split hash": known.get("split_hash"),
        "data checksum": known.get("checksum"),
        "jmeta": known.get("jmeta_version"),
        **(versions if isinstance(versions, dict) else {}),
    }
    there = {name: shown(value) for name, value in pairs.items() if value is not None}
    again = [tag("h3", "The command that makes it again"), again_of(seen)]
    return section("How it was made", tag("div", tag("div", facts(there)), class_="groups single"), *again)
