"""The coordinate-wise LSTM of Andrychowicz et al. 2016."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jax import Array
from jax.flatten_util import ravel_pytree

from jmeta.checks import check_sizes
from jmeta.optimizers.rules.features import like, wide, without_head
from jmeta.optimizers.types import Rule
from jmeta.types import Params

Preprocess = Callable[[Array], Array]
"""Gradients `[N]` to what the LSTM reads, `[N, F]`."""


def raw(grads: Array) -> Array:
    """The gradient as it is, `[N, 1]`."""
    return grads[:, None]


def log_and_sign(grads: Array, k: float = 5.0) -> Array:
    """The size and the direction of a gradient apart, `[N, 2]`, each of about -1 to 1.

        (log|g| / k, sign g) where |g| >= e^-k,   (-1, e^k g) elsewhere

    Source: Andrychowicz et al. 2016, appendix A, with k = 5 as in the authors' code, where the paper has p = 10.
    """
    size = jnp.abs(grads)
    large = size >= jnp.exp(-k)
    log = jnp.where(large, jnp.log(jnp.where(large, size, 1.0)) / k, -1.0)
    return jnp.stack([log, jnp.where(large, jnp.sign(grads), jnp.exp(k) * grads)], axis=-1)


class Cells(nn.Module):
    """LSTM cells on each other, and a number `[N]` for each row.

    Attributes:
        units: of each cell.
    """

    units: Sequence[int]

    @nn.compact
    def __call__(self, carries: Any, x: Array) -> tuple[Any, Array]:
        """`(carries, x [N, F]) -> (carries, [N])`."""
        after = []
        for carry, units in zip(carries, self.units, strict=True):
            carry, x = nn.OptimizedLSTMCell(units)(carry, x)
            after.append(carry)
        return tuple(after), nn.Dense(1, name="head")(x)[:, 0]


class LSTMState(NamedTuple):
    """`(c, h)` of each cell, each `[parameters, units]`."""

    carries: Any


def lstm(*, units: Sequence[int] = (20, 20), preprocess: Preprocess = raw, step_scale: float = 1.0) -> Rule:
    """One small LSTM that sees each parameter's gradients by themselves, and says what to add to it.

        update_t = step_scale * head(h_t),   h_t = LSTM(preprocess(g_t), h_{t-1})

    All parameters share theta, and each has a state of its own, so that the rule is for any tree.

    Args:
        units: of each cell.
        preprocess: `raw`, the paper's for quadratics, or `log_and_sign`, with a scale of 0.01, for networks.
        step_scale: of what it says.

    Raises:
        ValueError: if a number of units is below 1.

    Differs from the paper: the head starts at 0, so that training starts from no movement at all; with `added`, from
    gradient descent.

    Source: Andrychowicz et al. 2016, Learning to learn by gradient descent by gradient descent, section 2.1.
    https://arxiv.org/abs/1606.04474
    """
    check_sizes(**{f"units of cell {i}": n for i, n in enumerate(units)})
    cells = Cells(tuple(units))

    def zeros(count: int) -> Any:
        return tuple((jnp.zeros((count, n)), jnp.zeros((count, n))) for n in units)

    def init(key: Array, params: Params) -> Params:
        return without_head(cells.init(key, zeros(1), preprocess(jnp.zeros(1))))

    def make(theta: Params) -> optax.GradientTransformation:
        def start(params: Params) -> LSTMState:
            return LSTMState(zeros(sum(p.size for p in jax.tree.leaves(params))))

        def update(updates: Params, state: Any, params: Any = None) -> tuple[Params, LSTMState]:
            flat, unravel = ravel_pytree(wide(updates))
            found: Any = cells.apply(theta, state.carries, preprocess(flat))
            carries, said = found
            return like(unravel(step_scale * said), updates), LSTMState(carries)

        return optax.GradientTransformation(start, update)

    return Rule(init, make)
