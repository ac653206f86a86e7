"""Rows by name, of which users have their own: registered, in a file or a module, or from an installed package."""

import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, Generic, NamedTuple, TypeVar

from jmeta.errors import OWN, RunError, closest, kind_and_line, unknown

R = TypeVar("R")
TRUST = "--trust-code"
_CODE = re.compile(r"(.+\.py|(?!.*\.json)[A-Za-z_]\w*(\.[A-Za-z_]\w*)+):\w+")
"""A word of a command line: code that files name is to be run."""
_by_hand: ContextVar[tuple[str, ...] | None] = ContextVar("by_hand", default=None)


class Family(NamedTuple):
    """Rows that another library has names for, each `PREFIX:NAME` here, such as `gymnasium:CartPole-v1`.

    Attributes:
        what: they are, in a few words.
        row: `NAME -> row`; raises RunError where there is none, or the library is not installed.
        paper: that the library is from, as "authors year, title, address"; empty for none.
    """

    what: str
    row: Callable[[str], Any]
    paper: str = ""


class Registry(Generic[R]):
    """Rows of one kind by their names, in order.

    A name is that of a row, in which case and `_` or `-` make no difference; or that of a row of a family, as it is;
    or `file.py:object` or `package.module:object`, a row of the user's own or what `accept` makes a row of; or, where
    no row has it, that of an entry point of an installed package.

    Args:
        kind: what a row is of, for errors, such as "algorithm".
        rows: to begin with.
        group: of entry points, such as "jmeta.learners".
        accept: `(name, object) -> row` for what a user's file or package has; raises RunError for another thing.
        families: of rows by their prefixes, none by default.

    Example:
        >>> def accept(name, found):
        ...     return found
        >>> colors = Registry("color", {"red": 1, "green": 2}, "jmeta.colors", accept)
        >>> colors.register("blue", 3)
        >>> colors.get("Blue"), list(colors), colors.get("math:tau")
        (3, ['red', 'green', 'blue'], 6.283185307179586)
        >>> colors.get("gren")
        Traceback (most recent call last):
        jmeta.errors.RunError: there is no color 'gren': did you mean 'green'?
    """

    def __init__(
        self,
        kind: str,
        rows: Mapping[str, R],
        group: str,
        accept: Callable[[str, Any], R],
        families: Mapping[str, Family] = MappingProxyType({}),
    ) -> None:
        self.kind, self.group, self.families, self._accept = kind, group, families, accept
        self._rows: dict[str, R] = {}
        self._own: dict[str, tuple[Any, R]] = {}
        for name, row in rows.items():
            self.register(name, row)

    def register(self, name: str, row: R) -> None:
        """Add a row; RunError if the name is taken, or could not be told from that of a file or module."""
        key = spelled(name)
        if key in self._rows:
            raise RunError(f"there is already a row for the {self.kind} {key!r}: choose another name.")
        if not key or ":" in key:
            raise RunError(f"a name of a {self.kind} has no colon and is not empty, got {name!r}: choose another.")
        self._rows[key] = row

    def get(self, name: str) -> R:
        """The row of a name; RunError if there is none, or what it names can't be loaded or is no row."""
        row = self.find(name)
        if row is None:
            inside = self._in_a_family(name.rpartition(":")[2])
            if inside is not None:
                raise RunError(f"there is no {self.kind} {name!r}: did you mean {inside!r}?")
            raise unknown(self.kind, name, [*self._rows, *map("{}:NAME".format, self.families), *_entries(self.group)])
        return row

    def _in_a_family(self, name: str) -> str | None:
        """What a name is that lacks its prefix, or had another: `gymnasium:CartPole-v1` of `CartPole-v1`."""
        for prefix, family in self.families.items():
            with suppress(RunError):
                family.row(name)
                return f"{prefix}:{name}"
        return None

    def find(self, name: str) -> R | None:
        """As `get`, with None if there is none."""
        key = spelled(name)
        if key in self._rows:
            return self._rows[key]
        prefix, colon, rest = key.partition(":")
        if colon and prefix in self.families:
            return self.families[prefix].row(rest)
        if is_place(key):
            return self._accepted(key, load(self.kind, key))
        point = _entries(self.group).get(key)
        return None if point is None else self._accepted(key, _loaded(self.kind, point))

    def _accepted(self, name: str, found: Any) -> R:
        """What is found twice has one row, so that its settings are of one class."""
        if name not in self._own or self._own[name][0] is not found:
            self._own[name] = found, self._accept(name, found)
        return self._own[name][1]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def items(self) -> list[tuple[str, R]]:
        """Names and rows, without those of users."""
        return list(self._rows.items())


def spelled(name: str) -> str:
    """The one spelling of a name: `Meta_SGD` to `meta-sgd`; what has a colon, such as `file.py:object`, as it is."""
    return name if ":" in name else name.lower().replace("_", "-")


def said(found: Any) -> str:
    """What a user's object says of itself, in a line."""
    return (inspect.getdoc(found) or "your own").partition("\n")[0].rstrip(".")


def short(name: str) -> str:
    """A name in that of a file: net of `my/net.py:net`, letters of `data/letters.npz`, glyphs-40 of `glyphs:40`."""
    end = name.rpartition(":")[2] if is_place(name) else name.rstrip("/").rpartition("/")[2]
    return end.removesuffix(".npz").replace(":", "-")


def is_place(name: str) -> bool:
    """Whether a name says where an object is: `file.py:object`, with or without folders, or `package.module:object`.

    Example:
        >>> is_place("~/mine.py:net"), is_place("mine.learners:first"), is_place("glyphs:40"), is_place("maml")
        (True, True, False, False)
    """
    where, _, what = name.rpartition(":")
    return what.isidentifier() and (where.endswith(".py") or all(part.isidentifier() for part in where.split(".")))


@contextmanager
def named_in(words: Sequence[str]) -> Iterator[None]:
    """Within it, `load` takes the code alone that the words of a command line name, or any with `TRUST` among them.

    What a run folder or a file of settings names is code of whoever wrote that, so it is asked for again.
    """
    before = _by_hand.set(tuple(part for word in words for part in re.split("[=,]", word)))
    try:
        yield
    finally:
        _by_hand.reset(before)


def is_command() -> bool:
    """Whether the words of a command line say which code is to be run, up to its end."""
    return _by_hand.get() is not None


def is_code(name: Any) -> bool:
    """Whether a name is that of code, `FILE.py:NAME` or `PACKAGE.MODULE:NAME`, and of no row or file of data."""
    return isinstance(name, str) and _CODE.fullmatch(name) is not None


def by_files(trust_code: bool) -> AbstractContextManager[None]:
    """`named_in` what reads a file from Python: any code that it names if that is trusted; else none, or what the words
    of the command line name if there is one."""
    if trust_code:
        return named_in([TRUST])
    return nullcontext() if is_command() else named_in(())


def load(kind: str, place: str) -> Any:
    """The object, of a kind for errors, that a place names; RunError if it isn't there, can't be loaded, or is named by
    a file alone, see `named_in`."""
    where, _, what = place.rpartition(":")
    words = _by_hand.get()
    if words is not None and not {TRUST, place} & {*words}:
        raise RunError(
            f"the {kind} is code, {place!r}, which a file names and this command does not: if you trust who wrote it, "
            f"add {TRUST}, or trust_code=True in Python."
        )
    path = Path(where).expanduser()
    if where.endswith(".py"):
        if not path.is_file():
            raise RunError(
                f"{kind} {place!r} is in {where}, and there is no such file here: go to its folder, or give its path."
            )
        module = _module_of_file(path.resolve(), path.stat().st_mtime_ns)
    else:
        module = _module(kind, place, where)
    if not hasattr(module, what):
        close = closest(what, [name for name in vars(module) if not name.startswith("_")])
        also = f"did you mean {where}:{close}?" if close else "correct the name after the colon."
        raise RunError(f"{where} has no {kind} {what!r}: {also}")
    return getattr(module, what)


def _module(kind: str, place: str, where: str) -> ModuleType:
    try:
        with _searching(Path.cwd()):
            module = importlib.import_module(where)
            vars(module)[OWN] = True
            return module
    except Exception as error:
        missing = isinstance(error, ModuleNotFoundError) and f"{where}.".startswith(f"{error.name}.")
        why = "there is no such module" if missing else f"it can't be loaded, {kind_and_line(error)}"
        raise RunError(f"{kind} {place!r} is in the module {where}, and {why}: correct it.") from error


@functools.cache
def _module_of_file(path: Path, changed: int) -> ModuleType:
    """A file is run once, until it changes: what is found in it twice is the same object."""
    name = f"{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None, "a file that ends in .py has a loader"
    module = importlib.util.module_from_spec(spec)
    vars(module)[OWN] = True
    sys.modules[name] = module  # where dataclasses look up the annotations of their fields
    try:
        with _searching(path.parent):
            spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise RunError(f"{path} can't be loaded ({kind_and_line(error)}): mend it.") from error
    return module


@contextmanager
def _searching(folder: Path) -> Iterator[None]:
    """Modules are found in a folder too, after all other places."""
    if str(folder) in sys.path:
        yield
        return
    sys.path.append(str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _loaded(kind: str, point: importlib.metadata.EntryPoint) -> Any:
    try:
        return point.load()
    except Exception as error:
        why = kind_and_line(error)
        raise RunError(f"{kind} {point.name} is {point.value}, which can't be loaded ({why}): mend it.") from error


@functools.cache
def _entries(group: str) -> dict[str, importlib.metadata.EntryPoint]:
    return {spelled(point.name): point for point in importlib.metadata.entry_points(group=group)}
