"""Whose run folder it is: `config.json`, and what may go on in it."""

import dataclasses
import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from jmeta.runs import devices, folder
from jmeta.runs.config import TrainConfig, differences, from_dict, is_group, members, to_dict
from jmeta.errors import RunError
from jmeta.runs.problems import Problem


def settle(config: TrainConfig, chunk_size: Callable[[TrainConfig], int]) -> TrainConfig:
    """Fill in what depends on the machine; a run that goes on keeps what it began with.

    Raises:
        RunError: as `devices.number_of` and `devices.tasks_at_once`.
    """
    kept: dict[str, Any] = {}
    name = folder.GROUP if is_group(config) else folder.CONFIG
    if config.resume and config.run_dir and (Path(config.run_dir) / name).exists():
        kept = folder.read_json(Path(config.run_dir) / name)
    size = config.chunk_size
    if size is None and kept.get("meta_batch_size") == config.meta_batch_size:
        size = kept.get("chunk_size")
    number = devices.number_of(config, kept.get("devices"))
    settled = dataclasses.replace(config, chunk_size=size or chunk_size(config), devices=number)
    devices.tasks_at_once(settled)
    return settled


def open_folder(run_dir: Path, config: TrainConfig, problem: Problem, parameters: int) -> None:
    """Make a run folder with its `config.json`, or make sure that it belongs to this run.

    Raises:
        RunError: if there is a run and `config.resume` isn't set, or one of other settings or data.
    """
    stored = _opened(run_dir, folder.CONFIG, config, lambda: _record(config, problem, parameters))
    for name, value in (("split_hash", problem.split_hash), ("data_checksum", problem.checksum)):
        if stored is not None and stored.get(name) != value:
            raise RunError(
                f"{run_dir} was trained on other data, its {name} is {stored.get(name)} and that of "
                f"{problem.name} is {value}: restore the data, or choose another --run-dir."
            )


def open_group(run_dir: Path, config: TrainConfig) -> None:
    """Make the folder of a group of runs with its `group.json`, or make sure that it belongs to this group.

    Raises:
        RunError: if there is a group and `config.resume` isn't set, one of other settings, or something else.
    """
    names = list(members(config))
    _opened(run_dir, folder.GROUP, config, lambda: {**to_dict(config), "resume": False, "members": names})


def _opened(run_dir: Path, name: str, config: TrainConfig, make: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
    """What the file of that name in a run folder holds if the run goes on, or None once it is made."""
    path = run_dir / name
    if not path.exists():
        if run_dir.is_dir():
            folder.remove_leftovers(run_dir)
        for other, what in ((folder.CONFIG, "a single run"), (folder.GROUP, "a group of runs")):
            if (run_dir / other).exists():
                raise RunError(f"{run_dir} holds {what}: choose another --run-dir.")
        if run_dir.exists() and (not run_dir.is_dir() or any(run_dir.iterdir())):
            raise RunError(f"{run_dir} is there and is no run folder: choose another --run-dir.")
        run_dir.mkdir(parents=True, exist_ok=True)
        folder.write_json(path, make())
        return None
    if not config.resume:
        raise RunError(f"{run_dir} already holds a run: go on with it by --resume, or choose another --run-dir.")
    folder.remove_leftovers(run_dir)
    stored = folder.read_json(path)
    different = differences(config, from_dict(stored))
    if different:
        raise RunError(
            f"{run_dir} belongs to another configuration ({'; '.join(different)}): "
            "resume it with its own settings, or choose another --run-dir."
        )
    return stored


def load_group(run_dir: Path) -> TrainConfig:
    """The settings of the folder of a group.

    Raises:
        RunError: if it isn't one or is damaged.
    """
    return from_dict(folder.read_json(run_dir / folder.GROUP))


def load(run_dir: Path) -> tuple[TrainConfig, dict[str, Any]]:
    """The settings of a run folder, and all that `config.json` holds.

    Raises:
        RunError: if it isn't a run folder or is damaged.
    """
    if (run_dir / folder.GROUP).exists():
        names = folder.read_json(run_dir / folder.GROUP).get("members") or ["seed0"]
        raise RunError(f"{run_dir} holds a group of runs: name one of them, such as {run_dir / names[0]}.")
    stored = folder.read_json(run_dir / folder.CONFIG)
    return from_dict(stored), stored


def _record(config: TrainConfig, problem: Problem, parameters: int) -> dict[str, Any]:
    return {
        **to_dict(config),
        "resume": False,
        **dict.fromkeys(("coordinator", "num_processes", "process_id")),
        "processes": jax.process_count(),
        "protocol": problem.protocol,
        "split_hash": problem.split_hash,
        "data_checksum": problem.checksum,
        "input_shape": list(problem.input_shape),
        "train_classes": problem.train_classes,
        "parameters": parameters,
        "device": jax.devices()[0].device_kind,
        "versions": {name: importlib.metadata.version(name) for name in ("jax", "flax", "optax", "numpy")},
        "jmeta_version": jmeta_version(),
    }


def jmeta_version() -> str:
    """Of the installed package, or of a checkout."""
    try:
        return importlib.metadata.version("jmeta")
    except importlib.metadata.PackageNotFoundError:
        return "checkout"
