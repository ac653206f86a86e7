"""The last layers of a policy."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from jmeta.rl.distributions import Gaussian

_NEAR_ZERO = nn.initializers.variance_scaling(1e-4, "fan_in", "truncated_normal")


class Heads(nn.Module):
    """From features to the parameters of a distribution of actions, and a value.

    Attributes:
        size: of the distribution, see `Distribution`.
        real: whether actions are real numbers, whose spread is a parameter of its own.
        log_std: where the logarithm of the spread starts.
    """

    size: int
    real: bool = False
    log_std: float = 0.0

    @nn.compact
    def __call__(self, x: Array) -> tuple[Any, Array]:
        """`[..., D]` to the parameters of the distribution and a value `[...]`."""
        out = nn.Dense(self.size, kernel_init=_NEAR_ZERO, name="action")(x)
        value = nn.Dense(1, kernel_init=_NEAR_ZERO, name="value")(x)[..., 0]
        if not self.real:
            return out, value
        spread = self.param("log_std", nn.initializers.constant(self.log_std), (self.size,), jnp.float32)
        return Gaussian(out, jnp.broadcast_to(spread, out.shape)), value


def check_units(units: int) -> None:
    """Refuse a layer without units.

    Raises:
        ValueError: naming it.
    """
    if units < 1:
        raise ValueError(f"a policy must have 1 unit or more, got {units}")
