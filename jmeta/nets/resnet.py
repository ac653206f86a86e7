"""ResNet-12, the usual deep network of few-shot images, and DropBlock, which regularizes it."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array, lax

from jmeta.nets.conv import Conv, max_pool2x2
from jmeta.nets.networks import Network, Norm
from jmeta.nets.norms import BatchNorm, normalize

_SLOPE = 0.1
_KAIMING = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class ResNet12Encoder(Network):
    """Four residual blocks of three 3x3 convolutions each, without biases; then features for a head.

        r   = norm(1x1 conv(x))
        h   = leaky(norm(conv(x)));  h = leaky(norm(conv(h)));  h = norm(conv(h))
        out = max_pool_2x2(leaky(h + r)),   leaky(v) = max(v, 0.1 v)

    Weights start from N(0, 2 / fan_out).

    Attributes:
        features: channels of each block; 64-128-256-512 is the other network of this name. Any number of blocks.
        norm: normalization policy, one of `jmeta.nets`' or any `() -> nn.Module`.
        flatten: features are all positions' channels, 2,560 of pictures of 32 pixels and 16,000 of 84, in place of
            their mean over positions.

    Differs from the code of the source: no dropout and no DropBlock, since a model here is a function without a key;
    `drop_block` is that of the latter alone. A picture too small to be halved is not.

    Source: Lee et al. 2019, Meta-learning with differentiable convex optimization, https://arxiv.org/abs/1904.03758,
    for 64-160-320-640 and all positions. Oreshkin et al. 2018, TADAM, https://arxiv.org/abs/1805.10123, for the
    network.
    """

    features: Sequence[int] = (64, 160, 320, 640)
    norm: Norm = BatchNorm
    flatten: bool = True

    @nn.compact
    def __call__(self, x: Array, weight: Array | None = None) -> Array:
        """`[N, H, W, C]` to `[N, D]`."""
        for channels in self.features:
            x = _block(self.norm, channels, x, weight)
        return x.reshape(x.shape[0], -1) if self.flatten else jnp.mean(x, axis=(1, 2))


class ResNet12(Network):
    """`ResNet12Encoder` and a linear head; attributes are those of both."""

    way: int
    features: Sequence[int] = (64, 160, 320, 640)
    norm: Norm = BatchNorm
    flatten: bool = True
    kernel_init: Callable[..., Any] = nn.initializers.glorot_uniform()

    @nn.compact
    def __call__(self, x: Array, weight: Array | None = None) -> Array:
        """`[N, H, W, C]` to `[N, way]`."""
        z = ResNet12Encoder(self.features, self.norm, self.flatten, name="encoder")(x, weight)
        return nn.Dense(self.way, kernel_init=self.kernel_init, name="head")(z)


def _block(norm: Norm, channels: int, x: Array, weight: Array | None) -> Array:
    """A block of the network whose `__call__` this is called in."""
    straight = nn.Dense(channels, use_bias=False, kernel_init=_KAIMING)(x)  # a 1x1 convolution
    straight = normalize(norm(), straight, weight)
    for layer in range(3):
        x = normalize(norm(), Conv(channels, use_bias=False, kernel_init=_KAIMING)(x), weight)
        x = nn.leaky_relu(x + straight if layer == 2 else x, _SLOPE)
    return max_pool2x2(x) if min(x.shape[1:3]) > 1 else x


def drop_block(key: Array, x: Array, *, rate: float | Array, size: int) -> Array:
    """Set squares of each channel of each feature map to zero, and scale the rest: `[N, H, W, C]` to the same shape.

        gamma = rate / size^2 * H W / ((H - size + 1) (W - size + 1))
        mask  = 0 in each size x size square within the map whose first corner is drawn, with a chance of gamma; else 1
        out   = x mask * (number of values of mask) / (sum of mask)

    So a value is kept with the chance (1 - gamma)^n, with n the squares that it may be in: 1 - rate but for overlaps.

    Args:
        key: of the squares.
        x: feature maps.
        rate: the share to be dropped, 0 to 1, such as min(0.1 t / 40000, 0.1) at call t in the code of the source of
            `ResNet12Encoder`; may be traced.
        size: side of a square; there 5 for pictures of 84 pixels and 2 for 32.

    Raises:
        ValueError: if `size` is below 1, or larger than the map.

    Example:
        >>> drop_block(jax.random.key(0), jnp.ones((1, 4, 4, 1)), rate=0.0, size=2).sum().item()
        16.0

    Source: Ghiasi et al. 2018, DropBlock: A regularization method for convolutional networks, with squares by their
    first corner. https://arxiv.org/abs/1810.12890
    """
    n, height, width, channels = x.shape
    if not 1 <= size <= min(height, width):
        raise ValueError(f"size must be 1 to {min(height, width)}, the side of the map, got {size}: give another")
    rows, columns = height - size + 1, width - size + 1
    gamma = rate / size**2 * (height * width / (rows * columns))
    drawn = jax.random.bernoulli(key, gamma, (n, rows, columns, channels))
    padded = jnp.pad(drawn, ((0, 0), (size - 1, size - 1), (size - 1, size - 1), (0, 0)))
    dropped = lax.reduce_window(padded, False, lax.bitwise_or, (1, size, size, 1), (1, 1, 1, 1), "VALID")
    mask = (~dropped).astype(x.dtype)
    return x * mask * (mask.size / jnp.maximum(jnp.sum(mask), 1)).astype(x.dtype)
