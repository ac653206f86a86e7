"""The words of a command line, read by tyro, and what is wrong with them in one sentence."""

import io
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, suppress
from typing import Any

import tyro

from jmeta.errors import RunError, closest

_ONE = {"INT": "a whole number", "FLOAT": "a number", "STR": "a word"}
_MORE = {"INT": "whole numbers", "FLOAT": "numbers", "STR": "words"}
_RULE = "[─-]{4,}"


def read_words(kind: type[Any], words: Sequence[str], *, prog: str | None = None, **options: Any) -> Any:
    """`tyro.cli`, but what is wrong with the words is a RunError of one sentence."""
    said, read = io.StringIO(), lambda: tyro.cli(kind, args=list(words), prog=prog, **options)
    try:
        with redirect_stderr(said):
            found = read()
    except SystemExit as error:
        if not error.code:  # --help
            raise
    else:
        sys.stderr.write(said.getvalue())
        return found
    box = io.StringIO()
    with redirect_stderr(box), _wide(), suppress(SystemExit):
        read()
    raise RunError(complaint(box.getvalue(), words, prog))


@contextmanager
def _wide() -> Iterator[None]:
    """While inside, tyro takes the terminal to be so wide that it breaks no line."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "10000"
    try:
        yield
    finally:
        del os.environ["COLUMNS"]
        if before is not None:
            os.environ["COLUMNS"] = before


def complaint(box: str, words: Sequence[str], prog: str | None) -> str:
    """In one sentence what tyro says in a box."""
    lines = [line.strip(" │╭╮╰╯") for line in box.splitlines()]
    lines = [line for line in lines if line and not re.fullmatch(rf".*{_RULE}.*", line)]
    it, see = prog or "the command", f"see {prog or 'its'} --help."
    what = next((line for line in lines if re.match(_KNOWN, line)), None)
    if what is None:
        return f"{' '.join(lines)}: {see}"
    options = dict(re.findall(r"^((?:--[\w-]+(?:, )?)+) (.+)$", "\n".join(lines), re.MULTILINE))
    if found := re.match(r"Unrecognized options: (.*)", what):
        others = found[1].split(", ")
        flag = next((word for word in others if word.startswith("-")), None)
        if flag is None:
            return f"{it} has no use for {' '.join(others)}: leave it out, or {see}"
        close = closest(flag, [name for names in options for name in names.split(", ")])
        return f"{it} has no {flag}: " + (see if close is None else f"did you mean {close}?")
    if found := re.match(r"Error parsing (--[\w-]+)", what):
        takes = next((value for names, value in options.items() if found[1] in names.split(", ")), "something else")
        return f"{found[1]} takes {in_words(takes)}, got {_given(found[1], words)}: {see}"
    if found := re.match(r"Missing value for argument '?(--[\w-]+)", what):
        return f"{found[1]} has too little after it: give its value, or {see}"
    told = [line.removesuffix("(required)").strip(" .") for line in lines[lines.index(what) + 2 :]]
    needed = [name.split(", ")[0] for name in options]
    return f"{it} needs {' and '.join(needed) if needed else f'one more word, {told[0]}'}: {see}"


_KNOWN = r"Unrecognized options: |Error parsing --|Missing value for argument|Missing from "


def in_words(takes: str) -> str:
    """What tyro calls a value: `INT`, `{None}|INT`, `[INT [INT ...]]`, `FLOAT FLOAT`."""
    takes = takes.removeprefix("{None}|")
    takes = takes[1:-1] if re.fullmatch(r"\{[^|]*\[.*\}", takes) else takes
    if found := re.fullmatch(r"\[(\w+) \[\1 \.\.\.\]\]", takes):
        return f"{_MORE.get(found[1], takes)}, with spaces between them"
    several = takes.split()
    if len(several) > 1 and len({*several}) == 1 and several[0] in _MORE:
        return f"{len(several)} {_MORE[several[0]]}"
    return _ONE.get(takes, takes)


def _given(flag: str, words: Sequence[str]) -> str:
    """What stands behind a flag."""
    for i, word in reversed([*enumerate(words)]):  # the last is the one that counts
        name, equals, value = word.partition("=")
        if name.replace("_", "-") == flag:
            behind = [value] if equals else [*words[i + 1 :]]
            ends = next((n for n, each in enumerate(behind) if n and each.startswith("--")), len(behind))
            return " ".join(map(repr, behind[:ends]))
    return "something else"
