"""Networks with a context beside their input: what tells one task from another, for CAVIA."""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from jmeta.nets.conv import Conv, max_pool2x2
from jmeta.nets.networks import Network, Norm
from jmeta.nets.norms import BatchNorm, normalize


class ContextMLP(Network):
    """An `MLP` whose first layer sees the context too.

        h = relu(norm(x W + b) + context V)

    Without normalization this is a layer on the example with the context behind it. The context comes after the
    normalization, which would take out again what all examples have in common.

    Attributes:
        features: units of each hidden layer; without any, the outputs are a layer on both.
        out: outputs.
        norm: as in `MLP`.

    Source: Zintgraf et al. 2019, section 5. https://arxiv.org/abs/1810.03642
    """

    features: Sequence[int] = (40, 40)
    out: int = 1
    norm: Norm | None = None

    @nn.compact
    def __call__(self, inputs: tuple[Array, Array], weight: Array | None = None) -> Array:
        """`([N, ...], [context_size])` to `[N, out]`."""
        x, context = inputs
        x, units = x.reshape(x.shape[0], -1), [*self.features, self.out]
        shift = nn.Dense(units[0], use_bias=False, name="context")(context)[None]
        for layer, hidden in enumerate(self.features):
            x = nn.Dense(hidden)(x)
            x = x if self.norm is None else normalize(self.norm(), x, weight)
            x = nn.relu(x + shift if layer == 0 else x)
        x = nn.Dense(self.out, name="head")(x)
        return x if self.features else x + shift


class FiLM(nn.Module):
    """A scale and a shift of each channel, from a context.

        y = (1 + a) * x + b,   (a, b) = context W + c

    With c = 0 at the start, a context of zeros changes nothing.
    """

    @nn.compact
    def __call__(self, x: Array, context: Array) -> Array:
        """`[N, ..., C], [context_size]` to `[N, ..., C]`."""
        scale, shift = jnp.split(nn.Dense(2 * x.shape[-1])(context).reshape((1,) * (x.ndim - 1) + (-1,)), 2, axis=-1)
        return (1 + scale) * x + shift


class FiLMConvNet(Network):
    """A `ConvNet` of which one block's channels are scaled and shifted by the context, before their ReLU.

    Attributes:
        way: outputs.
        features: channels of each block.
        pool: as in `ConvEncoder`.
        norm: as in `ConvEncoder`.
        flatten: as in `ConvEncoder`.
        kernel_init: the head's initializer.
        modulated: the block, counted from 1; the last where there are fewer.

    Differs from the paper: its scale is a, where it is 1 + a here, and it draws c, which is 0 here; so this starts as
    the `ConvNet` of the same parameters. Halving by a stride and the head's initializer are MAML's, for Omniglot.

    Source: Zintgraf et al. 2019, section 5, after Perez et al. 2018. https://arxiv.org/abs/1810.03642
    """

    way: int
    features: Sequence[int] = (64, 64, 64, 64)
    pool: bool = False
    norm: Norm = BatchNorm
    flatten: bool = False
    kernel_init: Callable[..., Any] = nn.initializers.normal(1.0)
    modulated: int = 3

    @nn.compact
    def __call__(self, inputs: tuple[Array, Array], weight: Array | None = None) -> Array:
        """`([N, H, W, C], [context_size])` to `[N, way]`."""
        x, context = inputs
        for block, features in enumerate(self.features, start=1):
            halve = min(x.shape[1:3]) > 1
            x = Conv(features, stride=1 if self.pool or not halve else 2)(x)
            x = normalize(self.norm(), x, weight)
            x = max_pool2x2(x) if self.pool and halve else x
            x = FiLM(name="film")(x, context) if block == min(self.modulated, len(self.features)) else x
            x = nn.relu(x)
        x = x.reshape(x.shape[0], -1) if self.flatten else jnp.mean(x, axis=(1, 2))
        return nn.Dense(self.way, kernel_init=self.kernel_init, name="head")(x)
