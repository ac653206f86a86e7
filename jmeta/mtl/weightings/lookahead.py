"""Weights as meta-parameters: those after whose step the validation losses are least, by MAML's own verbs."""

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jmeta.inner import descend
from jmeta.mtl.types import View, Weighting
from jmeta.mtl.weightings.rule import LogitsState, or_adam, start, stepped, there
from jmeta.types import Params


def lookahead(
    *, inner_lr: float, inner_steps: int = 1, optimizer: optax.GradientTransformation | None = None
) -> Weighting:
    """Learn the weights by looking one step ahead, as MAML learns a start.

        theta'(w) = descend(gradient of sum_i w_i L_i, theta, sgd(inner_lr), inner_steps),   w = softmax(xi)
        xi       <- rule(xi,  gradient in xi of mean_i L_i^validation(theta'(w)))

    The weights are MAML's outer parameters, theta its inner ones: a task whose gradient helps the validation losses of
    all gains weight, and one of noise loses it. The step that it is used in must be given a validation batch.

    Args:
        inner_lr: rate of the look-ahead, about that of the network's own steps, above 0.
        inner_steps: how many steps are looked ahead, 1 or more.
        optimizer: any Optax rule for xi, which starts at 0; None for Adam at 0.025.

    Raises:
        ValueError: if `inner_lr` is not above 0 or `inner_steps` is below 1.

    Differs from the paper: weights are on the simplex, and the derivative through the step is exact, where the paper
    approximates it by finite differences.

    Source: Liu et al. 2022, Auto-Lambda. https://arxiv.org/abs/2202.03091
    """
    if not inner_lr > 0:
        raise ValueError(f"inner_lr must be above 0, got {inner_lr}")
    if inner_steps < 1:
        raise ValueError(f"inner_steps must be 1 or more, got {inner_steps}")
    optimizer = or_adam(optimizer)

    def weigh(state: LogitsState, view: View) -> Array:
        return jax.nn.softmax(state.logits)

    def update(state: LogitsState, weights: Array, view: View, params: Params) -> LogitsState:
        def outer(logits: Array) -> Array:
            weights = jax.nn.softmax(logits)

            def weighted(params: Params) -> Array:
                losses = view.losses_at(params)
                return jnp.sum(weights.astype(losses.dtype) * losses)

            ahead = descend(jax.grad(weighted), view.params, optax.sgd(inner_lr), inner_steps)
            return jnp.mean(view.validation_at(ahead))

        grads = jax.grad(outer)(state.logits)
        return LogitsState(*stepped(optimizer, grads, state.opt_state, state.logits, there(view)))

    return Weighting(lambda tasks: start(optimizer, tasks), weigh, update)
