"""GradNorm: gradients of all tasks in balance, faster where a task lags behind (Chen et al. 2018)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jmeta.mtl.types import View, Weighting
from jmeta.mtl.weightings.rule import mean_over, or_adam, stepped, there
from jmeta.types import Params


class GradNormState(NamedTuple):
    """Weights `[T]` that sum to T, their optimizer's state, and the first loss above 0 `[T]` of each task."""

    weights: Array
    opt_state: optax.OptState
    first: Array


def gradnorm(*, asymmetry: float = 1.5, optimizer: optax.GradientTransformation | None = None) -> Weighting:
    """Learn weights that bring the norms of the tasks' gradients to a common scale.

        minimize over w   sum_i | w_i |g_i| - target_i |,   target_i = mean_j w_j |g_j| * (l_i / mean_j l_j)^asymmetry

    with `l_i = L_i / L_i at the start`, the share of its loss that a task still has, and the targets held constant. The
    weights are kept positive and at the sum T; what the network is given is `w_i / T`. Each step needs a
    gradient of each task, in the shared parameters. A task whose loss is 0 or below has no share of it left to compare:
    its weight stays, and the others are balanced among themselves.

    Args:
        asymmetry: 0 or more; how much more a task that lags behind is to weigh.
        optimizer: any Optax rule for w, which starts at 1; None for Adam at 0.025.

    Raises:
        ValueError: if `asymmetry` is negative.

    Differs from the paper: gradients are in all shared parameters, where the paper takes their last layer.

    Source: Chen et al. 2018, GradNorm, eq. 1-2. https://arxiv.org/abs/1711.02257
    """
    if not asymmetry >= 0:
        raise ValueError(f"asymmetry must be 0 or more, got {asymmetry}")
    optimizer = or_adam(optimizer)

    def init(tasks: int) -> GradNormState:
        ones = jnp.ones(tasks, jnp.float32)
        return GradNormState(ones, optimizer.init(ones), jnp.zeros_like(ones))

    def weigh(state: GradNormState, view: View) -> Array:
        return state.weights / len(state.weights)

    def update(state: GradNormState, weights: Array, view: View, params: Params) -> GradNormState:
        losses = view.losses.astype(jnp.float32)
        counted = there(view) & (losses > 0)
        first = jnp.where(counted & (state.first == 0), losses, state.first)
        norms = jnp.sqrt(jnp.maximum(jnp.diagonal(view.gram()), 0)).astype(jnp.float32)
        left = losses / jnp.where(first == 0, 1, first)
        mean_left = mean_over(left, counted)
        behind = jnp.maximum(left / jnp.where(mean_left == 0, 1, mean_left), 0) ** asymmetry
        target = mean_over(state.weights * norms, counted) * behind
        grads = jax.grad(lambda w: jnp.sum(jnp.abs(w * norms - target)))(state.weights)
        new, opt_state = stepped(optimizer, grads, state.opt_state, state.weights, counted)
        new = jnp.maximum(new, 1e-3)
        sums = (jnp.sum(jnp.where(which, new, 0)) for which in (~counted, counted))
        kept, moved = sums
        scaled = new * (len(new) - kept) / jnp.where(moved > 0, moved, 1)
        return GradNormState(jnp.where(counted, scaled, new), opt_state, first)

    return Weighting(init, weigh, update)
