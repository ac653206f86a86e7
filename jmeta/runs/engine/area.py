"""What an area gives to the engine, and what each then has: presets, training, settings out of run folders."""

import dataclasses
import tomllib
from collections.abc import Callable, Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from jmeta import settings as flat
from jmeta.errors import RunError, unknown
from jmeta.experiment import Build
from jmeta.registry import by_files
from jmeta.runs.engine import folder, record
from jmeta.runs.engine.options import Options
from jmeta.runs.engine.progress import Report, silent
from jmeta.runs.engine.signals import Stop
from jmeta.runs.engine.train import Result
from jmeta.runs.engine.train import train as train_by_engine
from jmeta.runs.engine.warm_start import Fit, as_they_are, from_run

SOURCE = "source"


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
        choices: `() -> {field: names}`, what its words may be, where others have other settings.
        check: `(settings, options)`; refuses what does not go together.
        presets: the folder of its presets in `jmeta/presets`; empty for none.
        evaluate: the next command; empty for none.
        light: `settings -> ` whether a task is too small for the cores of a CPU to share.
        fit: what `--init-from` does with an array of another run, see `engine.warm_start`.
        shaped_by: the settings that decide which parameters there are, for an error of `--init-from`.
    """

    kind: str
    prog: str
    description: str
    choice: type
    defaults: Callable[[Any], tuple[Any, Options]]
    build: Callable[[], Build]
    run_dir: Callable[[Any, Options], str]
    choices: Callable[[], Mapping[str, Iterable[str]]] = lambda: {}
    check: Callable[[Any, Options], None] = lambda settings, options: None
    presets: str = ""
    evaluate: str = ""
    light: Callable[[Any], bool] = lambda settings: False
    fit: Fit = as_they_are
    shaped_by: str = "--algorithm, --network and --features"


@dataclasses.dataclass(frozen=True)
class Whole:
    """All that a command line of training says."""

    settings: Any
    options: Options


class Loaded(NamedTuple):
    """What a run folder says of its run or group; `facts` is what else `config.json` knows, and empty for a group."""

    settings: Any
    options: Options
    facts: dict[str, Any]


def start_of(area: Area, values: Mapping[str, Any], where: str = "the choice") -> Whole:
    """The defaults for the choice that settings by name are of; `where` they are from is for errors."""
    known = [field.name for field in dataclasses.fields(area.choice)]
    return Whole(*area.defaults(flat.read(area.choice(), {n: values[n] for n in known if n in values}, where)))


def presets(area: Area) -> dict[str, dict[str, Any]]:
    """All presets by name, in alphabetical order, each with its `source`."""
    if not area.presets:
        return {}
    place = resources.files("jmeta") / "presets" / area.presets
    files = {file.name.removesuffix(".toml"): file for file in place.iterdir() if file.name.endswith(".toml")}
    return {name: tomllib.loads(files[name].read_text(encoding="utf-8")) for name in sorted(files)}


def preset_values(area: Area, name: str) -> dict[str, Any]:
    """What a preset sets, and its name; RunError if there is none of this name."""
    key, known = name.lower().replace("_", "-"), presets(area)
    if key not in known:
        raise unknown("preset", name, known)
    return {**{name: value for name, value in known[key].items() if name != SOURCE}, "preset": key}


def from_preset(area: Area, name: str) -> tuple[Any, Options]:
    """The settings and options of a preset; RunError if there is none of this name."""
    values = preset_values(area, name)
    whole = flat.read(start_of(area, values), values, f"preset {values['preset']}")
    return whole.settings, whole.options


def load_run(area: Area, run_dir: Path, *, trust_code: bool = False) -> Loaded:
    """The settings of a single run.

    Args:
        area: whose runs are read.
        run_dir: the folder.
        trust_code: whether to run the code that the folder names, `FILE.py:NAME` or `MODULE:NAME`, which is that of
            whoever wrote the folder. On the command line, what its words name is run too.

    Raises:
        RunError: if the folder has no run, one of another area or version, or is damaged; or names code to run.
    """
    with by_files(trust_code):
        return _loaded(area, record.load(run_dir), run_dir / folder.CONFIG)


def load_group(area: Area, run_dir: Path, *, trust_code: bool = False) -> Loaded:
    """The settings of the folder of a group of runs; as `load_run`."""
    path = run_dir / folder.GROUP
    with by_files(trust_code):
        return _loaded(area, record.read(path), path)


def _loaded(area: Area, stored: record.Stored, path: Path) -> Loaded:
    if stored.kind != area.kind:
        raise RunError(f"{path.parent} is a run of {stored.kind}, not {area.kind}: give it to the commands of its own.")
    start = start_of(area, stored.values, str(path))
    names = {field.name for field in dataclasses.fields(area.choice)} & {*flat.names(start)}
    # What is None by default may be younger than the run.
    given = {name for name, value in flat.to_dict(start).items() if value is not None}
    for needed in (names, given - {*flat.names(start, "place")}):
        if needed - stored.values.keys():
            lacks = ", ".join(sorted(needed - stored.values.keys()))
            raise RunError(f"{path} lacks {lacks}: it was made by another version, or changed by hand.")
    whole = flat.read(start, stored.values, str(path))
    try:
        check(area, whole.settings, whole.options)
    except RunError as error:
        raise RunError(f"{path} can't be used: {error}") from error
    return Loaded(whole.settings, whole.options, stored.facts)


def check(area: Area, settings: Any, options: Options) -> None:
    """Refuse values that can't be, alone or together; the RunError names the setting and what it may be."""
    flat.check(settings)
    flat.check(options)
    area.check(settings, options)


def in_folder(area: Area, settings: Any, options: Options) -> Options:
    """The options with a run folder, which is named after the settings where it is not given."""
    return flat.replaced(options, {"run_dir": options.run_dir or area.run_dir(settings, options)})


def train(
    area: Area,
    settings: Any,
    options: Options,
    *,
    report: Report = silent,
    stop: Stop = lambda: None,
    save_seconds: float | None = None,
) -> Result:
    """Train, or go on training, in a run folder, by `engine.train.train`, whose other arguments are the same.

    Without a run folder in the options, it is kept where the command line would.

    Raises:
        RunError: as there, and for settings that don't go together.
        OSError: if the run folder can't be written to.
    """
    check(area, settings, options)
    options, build = in_folder(area, settings, options), area.build()
    if options.init_from is not None and not (options.resume and _has_checkpoints(Path(str(options.run_dir)))):
        build = from_run(build, Path(options.init_from), area.kind, area.fit, area.shaped_by)
    return train_by_engine(
        build, settings, options, kind=area.kind, report=report, stop=stop, save_seconds=save_seconds
    )


def _has_checkpoints(run_dir: Path) -> bool:
    """Whether a run, or all of a group, would go on from a checkpoint, so that where it began no longer matters."""
    members = record.members_of(run_dir) if (run_dir / folder.GROUP).exists() else [""]
    return all(any((run_dir / name / folder.CHECKPOINTS).glob("[0-9]*")) for name in members)
