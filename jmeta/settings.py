"""Settings as small frozen dataclasses inside one another, and their one flat view: what flags and files are made of.

A setting is a field of a dataclass. Its name is unique among all that are used together, so that it is a flag
(`--inner-lr`), a key of `config.json` and of a preset (`inner_lr`), and never needs the path to it. What it may be
stands beside its default, by `setting`.
"""

import dataclasses
import inspect
import math
import reprlib
import sys
import types
import typing
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from jmeta.errors import RunError, closest, unknown

S = TypeVar("S")
INT32 = 2**31 - 1
"""The most that an integer may be where nothing else is said: what programs count with."""
FLOAT32 = 2.0**-126, 2.0**128 - 2.0**104
"""The least and the most in size, beside 0, that a number may be: what programs compute with."""


def setting(
    default: Any,
    *,
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
    choices: Sequence[str] | None = None,
    swept: bool = False,
    place: bool = False,
    grows: bool = False,
) -> Any:
    """A field with what it may be.

    Args:
        default: its value where none is given; None is always allowed where it is the default.
        least: a number must not be smaller.
        most: a number must not be larger.
        above: a number must be larger.
        choices: a word must be one of them.
        swept: whether runs of different values of it can be one program, in which it is a traced number.
        place: whether it says where or for how long things are done, and does not decide results.
        grows: whether a run that goes on may have more of it.
    """
    limits = {"least": least, "most": most, "above": above, "choices": choices}
    marks = {"swept": swept, "place": place, "grows": grows}
    given = {name: value for name, value in {**limits, **marks}.items() if value is not None and value is not False}
    return dataclasses.field(default=default, metadata=given)


def of_parameters(function: Callable[..., Any], left_out: Collection[str]) -> list[tuple[str, Any, Any]]:
    """A setting, as `dataclasses.make_dataclass` takes it, for each parameter whose default is a number, a word or a
    truth value, but for those that are left out.

    Example:
        >>> of_parameters(lambda x, y, *, size=3, rule=None: 0, ["y"])[0][:2]
        ('size', <class 'int'>)
    """
    return of_values({name: p.default for name, p in inspect.signature(function).parameters.items()}, left_out)


def of_values(values: Mapping[str, Any], left_out: Collection[str] = ()) -> list[tuple[str, Any, Any]]:
    """As `of_parameters`, for defaults by name."""
    return [
        (name, type(value), setting(value))
        for name, value in values.items()
        if name not in left_out and type(value) in (bool, int, float, str)
    ]


def flag(name: str) -> str:
    """The flag of a setting: `query_shot` to `--query-shot`."""
    return "--" + name.replace("_", "-")


def fields(settings: Any) -> Iterator[tuple[dataclasses.Field[Any], Any]]:
    """Each setting with its value, also of the dataclasses inside."""
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            yield from fields(value)
        else:
            yield field, value


def names(settings: Any, mark: str | None = None) -> list[str]:
    """Of all settings, or of those that `setting` has given a mark, such as `swept` or `place`."""
    return [field.name for field, _ in fields(settings) if mark is None or field.metadata.get(mark)]


def to_dict(settings: Any) -> dict[str, Any]:
    """All settings by name, as JSON has them."""
    return {field.name: list(v) if isinstance(v, tuple) else v for field, v in fields(settings)}


def replaced(settings: S, changes: Mapping[str, Any]) -> S:
    """The same with other values of some settings, wherever they are inside; RunError for a name that isn't there."""
    for name in changes:
        if name not in names(settings):
            raise unknown("setting", name, names(settings))
    return _replaced(settings, changes)


def _replaced(settings: Any, changes: Mapping[str, Any]) -> Any:
    own: dict[str, Any] = {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            own[field.name] = _replaced(value, changes)
        elif field.name in changes:
            own[field.name] = changes[field.name]
    return dataclasses.replace(settings, **own)


def read(settings: S, values: Mapping[str, Any], where: str) -> S:
    """Settings from JSON or TOML by name, on top of others; `where` they are from is for errors.

    Raises:
        RunError: for a name that is no setting of these or that two have, or a value of another type.
    """
    every = names(settings)
    twice = sorted({name for name in every if every.count(name) > 1})
    if twice:
        raise RunError(f"two settings are called {twice[0]}, of which one must be your own: give it another name.")
    known = {name: hint for part in _parts(settings) for name, hint in typing.get_type_hints(type(part)).items()}
    check_names(every, values, where)
    return _replaced(settings, {name: typed(name, value, known[name], where) for name, value in values.items()})


def check_names(known: Iterable[str], values: Iterable[str], where: str) -> None:
    """Refuse the first of some values' names that isn't known; the RunError has one that is like it."""
    known = list(known)
    for name in values:
        if name not in known:
            close = closest(name, known)
            also = f"did you mean {close}?" if close else "leave it out."
            raise RunError(f"{where} has {name}, which is no setting here: {also}")


def _parts(settings: Any) -> Iterator[Any]:
    yield settings
    for field in dataclasses.fields(settings):
        if dataclasses.is_dataclass(value := getattr(settings, field.name)):
            yield from _parts(value)


_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", type(None): "null"}


def typed(name: str, value: Any, kind: Any, where: str) -> Any:
    """A value of JSON or TOML as its annotation has it: `int`, `float | None`, `tuple[str, ...]`, `dict`, `Any`.

    Raises:
        RunError: for another, naming it, what was found where, and what was expected.
    """
    if kind is Any:
        return value
    options = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    for option in options:
        fits, read = _as(value, option)
        if fits:
            return read
    wanted = [_word(option) for option in options]
    raise RunError(f"{where} has {name} {reprlib.repr(value)}, which must be {' or '.join(wanted)}: correct it.")


def _word(kind: Any) -> str:
    of = typing.get_args(kind)
    return f"a list, each {_word(of[0])}" if of else _WORDS.get(kind, "an object")


def _as(value: Any, kind: Any) -> tuple[bool, Any]:
    """Whether a value is of a kind, and the value then; JSON has lists for tuples, and 1 for 1.0."""
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, list | tuple):
            return False, None
        each = [_as(item, typing.get_args(kind)[0]) for item in value]
        return all(fits for fits, _ in each), tuple(item for _, item in each)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        fits = abs(value) <= sys.float_info.max
        return fits, float(value) if fits else None
    return type(value) is kind, value


def differences(mine: Mapping[str, Any], others: Mapping[str, Any], places: Sequence[str]) -> list[str]:
    """`--flag a, not b` for each setting, but for places, that has the value a in `others` and b in `mine`."""
    said = lambda value: " ".join(map(str, value)) if isinstance(value, list) else value
    return [
        f"{flag(name)} {said(others.get(name))}, not {said(mine.get(name))}"
        for name in [*mine, *(name for name in others if name not in mine)]
        if name not in places and mine.get(name) != others.get(name)
    ]


def check(settings: Any) -> None:
    """Refuse a value that its `setting` does not allow; the RunError names it and what it may be."""
    for field, value in fields(settings):
        if value is None and field.default is None:
            continue
        choices = field.metadata.get("choices")
        if choices is not None and value not in choices:
            raise unknown(field.name.replace("_", " "), str(value), choices)
        for number in value if isinstance(value, tuple) else (value,):
            _check_number(field, number)


def _check_number(field: dataclasses.Field[Any], value: Any) -> None:
    limits = {name: field.metadata[name] for name in ("least", "above", "most") if name in field.metadata}
    if not isinstance(value, int | float):
        return
    if isinstance(value, int) and "most" not in limits and abs(value) > INT32:
        less = f"{INT32} or less" if value > 0 else f"{-INT32} or more"
        raise RunError(f"{flag(field.name)} must be {less}, got {value}: choose another.")
    if isinstance(value, float) and math.isfinite(value) and value and not FLOAT32[0] <= abs(value) <= FLOAT32[1]:
        sizes = "{:.3g} to {:.3g}".format(*FLOAT32)
        raise RunError(
            f"{flag(field.name)} must be of a size that programs compute with, {sizes}, got {value:g}: choose another."
        )
    if not limits:
        return
    least, above, most = (limits.get(name) for name in ("least", "above", "most"))
    fits = (
        math.isfinite(value)
        and (least is None or value >= least)
        and (above is None or value > above)
        and (most is None or value <= most)
    )
    if fits:
        return
    if least is not None:
        wanted = f"{least} or more" if most is None else f"{least} to {most}"
    elif above is not None:
        wanted = f"a number above {above}" + ("" if most is None else f", at most {most}")
    else:
        wanted = f"{most} or less"
    raise RunError(f"{flag(field.name)} must be {wanted}, got {value}: choose another.")
