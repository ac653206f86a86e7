"""The geometric mean of the losses: no task counts more because its loss is measured in larger units."""

import jax.numpy as jnp
from jax import Array, lax

from jmeta.mtl.types import View, Weighting


def scale_invariant(*, least: float = 1e-6) -> Weighting:
    """Descend on the sum of the logarithms of the losses.

        sum_i log L_i,   so that   w_i = 1 / L_i

    Args:
        least: losses below it count as it, above 0. Losses must be positive.

    Returns:
        A `Weighting` without state.

    Raises:
        ValueError: if `least` is not above 0.

    Source: Liu et al. 2023, FAMO, where it is a baseline. https://arxiv.org/abs/2306.03792
    """
    if not least > 0:
        raise ValueError(f"least must be above 0, got {least}")

    def weigh(state: tuple[()], view: View) -> Array:
        return 1 / jnp.maximum(lax.stop_gradient(view.losses), least)

    return Weighting(lambda tasks: (), weigh, lambda state, weights, view, params: state)
