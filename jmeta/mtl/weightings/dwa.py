"""Dynamic weight average: attend to tasks whose loss falls slowly (Liu et al. 2019)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jmeta.mtl.types import View, Weighting
from jmeta.types import Params


class DWAState(NamedTuple):
    """Of each task `[T]`: mean losses in its last two periods that are over, the sum in this one so far, the steps in
    it, and how many are over."""

    last: Array
    before: Array
    total: Array
    steps: Array
    periods: Array


def dynamic_weight_average(*, period: int = 100, temperature: float = 2.0) -> Weighting:
    """Weigh by how slowly each loss has been falling.

        w = softmax(r / temperature),   r_i = mean L_i in the last period / mean L_i in the one before

    The first two periods have `r_i = 1`, and so has a task with a mean that is not above 0. A task's periods are of the
    steps in which it has rows.

    Args:
        period: steps that losses are averaged over, 1 or more; an epoch in the paper.
        temperature: above 0; the larger, the more alike the weights.

    Raises:
        ValueError: if `period` is below 1 or `temperature` not above 0.

    Differs from the paper: the weights sum to 1 where they sum to T there.

    Source: Liu et al. 2019, End-to-End Multi-Task Learning with Attention, eq. 7. https://arxiv.org/abs/1803.10704
    """
    if period < 1:
        raise ValueError(f"period must be 1 step or more, got {period}")
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, got {temperature}")

    def init(tasks: int) -> DWAState:
        ones = jnp.ones(tasks, jnp.float32)
        return DWAState(ones, ones, jnp.zeros_like(ones), *jnp.zeros((2, tasks), jnp.int32))

    def weigh(state: DWAState, view: View) -> Array:
        known = (state.periods >= 2) & (state.last > 0) & (state.before > 0)
        ratio = jnp.where(known, state.last / jnp.where(known, state.before, 1), 1)
        return jax.nn.softmax(ratio / temperature)

    def update(state: DWAState, weights: Array, view: View, params: Params) -> DWAState:
        total, steps = state.total + view.losses.astype(state.total.dtype), state.steps + 1
        over = DWAState(total / period, state.last, jnp.zeros_like(total), jnp.zeros_like(steps), state.periods + 1)
        going = state._replace(total=total, steps=steps)
        return jax.tree.map(lambda a, b: jnp.where(steps == period, a, b), over, going)

    return Weighting(init, weigh, update)
