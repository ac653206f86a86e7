"""The words of a command line, read by tyro, and what is wrong with them in one sentence."""

import io
import re
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr
from typing import Any

import tyro

from jmeta.errors import RunError, closest

_ONE = {"INT": "a whole number", "FLOAT": "a number", "STR": "a word"}
_MORE = {"INT": "whole numbers", "FLOAT": "numbers", "STR": "words"}
KINDS = {
    **_ONE,
    **{f"{{None}}|{kind}": said for kind, said in _ONE.items()},
    **{f"[{kind} [{kind} ...]]": said for kind, said in _MORE.items()},
}
"""What tyro calls a value, in words."""


def read_words(kind: type[Any], words: Sequence[str], *, prog: str | None = None, **options: Any) -> Any:
    """`tyro.cli`, but what is wrong with the words is a RunError of one sentence."""
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            return tyro.cli(kind, args=list(words), prog=prog, **options)
    except SystemExit as error:
        sentence = complaint(said.getvalue(), words, prog or "it") if error.code else None
        if sentence is not None:
            said.truncate(0)
            raise RunError(sentence) from None
        raise
    finally:
        sys.stderr.write(said.getvalue())


def complaint(box: str, words: Sequence[str], prog: str) -> str | None:
    """In one sentence what tyro says in a box; None for what it has not been seen to say."""
    text = " ".join(line.strip(" │╭╮╰╯") for line in box.splitlines())
    rule = "[─-]{4,}"
    first = re.search(rf"(?:Unrecognized options:|Error parsing|Missing (?:value|from)) .*?(?= *{rule}| *$)", text)
    if first is None:
        return None
    what, more = first[0], text[first.end() :]
    see = f"see {prog} --help."
    if found := re.match(r"Unrecognized options: (.*)", what):
        others = found[1].split(", ")
        flag = next((word for word in others if word.startswith("-")), None)
        if flag is None:
            return f"{prog} has no use for {' '.join(others)}: leave it out, or {see}"
        close = closest(flag, re.findall(r"--[\w-]+(?= [\[{A-Z])|--[\w-]+(?=, --)", more))
        return f"{prog} has no {flag}: " + (see if close is None else f"did you mean {close}?")
    if found := re.match(r"Error parsing (--[\w-]+)", what):
        takes = re.search(rf"{found[1]}(?:, --\S+)* ((?:\[.*?\]\]|\{{.*?\}}(?:\|\w+)?|\S+))", more)
        kind = KINDS.get(takes[1], takes[1]) if takes else "something else"
        given = _given(found[1], words)
        apart = " with spaces between them" if kind in _MORE.values() and "," in given else ""
        return f"{found[1]} takes {kind}{apart}, got {given}: {see}"
    if found := re.match(r"Missing value for argument '?(--[\w-]+)", what):
        return f"{found[1]} has nothing after it: give its value, or {see}"
    if found := re.match(r"Missing from .*?: ", what):
        flags = re.findall(r"(--[\w-]+) [\[{A-Z]", what)
        told = what[found.end() :].partition(" ")[2].removesuffix("(required)").strip(" .")
        return f"{prog} needs {' and '.join(flags) if flags else f'one more word, {told}'}: {see}"
    return None


def _given(flag: str, words: Sequence[str]) -> str:
    """What stands behind a flag."""
    for i, word in reversed([*enumerate(words)]):  # the last is the one that counts
        name, equals, value = word.partition("=")
        if name.replace("_", "-") == flag:
            behind = [value] if equals else [*words[i + 1 :]]
            ends = next((n for n, each in enumerate(behind) if n and each.startswith("--")), len(behind))
            return " ".join(map(repr, behind[:ends]))
    return "something else"
