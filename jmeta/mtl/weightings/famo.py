"""FAMO: all losses fall at the same rate, at the cost of one gradient (Liu et al. 2023)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jmeta.mtl.types import View, Weighting
from jmeta.mtl.weightings.rule import stepped
from jmeta.types import Params


class FAMOState(NamedTuple):
    """Logits `[T]` of the weights, and their optimizer's state."""

    logits: Array
    opt_state: optax.OptState


def famo(
    *, least: float | Array = 0.0, decay: float = 1e-3, optimizer: optax.GradientTransformation | None = None
) -> Weighting:
    """Learn weights from how much each loss fell in the step that was taken.

        z    = softmax(xi)
        w_i  = c z_i / (L_i - least_i),   c = 1 / sum_j z_j / (L_j - least_j)
        xi  <- rule(xi,  J_z' (log(L - least) before the step - after it) + decay xi)

    with J_z the Jacobian of the softmax. A task whose logarithm fell by less than the others' gains weight. The
    losses of the batch are computed once more after the step.

    Args:
        least: a number or `[T]` that the losses stay above, their least values.
        decay: of xi toward equal weights, 0 or more.
        optimizer: any Optax rule for xi, which starts at 0; None for Adam at 0.025.

    Raises:
        ValueError: if `decay` is negative.

    Source: Liu et al. 2023, FAMO: Fast Adaptive Multitask Optimization, algorithm 1. https://arxiv.org/abs/2306.03792
    """
    if not decay >= 0:
        raise ValueError(f"decay must be 0 or more, got {decay}")
    optimizer = optax.adam(0.025) if optimizer is None else optimizer

    def above(losses: Array) -> Array:
        return jnp.maximum(losses.astype(jnp.float32) - jnp.asarray(least, jnp.float32), 1e-8)

    def init(tasks: int) -> FAMOState:
        logits = jnp.zeros(tasks, jnp.float32)
        return FAMOState(logits, optimizer.init(logits))

    def weigh(state: FAMOState, view: View) -> Array:
        ratio = jax.nn.softmax(state.logits) / above(view.losses)
        return ratio / jnp.sum(ratio)

    def update(state: FAMOState, weights: Array, view: View, params: Params) -> FAMOState:
        fell = jnp.log(above(view.losses)) - jnp.log(above(view.losses_at(params)))
        grads = jax.vjp(jax.nn.softmax, state.logits)[1](fell)[0] + decay * state.logits
        return FAMOState(*stepped(optimizer, grads, state.opt_state, state.logits))

    return Weighting(init, weigh, update)
