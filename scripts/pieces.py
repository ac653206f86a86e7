"""A training of a study in pieces, each of which is kept, so that a second start goes on with it."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jmeta.errors import RunError
from jmeta.report.files import writing
from jmeta.runs.engine.leaves import as_stored, digest_of, plain
from jmeta.runs.engine.progress import say
from scripts.study import finite

EVERY = 5000
"""Steps of a piece, where none are told."""


class Trained(NamedTuple):
    """A state after its training, and the seconds that all of its pieces took."""

    state: Any
    seconds: float


def trained(
    run: Callable[[Any, int], tuple[Any, Any]], state: Any, steps: int, place: Path, *, of: str, every: int = EVERY
) -> Trained:
    """The state after so many steps, kept in a file after each piece; one that is there is gone on with, bit for bit.

    Args:
        run: `(state, steps) -> (state, metrics)`, as `jmeta.make_run` returns it.
        state: at the start, with a `step`.
        steps: in all.
        place: the file, .npz.
        of: what else decides the training, such as its rates; a file of another is refused.
        every: steps of a piece.

    Raises:
        RunError: for a file of another state, or a loss that is not finite.
    """
    seconds, start = 0.0, f"{of}, {steps} steps of {digest_of(jax.tree.map(plain, state))}"
    if place.exists():
        state, seconds = _read(place, state, start)
    while (step := int(state.step)) < steps:
        began = time.perf_counter()
        state, metrics = run(state, min(every - step % every, steps - step))
        finite(losses := np.asarray(metrics.loss), "the losses")
        seconds += time.perf_counter() - began
        leaves: dict[str, Any] = {str(i): np.asarray(plain(leaf)) for i, leaf in enumerate(jax.tree.leaves(state))}
        with writing(place) as file:
            np.savez(file, **leaves, start=start, seconds=seconds)
        say(f"step {int(state.step):,} of {steps:,}: loss {losses[-100:].mean():.4f}, {seconds / 60:.0f} min")
    return Trained(state, seconds)


def _read(place: Path, state: Any, start: str) -> tuple[Any, float]:
    leaves, structure = jax.tree.flatten(state)
    with np.load(place) as kept:
        if kept["start"] != start:
            raise RunError(f"{place} is of a training that began otherwise: remove it, or choose another --run-dir.")
        found = [as_stored(kept[str(i)], leaf) for i, leaf in enumerate(leaves)]
        return jax.tree.unflatten(structure, found), float(kept["seconds"])
