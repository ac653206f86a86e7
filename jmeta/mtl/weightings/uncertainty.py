"""Uncertainty weighting: the noise of each task is learned (Kendall et al. 2018)."""

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jmeta.mtl.types import View, Weighting
from jmeta.mtl.weightings.rule import or_adam, start, stepped, there
from jmeta.types import Params


def uncertainty(optimizer: optax.GradientTransformation | None = None) -> Weighting:
    """Weigh each task by how certain it can be.

        minimize over s too   sum_i exp(-s_i) L_i / 2 + s_i / 2,   so that   w_i = exp(-s_i) / 2

    where `exp(s_i)` stands for the variance of task i's noise. It is at its best at `exp(s_i) = L_i`, where the weights
    are those of `scale_invariant`, halved. Where L_i is 0 or below, as the likelihood of a Gaussian can be, there is no
    best s_i, and it stays as it is.

    Args:
        optimizer: any Optax rule for s, which starts at 0; None for Adam at 0.025.

    The state is `(s [T], optimizer state)`. Differs from the paper: s has an optimizer of its own.

    Source: Kendall et al. 2018, Multi-Task Learning Using Uncertainty to Weigh Losses. https://arxiv.org/abs/1705.07115
    """
    optimizer = or_adam(optimizer)

    def init(tasks: int) -> tuple[Array, optax.OptState]:
        logits, opt_state = start(optimizer, tasks)
        return logits, opt_state

    def weigh(state: tuple[Array, optax.OptState], view: View) -> Array:
        return jnp.exp(-state[0]) / 2

    def update(
        state: tuple[Array, optax.OptState], weights: Array, view: View, params: Params
    ) -> tuple[Array, optax.OptState]:
        s, opt_state = state
        losses = view.losses.astype(s.dtype)
        grads = jax.grad(lambda s: jnp.sum(jnp.exp(-s) * losses + s) / 2)(s)
        return stepped(optimizer, grads, opt_state, s, there(view) & (losses > 0))

    return Weighting(init, weigh, update)
