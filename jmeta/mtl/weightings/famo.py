"""FAMO: all losses fall at the same rate, at the cost of one gradient (Liu et al. 2023)."""

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jmeta.mtl.types import View, Weighting
from jmeta.mtl.weightings.rule import LogitsState, or_adam, start, stepped, there
from jmeta.types import Params


def famo(
    *, least: float | Array = 0.0, decay: float = 1e-3, optimizer: optax.GradientTransformation | None = None
) -> Weighting:
    """Learn weights from how much each loss fell in the step that was taken.

        z    = softmax(xi)
        w_i  = c z_i / (L_i - least_i),   c = 1 / sum_j z_j / (L_j - least_j)
        xi  <- rule(xi,  J_z' (log(L - least) before the step - after it) + decay xi)

    with J_z the Jacobian of the softmax. A task whose logarithm fell by less than the others' gains weight. The
    losses of the batch are computed once more after the step. A task whose loss is not above its least has no
    logarithm: its weight is z_i, the others share the rest as above, and its xi stays.

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
    optimizer = or_adam(optimizer)

    def above(losses: Array) -> Array:
        return losses.astype(jnp.float32) - jnp.asarray(least, jnp.float32)

    def log(above: Array) -> Array:
        return jnp.log(jnp.maximum(above, 1e-8))

    def weigh(state: LogitsState, view: View) -> Array:
        z, left = jax.nn.softmax(state.logits), above(view.losses)
        counted = there(view) & (left > 0)
        ratio = jnp.where(counted, z / jnp.maximum(left, 1e-8), 0)
        rest, total = 1 - jnp.sum(jnp.where(counted, 0, z)), jnp.sum(ratio)
        return jnp.where(counted, rest * ratio / jnp.where(total > 0, total, 1), z)

    def update(state: LogitsState, weights: Array, view: View, params: Params) -> LogitsState:
        before, after = above(view.losses), above(view.losses_at(params))
        moving = there(view) & (before > 0) & (after > 0)
        fell = jnp.where(moving, log(before) - log(after), 0)
        softmax = lambda logits: jax.nn.softmax(logits, where=moving)
        grads = jax.vjp(softmax, state.logits)[1](fell)[0] + decay * state.logits
        return LogitsState(*stepped(optimizer, grads, state.opt_state, state.logits, moving))

    return Weighting(lambda tasks: start(optimizer, tasks), weigh, update)
