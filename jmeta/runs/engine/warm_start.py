"""A start from the parameters of another run."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jmeta.errors import RunError
from jmeta.experiment import Build, Experiment
from jmeta.runs.engine import checkpoints, record
from jmeta.runs.engine.leaves import name_of

Fit = Callable[[Mapping[str, np.ndarray], Mapping[str, tuple[int, ...]]], Mapping[str, np.ndarray | None]]
"""`(arrays of the other run, shapes wanted) -> arrays by the names wanted`. What it leaves out starts anew, a number
fills its array, and None, or an array of another shape, doesn't fit."""


def as_they_are(found: Mapping[str, np.ndarray], wanted: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray | None]:
    """The same arrays by the same names."""
    return {name: found.get(name) if name in wanted else None for name in (*wanted, *found)}


def from_run(build: Build, run_dir: Path, kind: str, fit: Fit, shaped_by: str) -> Build:
    """The same experiments, with the parameters of a run of this kind at the start; the rest is that of `build`.

    `shaped_by` names the settings that decide which parameters there are, for the error.

    Raises:
        RunError: where there is no such run, or, from the new `build`, where its parameters are others.
    """
    stored = record.load(run_dir)
    if stored.kind != kind:
        raise RunError(f"--init-from {run_dir} is a run of {stored.kind}, not {kind}: name another.")
    found = checkpoints.params_of(run_dir)

    def started(settings: Any) -> Experiment:
        experiment = build(settings)
        params = jax.eval_shape(experiment.init, jax.random.key(0)).params
        shapes = {name_of(path): leaf.shape for path, leaf in jax.tree_util.tree_leaves_with_path(params)}
        new = fit(found, shapes)
        _check_fits(new, found, shapes, run_dir, shaped_by)

        def init(key: Array) -> Any:
            state = experiment.init(key)
            put = lambda path, leaf: jnp.broadcast_to(jnp.asarray(new.get(name_of(path), leaf), leaf.dtype), leaf.shape)
            return state._replace(params=jax.tree_util.tree_map_with_path(put, state.params))

        note = _told(new, shapes, run_dir)
        return experiment._replace(init=init, about=" ".join(filter(None, (experiment.about, note))))

    return started


def _told(new: Mapping[str, np.ndarray | None], shapes: Mapping[str, tuple[int, ...]], run_dir: Path) -> str:
    """What is not the other run's, in a sentence; nothing where all is."""
    others = {f"{_short(name)} starts anew" for name in shapes.keys() - new.keys()}
    numbers = {name: array for name, array in new.items() if _is_number(array, shapes[name])}
    others |= {f"{_short(name)} is {array:g}" for name, array in numbers.items()}
    given = f"{len(new) - len(numbers)} of {len(shapes)} arrays are of {run_dir}"
    return f"{given}; {', '.join(sorted(others))}." if others else ""


def _is_number(array: np.ndarray | None, shape: tuple[int, ...]) -> bool:
    return array is not None and array.ndim == 0 and shape != ()


def _short(name: str) -> str:
    """`head` of `model/params/head/kernel`, and `lr` of all that is below it."""
    above, _, place = name.rpartition("params/")
    return (place if above in ("", "model/") else above or name).partition("/")[0]


def _check_fits(
    new: Mapping[str, np.ndarray | None],
    found: Mapping[str, np.ndarray],
    shapes: Mapping[str, tuple[int, ...]],
    run_dir: Path,
    shaped_by: str,
) -> None:
    for name, array in new.items():
        if array is None or not (_is_number(array, shapes.get(name, ())) or array.shape == shapes.get(name)):
            other = array if array is not None else found.get(name)
            there = "nothing" if other is None else list(other.shape)
            here = list(shapes[name]) if name in shapes else "nothing"
            raise RunError(
                f"--init-from {run_dir} has other parameters, {name} is {there} there and {here} here: give the same "
                f"{shaped_by}."
            )
