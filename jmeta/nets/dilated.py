"""Convolutions along a line that see far: each layer takes its neighbors from a distance of its own."""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from jmeta.nets.networks import Network


class DilatedConvNet(Network):
    """Residual layers of dilated convolutions along a line, after and before a layer for each place.

        h = E x,   h_g = h_g + b + sum_{k=-2}^{2} W_k relu(h_{g + k d})        for each dilation d,   out = O relu(h)

    Beyond the ends h counts as 0. It sees `2 * sum(dilations)` places to each side, and what is moved by a whole number
    of places gives outputs that are moved, as far as no end is seen. A convolution is slices and one matrix product,
    see `nets.conv`.

    Attributes:
        features: channels of h.
        outputs: channels of the result.
        dilations: one a layer.
    """

    features: int = 32
    outputs: int = 2
    dilations: Sequence[int] = (1, 2, 4, 8, 1, 2, 4, 8)

    @nn.compact
    def __call__(self, x: Array, weight: Array | None = None) -> Array:
        """`[B, G, C]` to `[B, G, outputs]`."""
        places = x.shape[1]
        h = nn.Dense(self.features)(x)
        for d in self.dilations:
            padded = jnp.pad(nn.relu(h), ((0, 0), (2 * d, 2 * d), (0, 0)))
            views = [padded[:, k * d : k * d + places] for k in range(5)]
            h = h + nn.Dense(self.features)(jnp.concatenate(views, axis=-1))
        return nn.Dense(self.outputs, name="head")(nn.relu(h))
