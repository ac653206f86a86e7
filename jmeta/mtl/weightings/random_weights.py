"""Random loss weighting (Lin et al. 2022)."""

import jax
from jax import Array

from jmeta.mtl.types import View, Weighting


def random_weights() -> Weighting:
    """Draw the weights afresh in every step.

        w = softmax(z),   z_i ~ N(0, 1)

    Returns:
        A `Weighting` without state.

    Source: Lin et al. 2022, Reasonable Effectiveness of Random Weighting. https://arxiv.org/abs/2111.10603
    """

    def weigh(state: tuple[()], view: View) -> Array:
        return jax.nn.softmax(jax.random.normal(view.key, view.losses.shape, view.losses.dtype))

    return Weighting(lambda tasks: (), weigh, lambda state, weights, view, params: state)
