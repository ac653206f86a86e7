"""`train` on the command line, for any area: settings from a preset, a file, a run or defaults, and flags on top."""

import dataclasses
import json
import tomllib
import typing
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import tyro

from jmeta.errors import RunError, unknown
from jmeta.experiment import Build
from jmeta.report.tables import print_group
from jmeta.runs.engine import processes, progress, record
from jmeta.runs.engine.compile_cache import use_compile_cache
from jmeta.runs.engine.devices import use_one_thread
from jmeta.runs.engine.members import is_group
from jmeta.runs.engine.options import Options
from jmeta.runs.engine.processes import Place
from jmeta.runs.engine.signals import asked_to_stop
from jmeta.runs.engine.train import Result, train
from jmeta.settings import check, differences, flag, names, read, replaced, to_dict

SOURCE = "source"
_NOT_OF_FILES = ("run_dir", "resume", "coordinator", "num_processes", "process_id", "preset", "config")
"""What a run does not take from the settings of another."""


class Area(NamedTuple):
    """What the command line trains.

    Attributes:
        kind: of its experiments, for the record.
        prog: the words before the flags.
        description: for --help.
        choice: a small frozen dataclass of what decides which settings there are, such as the algorithm.
        defaults: `choice -> (settings, options)`.
        build: `() -> build`, see `Build`; a fresh one, which keeps the data that it has loaded.
        run_dir: `(settings, options) -> folder`, where --run-dir is not given.
        check: `(settings, options)`; refuses what does not go together.
        presets: the folder of its presets in `jmeta/presets`.
        evaluate: the next command.
        light: `settings -> ` whether a task is too small for the cores of a CPU to share.
    """

    kind: str
    prog: str
    description: str
    choice: type
    defaults: Callable[[Any], tuple[Any, Options]]
    build: Callable[[], Build]
    run_dir: Callable[[Any, Options], str]
    check: Callable[[Any, Options], None]
    presets: str
    evaluate: str
    light: Callable[[Any], bool]


@dataclasses.dataclass(frozen=True)
class Whole:
    """All that a command line of training says."""

    settings: Any
    options: Options


class Start(NamedTuple):
    """What flags are put on top of: values by name, and where they are from."""

    values: dict[str, Any]
    where: str


def train_command(area: Area, words: Sequence[str]) -> int:
    """Train by the words of a command line, and say how it ended.

    Returns:
        The exit code: 0, or 130 or 143 after Ctrl-C or SIGTERM.

    Raises:
        RunError: for what the user can put right.
    """
    chosen, first = _first(area, words)
    if _asks_for_help(words):
        _parsed(area, words, _whole(area, chosen, first, _start(area, chosen, first)))
    if _is_light(area, chosen, first):
        use_one_thread()
    with processes.joined(Place(first.coordinator, first.num_processes, first.process_id)):
        start = processes.on_first(lambda: _start(area, chosen, first)._asdict())
        start = Start(**processes.said_by_first(start))
        whole = processes.together(lambda: _settled(area, _parsed(area, words, _whole(area, chosen, first, start))))
        settings, options = whole.settings, whole.options
        use_compile_cache(options.compile_cache)
        shown = progress.shown(title(settings)) if processes.is_first() else nullcontext(progress.silent)
        with asked_to_stop() as stop, shown as report:
            result = train(area.build(), settings, options, kind=area.kind, report=report, stop=stop)
        return _ended(area, options, result)


def title(settings: Any) -> str:
    """A word for the progress bar."""
    return getattr(settings, "algorithm", "steps")


def _asks_for_help(words: Sequence[str]) -> bool:
    return "-h" in words or "--help" in words


def _is_light(area: Area, chosen: Mapping[str, Any], first: Options) -> bool:
    """As far as this process can tell before it meets others."""
    try:
        return area.light(_whole(area, chosen, first, _start(area, chosen, first)).settings)
    except (RunError, OSError):
        return False


def _first(area: Area, words: Sequence[str]) -> tuple[dict[str, Any], Options]:
    """What the words say of the choice, and of where settings come from and processes meet."""
    hints = typing.get_type_hints(area.choice)
    optional = [
        (field.name, hints[field.name] | None, dataclasses.field(default=None))
        for field in dataclasses.fields(area.choice)
    ]
    taken = [
        (f.name, f.type, dataclasses.field(default=f.default))
        for f in dataclasses.fields(Options)
        if f.name in _NOT_OF_FILES
    ]
    kind = dataclasses.make_dataclass("First", [*optional, *taken], frozen=True)
    found, _ = tyro.cli(kind, args=list(words), prog=area.prog, return_unknown_args=True, add_help=False)
    values = dataclasses.asdict(found)
    chosen = {name: values[name] for name, _, _ in optional if values[name] is not None}
    return chosen, Options(**{name: values[name] for name, _, _ in taken})


def _start(area: Area, chosen: Mapping[str, Any], first: Options) -> Start:
    """The settings of a run that goes on, of a preset or of a file; none where there are defaults alone."""
    if first.preset is not None and first.config is not None:
        raise RunError("--preset and --config both say where to start from: give one.")
    if first.preset is not None:
        start = _of_preset(area, first.preset)
    elif first.config is not None:
        start = Start(_of_file(area, Path(first.config)), f"--config {first.config}")
    else:
        return _of_run(area, chosen, first)
    _check_choice(area, chosen, start)
    return start


def _of_run(area: Area, chosen: Mapping[str, Any], first: Options) -> Start:
    """The settings of a run that goes on, which its choice must be that of."""
    stored = record.load_any(Path(first.run_dir)) if first.resume and first.run_dir else None
    if stored is None:
        return Start({}, "")
    if stored.kind != area.kind:
        raise RunError(f"{first.run_dir} is a run of {stored.kind}, not {area.kind}: name another --run-dir.")
    values = {name: v for name, v in stored.values.items() if name not in (*_NOT_OF_FILES, "devices")}
    asked = to_dict(_defaults(area, chosen, values))
    different = differences({name: asked[name] for name in chosen if name in asked}, values, [*values.keys() - chosen])
    if different:
        raise RunError(
            f"{first.run_dir} belongs to another configuration ({'; '.join(different)}): "
            "resume it with its own settings, or choose another --run-dir."
        )
    return Start(values, f"{first.run_dir}/config.json")


def _check_choice(area: Area, chosen: Mapping[str, Any], start: Start) -> None:
    """Refuse a choice that does not have what a preset or a file sets."""
    own, mine = _defaults(area, {}, start.values), _defaults(area, chosen, start.values)
    lacks = [flag(name) for name in start.values if name in names(own) and name not in names(mine)]
    if lacks:
        said = " ".join(f"{flag(name)} {value}" for name, value in chosen.items() if start.values.get(name) != value)
        raise RunError(
            f"{start.where} sets {', '.join(lacks)}, which {said} does not have: "
            f"leave {start.where.partition(' ')[0]} or {said} out."
        )


def presets(area: Area) -> dict[str, dict[str, Any]]:
    """All presets by name, in alphabetical order, each with its `source`."""
    place = resources.files("jmeta") / "presets" / area.presets
    files = {file.name.removesuffix(".toml"): file for file in place.iterdir() if file.name.endswith(".toml")}
    return {name: tomllib.loads(files[name].read_text(encoding="utf-8")) for name in sorted(files)}


def _of_preset(area: Area, name: str) -> Start:
    key, known = name.lower().replace("_", "-"), presets(area)
    if key not in known:
        raise unknown("preset", name, known)
    values = {name: value for name, value in known[key].items() if name != SOURCE}
    return Start({**values, "preset": key}, f"--preset {key}")


def _of_file(area: Area, path: Path) -> dict[str, Any]:
    """Settings of a TOML file, or of the `config.json` of a run."""
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (json.JSONDecodeError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RunError(f"--config {path} can't be read ({error}): give a TOML file, or a run's config.json.") from error
    except FileNotFoundError as error:
        raise RunError(f"--config {path} is not there: give a TOML file, or a run's config.json.") from error
    if not isinstance(values, dict):
        raise RunError(f"--config {path} holds no settings by name: give a TOML file, or a run's config.json.")
    kind = values.get(record.KIND, area.kind)
    if kind != area.kind:
        raise RunError(f"--config {path} is of {kind}, not {area.kind}: give it to another command.")
    left_out = (*_NOT_OF_FILES, record.KIND, record.FACTS, record.MEMBERS, SOURCE)
    return {name: value for name, value in values.items() if name not in left_out}


def _choice(area: Area, chosen: Mapping[str, Any], values: Mapping[str, Any]) -> Any:
    """Flags win over files, and what neither names is the default."""
    known = [field.name for field in dataclasses.fields(area.choice)]
    return area.choice(**{name: source[name] for name in known for source in (values, chosen) if name in source})


def _defaults(area: Area, chosen: Mapping[str, Any], values: Mapping[str, Any]) -> Whole:
    return Whole(*area.defaults(_choice(area, chosen, values)))


def _whole(area: Area, chosen: Mapping[str, Any], first: Options, start: Start) -> Whole:
    """What stands before flags are put on top."""
    values = {name: value for name, value in start.values.items() if name not in chosen}
    whole = read(_defaults(area, chosen, start.values), values, start.where)
    return replaced(whole, {"resume": first.resume})


def _parsed(area: Area, words: Sequence[str], whole: Whole) -> Whole:
    return tyro.cli(
        Whole,
        default=whole,
        args=list(words),
        prog=area.prog,
        description=area.description,
        config=(tyro.conf.OmitArgPrefixes,),
    )


def _settled(area: Area, whole: Whole) -> Whole:
    """With a run folder; settings that don't go together are refused."""
    settings, options = whole.settings, whole.options
    check(whole)
    area.check(settings, options)
    run_dir = options.run_dir or area.run_dir(settings, options)
    return Whole(settings, replaced(options, {"run_dir": run_dir}))


def _ended(area: Area, options: Options, result: Result) -> int:
    if result.stopped_by is not None:
        if processes.is_first():
            again = f"{area.prog} --run-dir {result.run_dir} --resume"
            progress.complain(f"stopped and saved at step {result.step}: {again} goes on.")
        return 128 + result.stopped_by
    if is_group(options) and result.summary:
        print_group(result.summary, f"validation at step {result.summary['step']}")
    print(f"trained for {result.step} steps, kept in {result.run_dir}")
    print(f"next: {area.evaluate} --run-dir {result.run_dir}")
    return 0
