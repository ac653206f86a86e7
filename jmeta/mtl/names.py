"""Weightings and aggregators by their names, as settings give them."""

import difflib
import inspect
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from jmeta.mtl import aggregators, weightings
from jmeta.mtl.types import Aggregator, Weighting


def weighting_named(name: str) -> Weighting:
    """A weighting with its defaults, by one of `weighting_names()`.

    Raises:
        ValueError: if there is none of that name, with the nearest that there is.

    Example:
        >>> weighting_named("uniform").init(2)
        ()
    """
    return _named("weighting", name, _factories(weightings))


def aggregator_named(name: str) -> Aggregator:
    """An aggregator with its defaults, by one of `aggregator_names()`; as `weighting_named`."""
    return _named("aggregator", name, _factories(aggregators))


def weighting_names() -> tuple[str, ...]:
    """Weightings that have a default for every setting."""
    return tuple(_factories(weightings))


def aggregator_names() -> tuple[str, ...]:
    """Aggregators that have a default for every setting."""
    return tuple(_factories(aggregators))


def _factories(module: ModuleType) -> dict[str, Callable[[], Any]]:
    """The functions that a package exports and that can be called without arguments, so that none is forgotten here."""
    found = {name: getattr(module, name) for name in sorted(module.__all__)}
    return {name: rule for name, rule in found.items() if inspect.isfunction(rule) and not _needs_arguments(rule)}


def _needs_arguments(rule: Callable[..., Any]) -> bool:
    parameters = inspect.signature(rule).parameters.values()
    return any(p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters)


def _named(kind: str, name: str, known: Mapping[str, Callable[[], Any]]) -> Any:
    if name in known:
        return known[name]()
    close = difflib.get_close_matches(str(name).lower(), list(known), n=1, cutoff=0.6)
    hint = f"did you mean {close[0]!r}?" if close else f"choose one of {', '.join(known)}, or pass one that you made"
    raise ValueError(f"there is no {kind} {name!r} that has defaults: {hint}")
