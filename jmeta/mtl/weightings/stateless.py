"""Weights without a state: fixed ones, random ones, and those that make losses of any unit count alike."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import Array, lax

from jmeta.mtl.types import View, Weighting


def fixed(weights: Sequence[float]) -> Weighting:
    """Given weights, the same in every step.

        w_i = lambda_i

    Args:
        weights: one for each task, 0 or more.

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

    return _stateless(lambda view: lambdas)._replace(init=init)


def uniform() -> Weighting:
    """The mean of the losses: `w_i = 1 / T`. Well tuned, it is the baseline that is hard to beat.

    Source: Kurin et al. 2022, In Defense of the Unitary Scalarization, https://arxiv.org/abs/2201.04122
    """
    return _stateless(lambda view: jnp.full_like(view.losses, 1 / len(view.losses)))


def random_weights() -> Weighting:
    """Draw the weights afresh in every step.

        w = softmax(z),   z_i ~ N(0, 1)

    Source: Lin et al. 2022, Reasonable Effectiveness of Random Weighting. https://arxiv.org/abs/2111.10603
    """
    return _stateless(lambda view: jax.nn.softmax(jax.random.normal(view.key, view.losses.shape, view.losses.dtype)))


def scale_invariant(*, least: float = 1e-6) -> Weighting:
    """Descend on the geometric mean of the losses, in which no task counts more for the larger units of its loss.

        sum_i log L_i,   so that   w_i = 1 / L_i

    Args:
        least: losses below it count as it, above 0. One of 0 or below has no logarithm: its weight is 1.

    Raises:
        ValueError: if `least` is not above 0.

    Source: Liu et al. 2023, FAMO, where it is a baseline. https://arxiv.org/abs/2306.03792
    """
    if not least > 0:
        raise ValueError(f"least must be above 0, got {least}")

    def weigh(view: View) -> Array:
        losses = lax.stop_gradient(view.losses)
        return jnp.where(losses > 0, 1 / jnp.maximum(losses, least), 1)

    return _stateless(weigh)


def _stateless(weigh: Callable[[View], Array]) -> Weighting:
    return Weighting(lambda tasks: (), lambda state, view: weigh(view), lambda state, weights, view, params: state)
