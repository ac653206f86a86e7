"""Errors that a user can put right, and close matches for a misspelt name."""

import difflib
from collections.abc import Iterable


class RunError(ValueError):
    """Settings, files or results that a run can't go on with; the message is one sentence that says what to do."""


def unknown(what: str, got: str, known: Iterable[str]) -> RunError:
    """An error for a name that isn't there, with the closest one that is.

    Args:
        what: what kind of name, such as "algorithm".
        got: the name that was given.
        known: the names there are.
    """
    names = list(known)
    close = closest(got, names)
    if close is not None:
        return RunError(f"there is no {what} {got!r}: did you mean {close!r}?")
    return RunError(f"there is no {what} {got!r}: choose one of {', '.join(names)}.")


def closest(got: str, known: Iterable[str]) -> str | None:
    """The name that is most like a misspelt one, if any is."""
    close = difflib.get_close_matches(got.lower(), list(known), n=1, cutoff=0.6)
    return close[0] if close else None
