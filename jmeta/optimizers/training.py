"""Meta-training of a rule: many unrolls side by side, the mean of their estimates, and any Optax rule on top."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.tree_util import Partial

from jmeta import loop
from jmeta.checks import check_sizes
from jmeta.optimizers.types import Estimator
from jmeta.types import Params


class FitState(NamedTuple):
    """What meta-training carries: theta, the state of its optimizer, and of each unroll, `[tasks, ...]`."""

    theta: Params
    opt_state: Any
    unrolls: Any


def start(
    estimator: Estimator,
    optimizer: optax.GradientTransformation,
    theta: Params,
    key: Array,
    *,
    tasks: int,
    horizon: int,
) -> FitState:
    """What meta-training starts from: so many unrolls, spread over the windows of a horizon.

    Those that start in the middle end their first unroll early, so that from then on each step sees beginnings and ends
    alike.
    """
    check_sizes(tasks=tasks)
    unrolls = jax.vmap(estimator.init, (None, 0))(theta, jax.random.split(key, tasks))
    taken = jnp.arange(tasks, dtype=jnp.int32) * estimator.steps % horizon
    return FitState(theta, optimizer.init(theta), unrolls._replace(taken=taken))


def step(
    estimator: Estimator, optimizer: optax.GradientTransformation, state: FitState, keys: Array
) -> tuple[FitState, Array]:
    """One step by the mean estimate of a window of each unroll, by a key for each, and their mean loss `[]`."""
    grads, unrolls, losses = jax.vmap(estimator.estimate, (0, None, 0))(state.unrolls, state.theta, keys)
    grads = jax.tree.map(lambda g: jnp.mean(g, axis=0), grads)
    updates, opt_state = optimizer.update(grads, state.opt_state, state.theta)
    return FitState(optax.apply_updates(state.theta, updates), opt_state, unrolls), jnp.mean(losses)


def fit(
    estimator: Estimator,
    theta: Params,
    optimizer: optax.GradientTransformation,
    key: Array,
    *,
    steps: int,
    tasks: int,
    horizon: int,
) -> tuple[Params, Array]:
    """Theta after meta-training, and the mean loss `[steps]` of each step.

    Args:
        estimator: of the meta-gradient.
        theta: where to start.
        optimizer: of theta, any Optax rule.
        key: of all that is drawn.
        steps: of meta-training.
        tasks: unrolls side by side.
        horizon: of the estimator's unroll.
    """
    first, rest = jax.random.split(key)

    def update(carry: tuple[FitState, Array]) -> tuple[tuple[FitState, Array], Array]:
        state, count = carry
        keys = jax.random.split(jax.random.fold_in(rest, count), tasks)
        state, loss = step(estimator, optimizer, state, keys)
        return (state, count + 1), loss

    begun = start(estimator, optimizer, theta, first, tasks=tasks, horizon=horizon)
    (state, _), losses = loop.repeat(Partial(update))((begun, jnp.int32(0)), steps)
    return state.theta, losses
