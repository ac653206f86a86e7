"""Environments that Gymnasium and gymnax have names for: what each can be told, and how it is made."""

import dataclasses
import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple

from jmeta.errors import RunError, closest, first_line, kind_and_line
from jmeta.rl.envs.from_gymnasium import from_gymnasium
from jmeta.rl.envs.from_gymnax import from_gymnax
from jmeta.rl.types import Env
from jmeta.settings import of_parameters, of_values, setting

Parts = list[tuple[str, Any, Any]]
"""Settings, as `dataclasses.make_dataclass` takes them."""


class Found(NamedTuple):
    """An environment of another library: its settings, and a factory that has them."""

    parts: Parts
    make: Callable[..., Env]


def of_gymnasium(name: str) -> Found:
    """An environment of `gymnasium.registry`, told what its class takes, and the most steps of an episode.

    Raises:
        RunError: if Gymnasium is not installed or has no such name, or the environment needs what is not there.
    """
    library = _library("gymnasium")
    spec = _known("gymnasium", name, library.registry)
    load = importlib.import_module("gymnasium.envs.registration").load_env_creator
    with _making(f"gymnasium:{name}"):
        creator = spec.entry_point if callable(spec.entry_point) else load(spec.entry_point)
        parts = of_parameters(partial(creator, **spec.kwargs), ("horizon", "render_mode"))

    def make(*, horizon: int, **told: Any) -> Any:
        return library.make(name, disable_env_checker=True, max_episode_steps=horizon, **told)

    return of_python(f"gymnasium:{name}", make, [_horizon(spec.max_episode_steps), *parts])


def of_python(name: str, make: Callable[..., Any], parts: Parts, limit: int | None = None) -> Found:
    """An environment in Python, by a function of settings that makes one, told those and the most steps of an episode.

    A setting `horizon` of the function's own is that too; else `limit` is its default, None for one without.
    """
    own = any(part[0] == "horizon" for part in parts)

    def factory(*, horizon: int | None, **told: Any) -> Env:
        if horizon is None:
            raise RunError(f"{name} has no limit of steps of its own: give --horizon, the most of an episode.")
        told = {**told, "horizon": horizon} if own else told
        with _making(name):
            return from_gymnasium(lambda task: make(**told), horizon=horizon)

    return Found(parts if own else [_horizon(limit), *parts], factory)


def of_gymnax(name: str) -> Found:
    """An environment of `gymnax.registered_envs`, told its parameters.

    Raises:
        RunError: if gymnax is not installed or has no such name, or the environment needs what is not there.
    """
    library = _library("gymnax")
    _known("gymnax", name, dict.fromkeys(library.registered_envs))
    with _making(f"gymnax:{name}"):
        env, params = library.make(name)
    values = {field.name: getattr(params, field.name) for field in dataclasses.fields(params)}
    steps = values.pop("max_steps_in_episode")

    def make(*, horizon: int, **told: Any) -> Env:
        told["max_steps_in_episode"] = type(steps)(horizon)  # some count in floats
        with _making(f"gymnax:{name}"):
            return from_gymnax(env, params.replace(**told))

    return Found([_horizon(int(steps)), *of_values(values)], make)


@contextmanager
def _making(name: str) -> Iterator[None]:
    """What an environment raises, which may be anything where it lacks a package, as one sentence."""
    try:
        yield
    except Exception as error:
        why = first_line(error) if isinstance(error, ValueError) else kind_and_line(error)
        raise RunError(f"{name} can't be made: {why}.") from error


def _horizon(steps: int | None) -> tuple[str, Any, Any]:
    return "horizon", int if steps else int | None, setting(steps, least=1)


def _library(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise RunError(f"{name}:NAME needs {name}, which is not installed: pip install 'jmeta[rl]'.") from error


def _known(library: str, name: str, rows: Mapping[str, Any]) -> Any:
    if name in rows:
        return rows[name]
    close = closest(name, rows)
    also = f"did you mean {library}:{close}?" if close else _choose(library, rows)
    raise RunError(f"{library} has no environment {name!r}: {also}")


def _choose(library: str, names: Iterable[str]) -> str:
    few = ", ".join(sorted(names)[:8])
    return f"choose one of its own, such as {few}, or register yours in FILE.py and give FILE.py:NAME."
