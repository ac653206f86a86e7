"""Weights that stay as they are."""

from collections.abc import Sequence

import jax.numpy as jnp

from jmeta.mtl.types import Weighting


def fixed(weights: Sequence[float]) -> Weighting:
    """Given weights, the same in every step.

        w_i = lambda_i

    Args:
        weights: one for each task, 0 or more.

    Returns:
        A `Weighting` without state.

    Raises:
        ValueError: if a weight is negative or not finite, or, when a run starts, if there is not one for each task.
    """
    lambdas = jnp.asarray(weights, jnp.float32)
    if lambdas.ndim != 1 or not bool(jnp.all(jnp.isfinite(lambdas) & (lambdas >= 0))):
        raise ValueError(f"weights must be a number of 0 or more for each task, got {weights}")

    def init(tasks: int) -> tuple[()]:
        if len(lambdas) != tasks:
            raise ValueError(f"there must be a weight for each of the {tasks} tasks, got {len(lambdas)}")
        return ()

    return Weighting(init, lambda state, view: lambdas, lambda state, weights, view, params: state)


def uniform() -> Weighting:
    """The mean of the losses: `w_i = 1 / T`. Well tuned, it is the baseline that is hard to beat.

    Source: Kurin et al. 2022, In Defense of the Unitary Scalarization, https://arxiv.org/abs/2201.04122
    """
    return Weighting(
        lambda tasks: (),
        lambda state, view: jnp.full_like(view.losses, 1 / len(view.losses)),
        lambda state, weights, view, params: state,
    )
