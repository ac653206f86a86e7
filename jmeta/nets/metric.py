"""A metric that starts as that of its inputs: they, and beside them a projection that is learned."""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from jmeta.nets.networks import Network


class MetricEncoder(Network):
    """Inputs, each with a gain, beside a projection of them: for features that tell classes apart untrained.

        z = s [x', W x'],   x' = x exp(g)          so that |z_a - z_b|^2 = s^2 (|d|^2 + |W d|^2),  d = x'_a - x'_b

    At the start g is 0 and W is near 0, so that the nearest features are about the nearest inputs; s, which says how
    sure distances make of a class, starts at 4, for inputs of length 1 such as TF-IDF.

    Attributes:
        features: numbers of the projection; of several, layers with ReLU come between.
    """

    features: Sequence[int] = (256,)
    scale: float = 4.0
    spread: float = 0.05

    @nn.compact
    def __call__(self, x: Array, weight: Array | None = None) -> Array:
        """`[N, ...]` to `[N, D + features[-1]]`."""
        x = x.reshape(x.shape[0], -1)
        gain = self.param("gain", nn.initializers.zeros, x.shape[-1:], x.dtype)
        scale = self.param("scale", nn.initializers.constant(jnp.log(self.scale)), (), x.dtype)
        x = x * jnp.exp(gain)[None]
        z = x
        for i, units in enumerate(self.features):
            z = z if i == 0 else nn.relu(z)
            z = nn.Dense(units, use_bias=False, kernel_init=nn.initializers.normal(self.spread))(z)
        return jnp.exp(scale) * jnp.concatenate([x, z], axis=1)


class Metric(Network):
    """`MetricEncoder` and a linear head; attributes are those of both."""

    way: int
    features: Sequence[int] = (256,)
    kernel_init: Callable[..., Any] = nn.initializers.glorot_uniform()

    @nn.compact
    def __call__(self, x: Array, weight: Array | None = None) -> Array:
        """`[N, ...]` to `[N, way]`."""
        z = MetricEncoder(self.features, name="encoder")(x, weight)
        return nn.Dense(self.way, kernel_init=self.kernel_init, name="head")(z)
