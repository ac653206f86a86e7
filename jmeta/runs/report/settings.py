"""The settings of a run: in groups, beside their defaults; what runs differ in; the command that trains it again."""

import dataclasses
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jmeta import settings as flat
from jmeta.runs.engine import folder
from jmeta.runs.engine.flags import TITLES
from jmeta.runs.engine.options import OWN
from jmeta.runs.mtl import kept
from jmeta.runs.report.numbers import shown
from jmeta.runs.report.page import Html, facts, joined, section, table, tag
from jmeta.runs.report.run import Seen

NONE = "–"
_OF_PLACE = ("run_dir", "resume", "config", "preset", *OWN)
"""What is said elsewhere, or of one start of the run alone."""
_TOLD = ("device", "processes", "jmeta_version", "versions", "split_hash", "checksum", "parameters")
"""Facts that may differ between runs and matter."""


def grouped(settings: Any, title: str = "what is trained") -> Iterator[tuple[str, list[str]]]:
    """Titles of groups with the names of their settings, as `--help` has them."""
    own = []
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            inside = title if field.name == "settings" else TITLES.get(field.name, field.name)
            yield from grouped(value, inside)
        else:
            own.append(field.name)
    if own:
        yield title, own


def settings_of(seen: Seen) -> Html:
    """All settings that have a value; those that are not the default's are marked, and say what that is."""
    if seen.whole is None:
        values = {name: shown(v) for name, v in seen.values.items() if not _empty(v)}
        return section("Settings", tag("div", tag("div", facts(values)), class_="groups"))
    values, start, cards = flat.to_dict(seen.whole), flat.to_dict(seen.start), []
    for title, names in sorted(grouped(seen.whole), key=lambda group: group[0] != "what is trained"):
        told = {
            flat.flag(name).removeprefix("--"): _beside(values[name], start.get(name))
            for name in names
            if name not in (*_OF_PLACE, "devices")
            and not (values[name] in (None, []) and start.get(name) in (None, []))
        }
        if told:
            cards.append(tag("div", tag("h3", title), facts(told)))
    said = "Those that are not the default of this choice are bold, with the default beside them."
    preset = seen.values.get("preset")
    said += f" It started from the preset {preset}." if preset else ""
    return section("Settings", tag("p", said), tag("div", *cards, class_="groups"))


def _empty(*values: Any) -> bool:
    return all(value is None or value == [] for value in values)


def _beside(value: Any, default: Any) -> Html:
    if value == default:
        return Html(joined([shown(value)]))
    return joined([tag("mark", shown(value)), " ", tag("small", f"(default {shown(default)})")])


def differing(every: Sequence[Seen]) -> Html:
    """The settings and facts that runs differ in, and no others."""
    parts = []
    for caption, each in (
        ("Settings that differ", [seen.values for seen in every]),
        ("What else differs", [{name: seen.facts.get(name) for name in _TOLD} for seen in every]),
    ):
        names = [name for name in dict.fromkeys(n for own in each for n in own) if name not in _OF_PLACE]
        rows = [
            (name, *(shown(own[name]) if name in own else "–" for own in each)) for name in names if _differ(name, each)
        ]
        if rows:
            parts.append(table(caption, ["", *labels(every)], rows))
    return section("What differs", *(parts or [tag("p", "Their settings are the same.")]))


def _differ(name: str, each: Sequence[Mapping[str, Any]]) -> bool:
    return any(own.get(name) != each[0].get(name) for own in each)


def labels(every: Sequence[Seen]) -> list[str]:
    """A name for each run: that of its folder, or where it is where two are called the same."""
    names = [seen.name for seen in every]
    return [str(seen.path) if names.count(seen.name) > 1 else seen.name for seen in every]


def command(seen: Seen) -> str:
    """The words that train the same again in another folder, as a shell takes them."""
    if seen.whole is None:
        area = f"jmeta run {shlex.quote(seen.kind)}"
        return f"{area} --config {shlex.quote(str(seen.path / folder.CONFIG))} --run-dir NEW"
    values, start = flat.to_dict(seen.whole), flat.to_dict(seen.start)
    words = [seen.prog, *([shlex.quote(str(values["table"]))] if seen.kind == kept.KIND else [])]
    for name, value in values.items():
        said = name in seen.chosen or name in ("seed", "devices") or value != start.get(name)
        if said and value is not None and name not in (*_OF_PLACE, "table"):
            words.append(_words(name, value))
    return " ".join([*words, "--run-dir NEW"])


def _words(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return flat.flag(name if value else f"no_{name}")
    return shlex.join([flat.flag(name), *(map(str, value) if isinstance(value, list) else [str(value)])])
