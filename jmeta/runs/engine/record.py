"""Whose run folder it is: `config.json`, and what may go on in it."""

import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax

from jmeta.errors import RunError
from jmeta.report.files import write_json
from jmeta.runs.engine import folder
from jmeta.runs.engine.members import Member
from jmeta.runs.engine.options import OWN, Options
from jmeta.settings import check_names, differences, names, to_dict

KIND, FACTS, MEMBERS = "experiment", "facts", "members"
SAME = ("checksum", "split_hash")
"""Facts that must be the same for a run to go on."""


class Stored(NamedTuple):
    """The kind of a run's experiment, its settings and options by name, and what else its folder says of it."""

    kind: str
    values: dict[str, Any]
    facts: dict[str, Any]


def read(path: Path) -> Stored:
    """A `config.json` or `group.json`; RunError if it is missing or damaged, or was made by an earlier version."""
    found = folder.read_json(path, {KIND: str}, {FACTS: dict})
    found.pop(MEMBERS, None)
    return Stored(found.pop(KIND), found, facts=found.pop(FACTS, {}))


def load(run_dir: Path) -> Stored:
    """What the folder of a single run says; RunError if it isn't one or is damaged."""
    if (run_dir / folder.GROUP).exists():
        names = members_of(run_dir) or ["seed0"]
        raise RunError(f"{run_dir} holds a group of runs: name one of them, such as {run_dir / names[0]}.")
    return read(run_dir / folder.CONFIG)


def load_any(run_dir: Path) -> Stored | None:
    """What the folder of a run or of a group says; None if there is neither."""
    for name in (folder.GROUP, folder.CONFIG):
        if (run_dir / name).exists():
            return read(run_dir / name)
    return None


def going_on(options: Options) -> Stored | None:
    """What is kept of the run, or the group, that is to go on; None where one begins."""
    if options.run_dir is None or not options.resume:
        return None
    run_dir = Path(options.run_dir)
    if not run_dir.is_dir():
        raise RunError(f"there is no {run_dir} to go on with: correct --run-dir, or leave --resume out.")
    return load_any(run_dir)


def members_of(run_dir: Path) -> list[str]:
    """The names of the runs of a group."""
    return list(folder.read_json(run_dir / folder.GROUP, {MEMBERS: tuple[str, ...]})[MEMBERS])


Files = dict[Path, Mapping[str, Any]]
"""What files are to hold as JSON; their folders are made for them."""


def for_run(run_dir: Path, kind: str, member: Member, facts: Mapping[str, Any]) -> Files:
    """The `config.json` that a run folder needs, or nothing where the run goes on in it as it is; nothing is written
    yet."""
    settings, options = member.settings, member.options
    stored = _going_on(run_dir, folder.CONFIG, kind, settings, options)
    if stored is None:
        values = {**_values(kind, settings, options), FACTS: {**facts, **surroundings()}}
        return {run_dir / folder.CONFIG: values}
    for name in SAME:
        if stored.facts.get(name) != facts.get(name):
            raise RunError(
                f"{run_dir} was trained on other data, its {name} is {stored.facts.get(name)} and that of "
                f"the data now is {facts.get(name)}: restore the data, or choose another --run-dir."
            )
    return _grown(run_dir / folder.CONFIG, stored, settings)


def for_group(run_dir: Path, kind: str, settings: Any, options: Options, names: list[str]) -> Files:
    """The `group.json` that the folder of a group needs; as `for_run`."""
    stored = _going_on(run_dir, folder.GROUP, kind, settings, options)
    if stored is not None:
        return _grown(run_dir / folder.GROUP, stored, settings)
    return {run_dir / folder.GROUP: {**_values(kind, settings, options), MEMBERS: names}}


def grown(settings: Any, stored: Mapping[str, Any]) -> dict[str, Any]:
    """What a run that goes on has more of than is stored, by name."""
    mine = to_dict(settings)
    return {name: mine[name] for name in names(settings, "grows") if mine[name] > stored.get(name, mine[name])}


def _grown(path: Path, stored: Stored, settings: Any) -> Files:
    more = grown(settings, stored.values)
    return {path: {**folder.read_json(path), **more}} if more else {}


def make(files: Files) -> None:
    """Write files, in their order, where a kill may have left half of one."""
    for path, values in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, values)


def decisive(settings: Any, options: Options) -> dict[str, Any]:
    """The settings that decide results, and the seed: what checkpoints belong to."""
    left_out = [*names(settings, "place"), *names(settings, "grows")]
    return {name: v for name, v in to_dict(settings).items() if name not in left_out} | {"seed": options.seed}


def _values(kind: str, settings: Any, options: Options) -> dict[str, Any]:
    own = {"resume": False, **dict.fromkeys(name for name in OWN if name != "compile_cache")}
    return {KIND: kind, **to_dict(settings), **to_dict(options), **own}


def _going_on(run_dir: Path, name: str, kind: str, settings: Any, options: Options) -> Stored | None:
    """What the file of that name in a run folder holds if the run goes on, or None where one can begin."""
    path = run_dir / name
    if not path.exists():
        for other, what in ((folder.CONFIG, "a single run"), (folder.GROUP, "a group of runs")):
            if (run_dir / other).exists():
                raise RunError(f"{run_dir} holds {what}: choose another --run-dir.")
        if run_dir.exists() and (not run_dir.is_dir() or set(run_dir.iterdir()) - {*folder.leftovers(run_dir)}):
            raise RunError(f"{run_dir} is there and is no run folder: choose another --run-dir.")
        return None
    if not options.resume:
        raise RunError(f"{run_dir} already holds a run: go on with it by --resume, or choose another --run-dir.")
    stored = read(path)
    places = [*names(settings, "place"), *names(options, "place"), *grown(settings, stored.values)]
    mine = {**to_dict(settings), **to_dict(options)}
    known = {name: value for name, value in stored.values.items() if name in mine}
    different = differences(mine, known, places)
    if stored.kind != kind:
        different = [f"it is a run of {stored.kind}, not {kind}"]
    refuse_other(run_dir, different)
    check_names(mine, stored.values, str(path))
    return stored


def refuse_other(run_dir: Path | str, different: list[str]) -> None:
    """Refuse to go on in the folder of a run that differs, in what `settings.differences` says."""
    if different:
        raise RunError(
            f"{run_dir} belongs to another configuration ({'; '.join(different)}): "
            "resume it with its own settings and no fewer steps, or choose another --run-dir."
        )


def surroundings() -> dict[str, Any]:
    """What a run is computed by: how many processes, the device, and versions."""
    versions = {name: importlib.metadata.version(name) for name in ("jax", "flax", "optax", "numpy")}
    try:
        own = importlib.metadata.version("jmeta")
    except importlib.metadata.PackageNotFoundError:
        own = "checkout"
    return {
        "processes": jax.process_count(),
        "device": jax.devices()[0].device_kind,
        "versions": versions,
        "jmeta_version": own,
    }
