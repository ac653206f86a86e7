"""Bayesian optimization as one scan: the data so far are a `Batch` whose weight says what has been evaluated."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from jmeta.active.optimization.types import Acquisition, Run, View
from jmeta.checks import check_sizes
from jmeta.distributions import Normal
from jmeta.types import Batch, Learner, Params

LOW = -1e30
"""The score of what an acquisition can't tell, such as NaN."""


def optimize(
    learner: Learner, acquisition: Acquisition, *, evaluations: int, first: int
) -> Callable[[Params, Any, Array, Array], Run]:
    """Look for the largest value of a function on candidates, one evaluation after another.

        repeat: adapted = adapt(params, candidates with weight = known)
                i = argmax of acquisition(view) among what is not known
                known_i = 1

    Args:
        learner: any whose `predict` returns a `Normal` of one target, such as `bayes.deep_kernel`.
        acquisition: `view -> scores [N]`, such as `expected_improvement`.
        evaluations: how many, the first included; 1 or more.
        first: the candidate that is evaluated first, 0 or more.

    Returns:
        `(params, x [N, ...], values [N], key) -> Run`, pure, for `jit` and `vmap`. Values that have not been evaluated
        reach nothing but the regret. No candidate is evaluated twice.

    Raises:
        ValueError: if `evaluations` is below 1 or above the number of candidates, `first` is none of them, or the
            learner predicts something else; all but the first sentence when it is run.
    """
    check_sizes(evaluations=evaluations)

    def run(params: Params, x: Any, values: Array, key: Array) -> Run:
        _check(len(values), evaluations, first)

        def choose(known: Array, step: Array) -> tuple[Array, Array]:
            seen = jnp.where(known > 0, values, 0)
            adapted = learner.adapt(params, Batch(x, seen[:, None], known))
            mean, variance = _of_one_target(learner.predict(adapted, x), len(values))
            best = jnp.max(jnp.where(known > 0, values, -jnp.inf))
            view = View(x, known, mean, variance, best, adapted, jax.random.fold_in(key, step), step, evaluations)
            scores = jnp.clip(jnp.nan_to_num(acquisition(view), nan=LOW), LOW, -LOW)
            pick = jnp.argmax(jnp.where(known > 0, -jnp.inf, scores)).astype(jnp.int32)
            return known.at[pick].set(1), pick

        start = jnp.zeros_like(values).at[first].set(1)
        _, others = lax.scan(choose, start, jnp.arange(1, evaluations, dtype=jnp.int32))
        picks = jnp.concatenate([jnp.full((1,), first, jnp.int32), others])
        return Run(picks, values[picks], jnp.max(values) - lax.cummax(values[picks]))

    return run


def _check(candidates: int, evaluations: int, first: int) -> None:
    if evaluations > candidates:
        raise ValueError(f"{evaluations} evaluations are more than the {candidates} candidates: ask for fewer")
    if not 0 <= first < candidates:
        raise ValueError(f"first must be one of the {candidates} candidates, 0 to {candidates - 1}, got {first}")


def _of_one_target(prediction: Any, candidates: int) -> tuple[Array, Array]:
    if not isinstance(prediction, Normal) or prediction.mean.shape != (candidates, 1):
        kind = prediction.mean.shape if isinstance(prediction, Normal) else type(prediction).__name__
        raise ValueError(
            f"the learner must predict a Normal of one target for {candidates} candidates, got {kind}: take one that "
            "does, such as jmeta.bayes.deep_kernel"
        )
    return prediction.mean[:, 0], prediction.variance[:, 0]
