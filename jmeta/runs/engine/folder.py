"""The files of a run folder. Whatever is written appears whole or not at all."""

import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jmeta.errors import RunError
from jmeta.report.files import write_text
from jmeta.settings import typed

CONFIG, METRICS, CHECKPOINTS, EVALUATION = "config.json", "metrics.jsonl", "checkpoints", "evaluation.json"
GROUP, SUMMARY = "group.json", "summary.json"


@contextmanager
def locked(place: Path, *, shared: bool = False) -> Iterator[bool]:
    """Hold a folder while inside, if it is free, which is said; others may hold it too where all share it.

    The system lets go of it when the process ends, however it does. Where there are no locks, all is free.
    """
    try:
        import fcntl
    except ImportError:
        yield True
        return
    file = os.open(place, os.O_RDONLY)
    free = True
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        free = False
    except OSError:
        pass
    try:
        yield free
    finally:
        os.close(file)


@contextmanager
def written_here(run_dir: Path) -> Iterator[None]:
    """While inside, no other process trains in a run folder, which is made if it isn't there; RunError if one does."""
    run_dir.mkdir(parents=True, exist_ok=True)
    with locked(run_dir) as free:
        if not free:
            raise RunError(f"another process trains in {run_dir}: wait until it ends, or choose another --run-dir.")
        remove_leftovers(run_dir)
        yield


@contextmanager
def made_whole(run_dir: Path) -> Iterator[Path]:
    """A folder to write to, which becomes the run folder at the end; if anything fails, nothing is left of it."""
    temporary = run_dir.with_name(f".{run_dir.name[:200]}-{secrets.token_hex(4)}.tmp")
    temporary.mkdir(parents=True)
    try:
        yield temporary
        os.rename(temporary, run_dir)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def named(place: object) -> Path:
    """The folder of a run, by what a script calls it; RunError for what is no path."""
    if not isinstance(place, str | os.PathLike) or not str(place).strip():
        raise RunError(f"a run is named by its folder, got {place!r:.60}: give its path.")
    return Path(place)


def check_there(paths: Iterable[Path]) -> None:
    """RunError for the first of the files and folders of a run that was removed while it goes on."""
    for path in paths:
        if not path.exists():
            raise RunError(
                f"{path} has gone while training went on: restore it and go on with --resume, or train again in "
                "another folder."
            )


def check_output(flag: str, path: str | Path, begins: bytes = b"") -> None:
    """RunError for a file to be written, named by a flag, whose folder isn't there, or which a run is kept in; or for
    one that is there and does not begin as what is written, such as data whose name was given by mistake."""
    place = Path(path).resolve()
    if not str(path).strip() or place.is_dir():
        raise RunError(f"{flag} {path or repr(path)} is no name for a file: add one.")
    if begins and place.is_file() and (kept := _first_bytes(place, len(begins))) and kept != begins:
        raise RunError(f"{flag} {path} is a file of another kind, which it would replace: choose another.")
    if not place.parent.is_dir():
        raise RunError(f"{flag} {path} is in no folder that exists: make it first.")
    if place.name in (CONFIG, GROUP, METRICS, SUMMARY) or CHECKPOINTS in place.parts:
        raise RunError(f"{flag} {path} has the name of a file of run folders: choose another.")


def _first_bytes(place: Path, number: int) -> bytes:
    with place.open("rb") as file:
        return file.read(number)


def leftovers(place: Path) -> list[Path]:
    """What a kill in the middle of `write_text` leaves, here and one folder deeper."""
    return [*place.glob(".*.tmp"), *place.glob("*/.*.tmp")]


def remove_leftovers(place: Path) -> None:
    """Remove `leftovers`, in a folder that is `written_here`."""
    for path in leftovers(place):
        path.unlink(missing_ok=True)


def read_evaluation(run_dir: Path, area: str, row: str) -> dict[str, Any]:
    """What `jmeta AREA evaluate` has left in a run folder, with `rows` of which one is called `row`.

    Raises:
        RunError: if it has not run, or what is there is of another program.
    """
    path, command = run_dir / EVALUATION, f"jmeta {area} evaluate --run-dir {run_dir}"
    if not path.exists():
        raise RunError(f"{run_dir} has not been evaluated: run {command} first.")
    found = read_json(path)
    if not isinstance(found.get("rows"), dict) or row not in found["rows"]:
        raise RunError(f"{path} is of another program: run {command} again.")
    return found


def read_json(
    path: Path, needed: Mapping[str, Any] | None = None, others: Mapping[str, Any] | None = None, *, rest: Any = Any
) -> dict[str, Any]:
    """A JSON object from a file, whose values have types: the one reader of all that is kept.

    Args:
        path: of a regular file.
        needed: types as annotations by the names of what must be there, see `jmeta.settings.typed`.
        others: of what may be there.
        rest: the type of all else.

    Raises:
        RunError: if it is missing or damaged, naming the field, what was found and what was expected.
    """
    try:
        values = _object(_text(path))
    except FileNotFoundError as error:
        said = f"{path.parent} is no run folder, it has no {path.name}: name one that jmeta has trained."
        raise RunError(said) from error
    except RunError:
        raise
    except ValueError as error:
        raise RunError(f"{path} is damaged ({error}): {_RESTORE}") from error
    needed, others = needed or {}, others or {}
    lacks = ", ".join(name for name in needed if name not in values)
    if lacks:
        raise RunError(f"{path} lacks {lacks}: it was made by another version, or changed by hand.")
    known = {**dict.fromkeys(values, rest), **others, **needed}
    return {name: typed(name, value, known[name], str(path)) for name, value in values.items()}


def _text(path: Path) -> str:
    if path.exists() and not path.is_file():
        raise RunError(f"{path} is no regular file: {_RESTORE}")
    return path.read_bytes().decode(errors="replace" if path.suffix == ".jsonl" else "strict")


_RESTORE = "restore it, or train again in another folder."


def _object(text: str) -> dict[str, Any]:
    """JSON that is an object; ValueError for other text, numbers of thousands of digits among it."""
    try:
        values = json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    if not isinstance(values, dict):
        raise ValueError("it holds no JSON object")
    return values


def append_row(path: Path, row: Mapping[str, Any]) -> None:
    """Add a row to a file of JSON lines; if that fails, the file is left as it was."""
    line = (json.dumps(row) + "\n").encode()
    with open(path, "ab", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        try:
            written = file.write(line)
            if written != len(line):
                raise OSError(28, os.strerror(28), str(path))
        except OSError:
            file.truncate(size)
            raise


def read_rows(path: Path, tell: Callable[[str], None] = lambda text: None) -> list[dict[str, Any]]:
    """The rows of a file of JSON lines, each a step and numbers; what is damaged is left out, and told.

    A last line that a kill has cut off is no damage.
    """
    lines = _text(path).split("\n") if path.exists() else [""]
    rows, damage = [], []
    for i, line in enumerate(lines, 1):
        if i == len(lines) and not line:
            continue
        try:
            row = _object(line)
            for name in dict.fromkeys(["step", *row]):
                typed(name, row.get(name), int if name == "step" else float, f"line {i}")
        except ValueError as error:
            damage += [str(error)] if i < len(lines) else []
            continue
        rows.append(row)
    if damage:
        tell(f"{path} is damaged in {len(damage)} of {len(lines)} lines, which are left out ({damage[0].rstrip('.')}).")
    return rows


def cut_rows(path: Path, step: int, tell: Callable[[str], None] = lambda text: None) -> None:
    """Drop the rows after a step, which a resumed run writes again; of a damaged file, a copy is kept aside."""
    damage: list[str] = []
    kept = [row for row in read_rows(path, damage.append) if row["step"] <= step]
    if damage:
        number = sum(1 for _ in path.parent.glob(f"{path.stem}-damaged-*")) + 1
        aside = path.with_name(f"{path.stem}-damaged-{number}{path.suffix}")
        shutil.copyfile(path, aside)
        tell(f"{damage[0][:-1]}: it is kept as {aside.name}.")
    write_text(path, "".join(json.dumps(row) + "\n" for row in kept))
