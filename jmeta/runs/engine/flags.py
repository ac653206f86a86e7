"""A command line of nested settings: flags without the path to them, in groups that say what they are of."""

import dataclasses
import inspect
import re
import typing
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

import tyro
from tyro.constructors import ConstructorRegistry, StructConstructorSpec, StructFieldSpec, StructTypeInfo

from jmeta.runs.engine.words import read_words

T = TypeVar("T")
TITLES = {"inner": "inner loop", "outer": "outer loop", "differentiated": "inner gradient", "options": "run"}
"""Of groups that are called otherwise than their field."""


def parsed(kind: type[T], words: Sequence[str], **options: Any) -> T:
    """A dataclass of dataclasses from the words of a command line; options are those of `tyro.cli`."""
    registry = ConstructorRegistry()
    registry.struct_rule(_grouped)
    return read_words(kind, words, registry=registry, config=(tyro.conf.OmitArgPrefixes,), **options)


def _grouped(info: StructTypeInfo) -> StructConstructorSpec | None:
    """What tyro does with a dataclass, but for titles, of which it makes the whole path to a group."""
    if not (dataclasses.is_dataclass(info.type) and dataclasses.is_dataclass(info.default)):
        return None
    hints, told = typing.get_type_hints(info.type), described(info.type)
    fields = []
    for name in (field.name for field in dataclasses.fields(info.type)):
        value = getattr(info.default, name)
        kind: Any = hints[name]
        if dataclasses.is_dataclass(value):
            title = tyro.conf.arg(name=TITLES.get(name, name), prefix_name=False)
            kind = Annotated[type(value), title]
        fields.append(StructFieldSpec(name, kind, value, told.get(name)))
    return StructConstructorSpec(info.type, tuple(fields))


def described(kind: type) -> dict[str, str]:
    """What the docstrings of a class, and of those that it is made from, say of each of its attributes."""
    found: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        # Python 3.13 takes the indentation off, and earlier ones don't.
        _, _, text = inspect.cleandoc(each.__doc__ or "").partition("Attributes:\n")
        found |= dict(re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", text, re.MULTILINE))
    return {name: " ".join(said.split()) for name, said in found.items()}
