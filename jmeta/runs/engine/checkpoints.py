"""Checkpoints of a run with Orbax: the two newest and the best, each whole or not there."""

import errno
import gc
import hashlib
import logging
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax import Array

from jmeta.errors import RunError, advice, first_line, system_number, unknown
from jmeta.report.files import write_json
from jmeta.runs.engine.folder import CHECKPOINTS, CONFIG, check_there, locked, read_json, remove_leftovers
from jmeta.runs.engine.leaves import as_stored, digest_of, name_of, plain
from jmeta.settings import differences

_STATE, _RECORD, _SCORE, _FILES = "state", "record", "metrics/metrics", "files.json"
MARGIN = 2**16
"""Bytes that a checkpoint takes beside its arrays."""
_DAMAGED = (OSError, ValueError, LookupError, TypeError, AttributeError, EOFError, RuntimeError, AssertionError)
"""What Orbax and TensorStore raise on files that are missing, cut short or garbled."""


class Checkpoints(NamedTuple):
    """A folder of checkpoints, opened by Orbax's manager.

    Attributes:
        folder: where they are.
        manager: Orbax's.
        of: the settings and the seed that they are of, by name.
        every: steps between them; those that a signal or the clock asks for in between are not kept for long.
    """

    folder: Path
    manager: ocp.CheckpointManager
    of: Mapping[str, Any]
    every: int


def check_path(folder: Path) -> None:
    """Refuse a path that Orbax would take for a pattern or an address, or could not write."""
    path = os.path.abspath(folder)
    odd = re.search(r"[][*?\\\ud800-\udfff]|(?<=/)\w+:(?=/)", path + "/")
    if odd is not None:
        raise RunError(
            f"{folder} has {odd[0]!r} in its whole path, which checkpoints can't be kept under: choose another "
            "--run-dir, or reach it by a symbolic link."
        )


@contextmanager
def opened(
    folder: Path, *, read_only: bool = False, of: Mapping[str, Any] | None = None, every: int = 1
) -> Iterator[Checkpoints]:
    """Open a folder of checkpoints, made if it isn't there; what a killed save left there is removed.

    All stay until `prune`. Read-only, nothing is touched.
    """
    check_path(folder)
    # In several processes it is the first alone that opens them, and waits for no other.
    alone = ocp.options.MultiprocessingOptions(active_processes={0} if jax.process_count() > 1 else None)
    if not read_only:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_half(folder)  # by Orbax, a thread would do so, which goes on and complains after the end of this
        remove_leftovers(folder)
    with _quiet():
        options = ocp.CheckpointManagerOptions(
            enable_async_checkpointing=False,
            create=False,
            multiprocessing_options=alone,
            read_only=read_only,
            best_fn=lambda metrics: metrics["score"],
            best_mode="max",
        )
        handlers = {
            _STATE: ocp.StandardCheckpointHandler(multiprocessing_options=alone),
            _RECORD: ocp.JsonCheckpointHandler(multiprocessing_options=alone),
        }
        try:  # it reads a little of each
            manager = ocp.CheckpointManager(os.path.abspath(folder), options=options, item_handlers=handlers)
        except OSError:
            raise
        except _DAMAGED as error:
            for step in _steps_in(folder):
                _check_files(folder / str(step))
            raise RunError(
                f"the checkpoints in {folder} can't be read ({first_line(error)}): restore those that are damaged, or "
                "train again in another folder."
            ) from error
        try:
            yield Checkpoints(folder, manager, of or {}, every)
        finally:
            manager.close()


@contextmanager
def _quiet() -> Iterator[None]:
    """Orbax logs every step it takes, and each failure with its traceback, beside raising it."""
    loggers = [logging.getLogger(name) for name in ("absl", "asyncio")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def save(checkpoints: Checkpoints, state: Any, score: float | None) -> None:
    """Save a state, with the score of its validation if it has one; RunError if it can't be written."""
    tree = jax.tree.map(np.asarray, _parts(state))  # NumPy arrays, which Orbax takes from one process among several
    step = int(state.step)
    needed = 2 * sum(leaf.nbytes for leaf in jax.tree.leaves(tree)) + MARGIN
    items = ocp.args.Composite(
        **{
            _STATE: ocp.args.StandardSave(tree),
            _RECORD: ocp.args.JsonSave({"digest": digest_of(tree), "of": dict(checkpoints.of)}),
        }
    )
    try:
        with _unheard(lambda: _remove_half(checkpoints.folder, step)):
            # Asked first, since Orbax's threads go on complaining after a write that failed.
            if shutil.disk_usage(checkpoints.folder).free < needed:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            checkpoints.manager.save(step, args=items, metrics=None if score is None else {"score": score}, force=True)
            # A kill just here leaves a checkpoint without them, which is as good, if harder to diagnose once damaged.
            place = checkpoints.folder / str(step)
            files = sorted(path for path in place.rglob("*") if path.is_file())
            write_json(place / _FILES, {str(path.relative_to(place)): _file_digest(path) for path in files})
    except (OSError, ValueError, RuntimeError) as error:
        check_there([checkpoints.folder])
        raise _not_written(checkpoints, step, error) from error


def _remove_half(folder: Path, step: int | str = "*") -> None:
    for half in folder.glob(f"{step}.*tmp*"):
        shutil.rmtree(half, ignore_errors=True)


@contextmanager
def _unheard(clean: Callable[[], None] = lambda: None) -> Iterator[None]:
    """While inside, failures of other threads, and of what is let go of, are not told: one error is enough.

    After an error, until Orbax's other threads, which know nothing of it, are done too, it cleans again and again.
    """
    hooks = sys.unraisablehook, threading.excepthook
    sys.unraisablehook = threading.excepthook = lambda told: None
    try:
        yield
    except Exception:
        for _ in range(10):
            gc.collect()  # what they failed with is told when it is let go of, so now, where nobody listens
            clean()
            time.sleep(0.05)
        raise
    finally:
        sys.unraisablehook, threading.excepthook = hooks


def _not_written(checkpoints: Checkpoints, step: int, error: Exception) -> RunError:
    found, remedy = first_line(error), advice(error)
    if system_number(error) in (None, errno.ENOENT):
        # Orbax, or the system, does not find what it has just written.
        found, remedy = "its files were removed or changed by another program", "let none do so"
    return RunError(
        f"the checkpoint of step {step} could not be written to {checkpoints.folder} ({found}): "
        f"{remedy}, then go on with --resume, from the newest that is there."
    )


def steps(checkpoints: Checkpoints) -> list[int]:
    """The steps that have a checkpoint which nobody has removed."""
    return sorted({*checkpoints.manager.all_steps()} & {*_steps_in(checkpoints.folder)})


def _steps_in(folder: Path) -> list[int]:
    return sorted(int(path.name) for path in folder.glob("[0-9]*") if path.name.isdecimal() and path.is_dir())


def newest(checkpoints: Checkpoints) -> int | None:
    """The last step with a checkpoint."""
    return max(steps(checkpoints), default=None)


def best(checkpoints: Checkpoints) -> int | None:
    """The last step of the best validation, or the newest where none was validated; RunError if a score is damaged."""
    paths = {step: checkpoints.folder / str(step) / _SCORE for step in steps(checkpoints)}
    scores = {step: read_json(path, {"score": float})["score"] for step, path in paths.items() if path.is_file()}
    return max(scores, key=lambda step: (scores[step], step), default=newest(checkpoints))


def prune(checkpoints: Checkpoints, end: int | None = None) -> None:
    """Remove those after a step, and then all but the newest, the one before it and the best.

    What is being read stays for now. The one before is of `every` steps, so that a run that was stopped in between ends
    with the same ones as another.
    """
    for step in steps(checkpoints):
        if end is not None and step > end:
            checkpoints.manager.delete(step)
    before = [step for step in steps(checkpoints)[:-1] if not step % checkpoints.every]
    for step in set(steps(checkpoints)) - {newest(checkpoints), *before[-1:], best(checkpoints)}:
        with locked(checkpoints.folder / str(step)) as free:
            if free:
                checkpoints.manager.delete(step)


def restore(checkpoints: Checkpoints, step: int, like: Any) -> Any:
    """Read a state like another back, bit for bit; RunError if it is damaged or of another structure."""
    place = checkpoints.folder / str(step)
    _check_files(place)
    target = jax.tree.map(_zeros, jax.eval_shape(_parts, like))
    if not (place / _RECORD / "metadata").exists():
        raise _damaged(place, f"{_RECORD}/metadata is missing")
    record = read_json(place / _RECORD / "metadata", {"digest": str}, {"of": dict})
    _check_owner(place, record.get("of", {}))
    digest = record["digest"]
    try:
        with _unheard():
            items = ocp.args.Composite(**{_STATE: ocp.args.StandardRestore(target)})
            tree = checkpoints.manager.restore(step, args=items)[_STATE]
    except _DAMAGED as error:
        raise _of_another_network(checkpoints, step, target) or _damaged(place, first_line(error)) from error
    if digest_of(tree) != digest:
        raise _damaged(place, "its contents are not what was saved")
    if jax.tree.map(np.shape, tree) != jax.tree.map(np.shape, target):  # which Orbax lets pass
        raise _of_another_network(checkpoints, step, target) or _damaged(place, "its arrays have other shapes")
    if "step" in tree and int(tree["step"]) != step:
        raise _damaged(place, f"its contents are of step {int(tree['step'])}")
    return type(like)(**jax.tree.map(as_stored, tree, like._asdict()))


def restored(run_dir: Path, init: Callable[[Array], Any], checkpoint: str = "best") -> tuple[int, Any]:
    """Step and state, like that of `init(key)`, of a single run's checkpoint: `best` by validation, or `newest`."""
    like = jax.eval_shape(init, jax.random.key(0))
    return _read(run_dir, checkpoint, lambda found, step: restore(found, step, like))


def params_of(run_dir: Path, checkpoint: str = "best") -> dict[str, np.ndarray]:
    """The parameters of a single run's checkpoint by their names, see `name_of`, whatever their structure."""

    def read(found: Checkpoints, step: int) -> dict[str, np.ndarray]:
        place = found.folder / str(step)
        _check_files(place)
        try:
            return _kept_params(found, step)
        except _DAMAGED as error:
            raise _damaged(place, first_line(error)) from error

    return _read(run_dir, checkpoint, read)[1]


def _read(run_dir: Path, checkpoint: str, read: Callable[[Checkpoints, int], Any]) -> tuple[int, Any]:
    """The step of a single run's checkpoint, and what is read of it while training may go on there."""
    if checkpoint not in ("best", "newest"):
        raise unknown("checkpoint", checkpoint, ("best", "newest"))
    none = RunError(
        f"{run_dir} has no checkpoint yet: wait for its first, or go on with --resume, and perhaps a smaller "
        "--save-every."
    )
    if not (run_dir / CHECKPOINTS).is_dir():
        raise none
    folder = run_dir / CHECKPOINTS
    for tries_left in reversed(range(20)):
        before = sorted(os.listdir(folder))
        try:
            with opened(folder, read_only=True) as found:
                step = best(found) if checkpoint == "best" else newest(found)
                if step is None:
                    raise none
                with locked(folder / str(step), shared=True):
                    return step, read(found, step)
        except _DAMAGED:
            # Training goes on there, and has removed what was about to be read.
            if sorted(os.listdir(folder)) == before or not tries_left:
                raise
    raise none


def _kept_params(checkpoints: Checkpoints, step: int) -> dict[str, np.ndarray]:
    with _unheard():
        items = ocp.args.Composite(**{_STATE: ocp.args.StandardRestore()})
        tree = checkpoints.manager.restore(step, args=items)[_STATE]["params"]
    return {name_of(path): np.asarray(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def _of_another_network(checkpoints: Checkpoints, step: int, target: Mapping[str, Any]) -> RunError | None:
    """What to say of whole files whose parameters have other names or shapes than are asked for; None otherwise."""
    try:
        kept = {name: array.shape for name, array in _kept_params(checkpoints, step).items()}
    except _DAMAGED:
        return None
    leaves = jax.tree_util.tree_leaves_with_path(target.get("params"))
    wanted = {name_of(path): leaf.shape for path, leaf in leaves}
    other = next((name for name in sorted({*kept, *wanted}) if kept.get(name) != wanted.get(name)), None)
    if other is None:
        return None
    has, needs = (f"{list(of[other])}" if other in of else "nothing" for of in (kept, wanted))
    return RunError(
        f"the checkpoint {checkpoints.folder / str(step)} is of another network than its settings make here ({other} "
        f"is {has} in it and {needs} here): use the code that trained it, or train again in another folder."
    )


def _zeros(array: Any) -> np.ndarray:
    return np.zeros(array.shape, array.dtype)


def _check_owner(place: Path, of: Mapping[str, Any]) -> None:
    """Refuse a checkpoint of other settings, or of another seed, than the run folder that it is in."""
    config = place.parent.parent / CONFIG
    mine = read_json(config) if of and config.exists() else {}
    different = differences({name: mine[name] for name in of if name in mine}, of, [*of.keys() - mine.keys()])
    if different:
        raise RunError(
            f"the checkpoint {place} is of another run than {config} ({'; '.join(different)}): put back its own."
        )


def _check_files(place: Path) -> None:
    """Compare files with their digests, before Orbax meets what it has no clear words for."""
    digests = read_json(place / _FILES, rest=str) if (place / _FILES).exists() else {}
    for name in (*digests, f"{_RECORD}/metadata"):
        if not (place / name).is_file():
            raise _damaged(place, f"{name} is missing")
        if name in digests and _file_digest(place / name) != digests[name]:
            raise _damaged(place, f"{name} is not what was saved")


def _file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _damaged(place: Path, why: str) -> RunError:
    others = [step for step in _steps_in(place.parent) if str(step) != place.name]
    instead = f"remove it to use that of step {others[-1]}" if others else "train again in another folder"
    return RunError(f"the checkpoint {place} is damaged ({why}): restore it, or {instead}.")


def _parts(state: Any) -> dict[str, Any]:
    return jax.tree.map(plain, state._asdict())
