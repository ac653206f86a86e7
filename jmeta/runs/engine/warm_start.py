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

Fit = Callable[[str, np.ndarray, tuple[int, ...]], np.ndarray]
"""`(name, array of the other run, shape wanted) -> array`, which may have another shape: then it doesn't fit."""


def as_it_is(name: str, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """What fits needs no change."""
    return array


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

        def init(key: Array) -> Any:
            state = experiment.init(key)
            return state._replace(params=_filled(state.params, found, run_dir, fit, shaped_by))

        return experiment._replace(init=init)

    return started


def _filled(params: Any, found: Mapping[str, np.ndarray], run_dir: Path, fit: Fit, shaped_by: str) -> Any:
    named = {name_of(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params)}
    new = {name: fit(name, found[name], leaf.shape) for name, leaf in named.items() if name in found}
    odd = [name for name, leaf in named.items() if name not in new or new[name].shape != leaf.shape]
    odd += [name for name in found if name not in named]
    if odd:
        name = odd[0]
        there, here = (list(tree[name].shape) if name in tree else "nothing" for tree in (found, named))
        raise RunError(
            f"--init-from {run_dir} has other parameters, {name} is {there} there and {here} here: give the same "
            f"{shaped_by}."
        )
    leaves = [jnp.asarray(new[name], leaf.dtype) for name, leaf in named.items()]
    return jax.tree.unflatten(jax.tree.structure(params), leaves)
