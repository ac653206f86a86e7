"""`train` on the command line, for any area: settings from a preset, a file, a run or defaults, and flags on top."""

import dataclasses
import json
import math
import shlex
import tomllib
import typing
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

from jmeta.errors import RunError, several
from jmeta.registry import TRUST, is_code
from jmeta.report.tables import print_group
from jmeta.runs.engine import area as areas
from jmeta.runs.engine import processes, progress, record
from jmeta.runs.engine.area import SOURCE, Area, Whole, preset_values, start_of
from jmeta.runs.engine.compile_cache import use_compile_cache
from jmeta.runs.engine.devices import use_one_thread
from jmeta.runs.engine.flags import parsed
from jmeta.runs.engine.members import is_group
from jmeta.runs.engine.options import Options
from jmeta.runs.engine.signals import asked_to_stop
from jmeta.runs.engine.train import Result
from jmeta.runs.engine.words import read_words
from jmeta.settings import differences, fields, flag, names, read, replaced, to_dict

_NOT_OF_FILES = ("run_dir", "resume", "coordinator", "num_processes", "process_id", "preset", "config")
"""What a run does not take from the settings of another."""


_MEANT = {
    "learner": "algorithm", "method": "algorithm", "model": "network", "data": "dataset", "environment": "env",
    "lr": "outer_lr", "learning_rate": "outer_lr", "batch_size": "meta_batch_size", "ways": "way", "shots": "shot",
    "queries": "query_shot", "steps": "outer_steps", "iterations": "outer_steps", "epochs": "outer_steps",
    "output": "run_dir", "out": "run_dir", "output_dir": "run_dir",
}  # fmt: skip
"""What other programs call it."""


class Start(NamedTuple):
    """What flags are put on top of: values by name, and where they are from."""

    values: dict[str, Any]
    where: str


def train_command(area: Area, words: Sequence[str]) -> int:
    """Train by the words of a command line; the exit code is 0, or 130 or 143 after Ctrl-C or SIGTERM."""
    chosen, first = _first(area, words)
    if "-h" in words or "--help" in words:
        _parsed(area, words, _whole(area, chosen, first, _start(area, chosen, first)))
    if _is_light(area, chosen, first):
        use_one_thread()
    with processes.joined(first.meeting):
        start = Start(*processes.said_by_first(processes.on_first(_start, area, chosen, first)))
        whole = processes.together(lambda: _parsed(area, words, _whole(area, chosen, first, start)))
        settings, options = whole.settings, whole.options
        if "--sweep" in words and not options.sweep:
            raise RunError("--sweep has no values: give some, as in --sweep inner_lr=0.1,0.4.")
        processes.together(areas.check, area, settings, options)
        use_compile_cache(options.compile_cache)
        title = getattr(settings, "algorithm", "steps")
        shown = progress.shown(title) if processes.is_first() else nullcontext(progress.silent)
        with asked_to_stop() as stop, shown as report:
            result = areas.train(area, settings, options, report=report, stop=stop)
        return _ended(area, settings, options, result)


def _is_light(area: Area, chosen: Mapping[str, Any], first: Options) -> bool:
    """As far as this process can tell before it meets others."""
    try:
        return area.light(_whole(area, chosen, first, _start(area, chosen, first)).settings)
    except (RunError, OSError):
        return False


def _first(area: Area, words: Sequence[str]) -> tuple[dict[str, Any], Options]:
    """What the words say of the choice, and of where settings come from and processes meet."""
    hints, own = typing.get_type_hints(area.choice), [field.name for field in dataclasses.fields(area.choice)]
    optional = [(name, hints[name] | None, dataclasses.field(default=None)) for name in own]
    taken = [
        (f.name, f.type, dataclasses.field(default=f.default)) for f, _ in fields(Options()) if f.name in _NOT_OF_FILES
    ]
    kind = dataclasses.make_dataclass("First", [*optional, *taken], frozen=True)
    found, _ = read_words(kind, words, prog=area.prog, return_unknown_args=True, add_help=False)
    values = dataclasses.asdict(found)
    chosen = {name: values[name] for name in own if values[name] is not None}
    first = replaced(Options(), {name: values[name] for name in _NOT_OF_FILES})
    if first.resume and first.run_dir is None and first.preset is None and first.config is None:
        # Which folder goes on is said by all the words together, and what it holds comes before them.
        whole = _parsed(area, words, _whole(area, chosen, first, Start({}, "")))
        first = replaced(first, {"run_dir": area.run_dir(whole.settings, whole.options)})
    return chosen, first


def _start(area: Area, chosen: Mapping[str, Any], first: Options) -> Start:
    """The settings of a run that goes on, of a preset or of a file; none where there are defaults alone."""
    if first.preset is not None and first.config is not None:
        raise RunError("--preset and --config both say where to start from: give one.")
    if first.preset is not None:
        values = preset_values(area, first.preset)
        start = Start(values, f"--preset {values['preset']}")
    elif first.config is not None:
        start = Start(_of_file(area, Path(first.config)), f"--config {first.config}")
    else:
        return _of_run(area, chosen, first)
    _check_choice(area, chosen, start)
    return start


def _of_run(area: Area, chosen: Mapping[str, Any], first: Options) -> Start:
    """The settings of a run that goes on, which its choice must be that of."""
    stored = record.going_on(first)
    if stored is None:
        return Start({}, "")
    if stored.kind != area.kind:
        raise RunError(f"{first.run_dir} is a run of {stored.kind}, not {area.kind}: name another --run-dir.")
    values = {name: v for name, v in stored.values.items() if name not in (*_NOT_OF_FILES, "devices")}
    asked = to_dict(start_of(area, {**values, **chosen}))
    mine = {name: asked[name] for name in chosen if name in asked}
    record.refuse_other(str(first.run_dir), differences(mine, values, [*values.keys() - chosen]))
    return Start(values, f"{first.run_dir}/config.json")


def _check_choice(area: Area, chosen: Mapping[str, Any], start: Start) -> None:
    """Refuse a choice that does not have what a preset or a file sets."""
    own, mine = names(start_of(area, start.values)), names(start_of(area, {**start.values, **chosen}))
    lacks = [flag(name) for name in start.values if name in own and name not in mine]
    if lacks:
        said = " ".join(f"{flag(name)} {value}" for name, value in chosen.items() if start.values.get(name) != value)
        raise RunError(
            f"{start.where} sets {', '.join(lacks)}, which {said} does not have: "
            f"leave {start.where.partition(' ')[0]} or {said} out."
        )


def _of_file(area: Area, path: Path) -> dict[str, Any]:
    """Settings of a TOML file, or of the `config.json` of a run."""
    give = "give a TOML file, or a run's config.json."
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (json.JSONDecodeError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RunError(f"--config {path} can't be read ({error}): {give}") from error
    except FileNotFoundError as error:
        raise RunError(f"--config {path} is not there: {give}") from error
    if not isinstance(values, dict):
        raise RunError(f"--config {path} holds no settings by name: {give}")
    kind = values.get(record.KIND, area.kind)
    if kind != area.kind:
        raise RunError(f"--config {path} is of {kind}, not {area.kind}: give it to another command.")
    left_out = (*_NOT_OF_FILES, record.KIND, record.FACTS, record.MEMBERS, SOURCE)
    return {name: value for name, value in values.items() if name not in left_out}


def _whole(area: Area, chosen: Mapping[str, Any], first: Options, start: Start) -> Whole:
    """What stands before flags are put on top."""
    values = {name: value for name, value in start.values.items() if name not in chosen}
    whole = read(start_of(area, {**start.values, **chosen}), values, start.where)
    return replaced(whole, {"resume": first.resume, "run_dir": first.run_dir})


def _parsed(area: Area, words: Sequence[str], whole: Whole) -> Whole:
    _check_flags(area, words, whole)
    return _in_step(words, parsed(Whole, words, default=whole, prog=area.prog, description=area.description))


def _in_step(words: Sequence[str], whole: Whole) -> Whole:
    """Where one of --log-every and --save-every is said, the other is brought to it, unless it is said too."""
    rows, saves = whole.options.log_every, whole.options.save_every
    said = [any(word.partition("=")[0].replace("_", "-") == f"--{n}-every" for word in words) for n in ("log", "save")]
    if said == [False, True] and saves > 0 and rows > 0:
        return replaced(whole, {"log_every": math.gcd(rows, saves)})
    if said == [True, False] and rows > 0:
        return replaced(whole, {"save_every": math.ceil(saves / rows) * rows})
    return whole


def _check_flags(area: Area, words: Sequence[str], whole: Whole) -> None:
    """Refuse a flag that another choice has and this one has not, and name that choice."""
    given, known, choices = to_dict(whole), names(whole), area.choices()
    now = {field.name: given.get(field.name, field.default) for field in dataclasses.fields(area.choice)}
    for word in (word for word in words if word.startswith("--")):
        name = word[2:].partition("=")[0].replace("-", "_")
        if name in known or name.removeprefix("no_") in known:
            continue
        if _MEANT.get(name) in known:
            raise RunError(f"there is no {flag(name)}: did you mean {flag(_MEANT[name])}?")
        others = [
            f"{flag(field)} {value}"
            for field, values in choices.items()
            for value in values
            if name in names(start_of(area, {**now, field: value}))
        ]
        if others:
            chosen = " ".join(f"{flag(field)} {now[field]}" for field in choices)
            more = f" and {len(others) - 4} more" if len(others) > 4 else ""
            raise RunError(
                f"{flag(name)} is nothing that {chosen} can be told: leave it out, or choose "
                f"{' or '.join(others[:4])}{more}."
            )


def _ended(area: Area, settings: Any, options: Options, result: Result) -> int:
    if result.stopped_by is not None:
        if processes.is_first():
            again = f"{area.prog} --run-dir {shlex.quote(str(result.run_dir))} --resume"
            progress.complain(f"stopped and saved at step {result.step}: {again} goes on.")
        return 128 + result.stopped_by
    if is_group(options) and result.summary:
        print_group(result.summary, f"validation at step {result.summary['step']}")
    progress.say(f"trained for {several(result.step, 'step')}, kept in {result.run_dir}")
    if area.evaluate:
        trust = f" {TRUST}" if any(map(is_code, to_dict(settings).values())) else ""
        progress.say(f"next: {area.evaluate} --run-dir {shlex.quote(str(result.run_dir))}{trust}")
    return 0
