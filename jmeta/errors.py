"""Errors that a user can put right, and close matches for a misspelled name."""

import difflib
import errno
import os
import re
import sysconfig
import traceback
from collections.abc import Iterable


class RunError(ValueError):
    """Settings, files or results that a run can't go on with; the message is one sentence that says what to do."""


class DivergedError(RunError):
    """Training whose loss or parameters are no longer finite."""


class DataError(RunError):
    """Data that is missing, damaged or not of the form asked for; the message is one sentence that says what to do."""


def printable(text: object) -> str:
    """A text in one line for a terminal: what isn't printable, such as escapes, in backslash notation."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def unknown(what: str, got: object, known: Iterable[str]) -> RunError:
    """An error for a name that isn't there, of a kind such as "algorithm", with the closest one that is."""
    names = list(known)
    if not isinstance(got, str):
        return RunError(f"a {what} is a name, got {got!r:.60}: choose one of {', '.join(names)}.")
    if got.endswith(".py"):
        return RunError(f"there is no {what} {got!r}: write {got}:NAME, with the name that it has in the file.")
    close = closest(got, names)
    longer = [name for name in names if got and name.startswith(got)]
    if 1 < len(longer) <= 8:
        return RunError(f"there is no {what} {got!r}: did you mean one of {', '.join(longer)}?")
    instead = f"did you mean {close!r}?" if close is not None else f"choose one of {', '.join(names)}."
    return RunError(f"there is no {what} {got!r}: {instead}")


def closest(got: str, known: Iterable[str]) -> str | None:
    """The name that is most like a misspelled one, if any is; case makes no difference."""
    names = {name.lower(): name for name in known}
    close = difflib.get_close_matches(got.lower(), list(names), n=1, cutoff=0.6)
    return names[close[0]] if close else None


def first_line(error: BaseException) -> str:
    """Why, in a few words: the system's if it was the system, else the first line of the message, shortened."""
    number = system_number(error)
    if number is not None:
        return os.strerror(number)
    text = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    return (text if len(text) <= 160 else text[:157] + "...").rstrip(".:")


def system_number(error: BaseException) -> int | None:
    """The number of the system's error, which some libraries have in their text alone."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    told = re.search(r"os_error_code='(\d+)'", str(error))
    return int(told[1]) if told else None


_ADVICE = {
    "make room or choose another folder": ("ENOSPC", "EDQUOT", "EFBIG"),
    "choose another folder, or ask for the right to use it": ("EACCES", "EPERM", "EROFS"),
    "correct the path": ("ENOENT", "ENOTDIR", "EISDIR", "EEXIST", "ENAMETOOLONG", "ELOOP", "EINVAL"),
    "close other programs, or raise the limit by ulimit -n": ("EMFILE", "ENFILE"),
    "wait until it is free": ("EBUSY", "ETXTBSY", "EAGAIN"),
}


def advice(error: BaseException) -> str:
    """What to do about an error of the system, by its number."""
    name = errno.errorcode.get(system_number(error) or 0)
    found = (text for text, names in _ADVICE.items() if name in names)
    return next(found, "see that the disk and the network are well")


def several(number: int, thing: str) -> str:
    """A number of things, such as `1 class` or `1,100 classes`."""
    return f"{number:,} {thing}{'' if number == 1 else 'es' if thing.endswith('s') else 's'}"


def kind_and_line(error: BaseException) -> str:
    """What was raised, and its first line: `TypeError: f() takes 0 positional arguments`."""
    return f"{type(error).__name__}: {first_line(error)}"


OWN = "__named_by_user__"
"""A name in modules of the user's own, such as `mine.py` of `mine.py:learner`."""


def own_lines(error: BaseException) -> list[str]:
    """Where an error, and what it came from, passed through code that is neither jmeta nor installed: the lines of a
    traceback that are of it, and those in which its syntax is wrong. None if neither a sentence nor a module with `OWN`
    says that it is the user's."""
    chain = [error]
    while chain[0].__cause__ is not None:
        chain.insert(0, chain[0].__cause__)
    named = isinstance(error, RunError)
    found: list[str] = []
    for each in chain:
        frames = [(f, line) for f, line in traceback.walk_tb(each.__traceback__) if _is_own(f.f_code.co_filename)]
        named |= any(OWN in frame.f_globals for frame, _ in frames)
        found += traceback.StackSummary.extract(iter(frames)).format()
        if isinstance(each, SyntaxError) and _is_own(each.filename or "<"):
            found += traceback.format_exception_only(each)[:-1]
    return "".join(dict.fromkeys(found)).splitlines() if named else []


def called_back(error: BaseException) -> tuple[str, list[str]] | None:
    """What Python code raised that a compiled program calls, such as an environment's: as `kind_and_line`, and as
    `own_lines`. JAX has it in the text of its error alone. None for another error."""
    _, called, text = str(error).rpartition("jax/_src/callback.py")  # the last frame before the one that it calls
    places = list(re.finditer(r'^  File "(.+)", line (\d+), in (.+)\n', text, re.MULTILINE))
    if not called or not places:
        return None
    frames = [traceback.FrameSummary(at[1], int(at[2]), at[3]) for at in places if _is_own(at[1])]
    raised = text[places[-1].end() :].partition("\n")[0]
    return raised.rstrip(".:"), "".join(traceback.StackSummary.from_list(frames).format()).splitlines()


def _is_own(path: str) -> bool:
    places = [os.path.dirname(__file__), *map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib"))]
    return not path.startswith(("<", *(os.path.join(place, "") for place in places if place)))


def sentence(error: Exception) -> str:
    """What an error says, with a full stop where it ends without a mark."""
    text = str(error)
    return text if text.endswith(("?", ".")) else f"{text}."
