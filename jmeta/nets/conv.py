"""The 3x3 convolution, written as slices and one matrix product."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax import Array, lax


def conv3x3(x: Array, kernel: Array, *, stride: int = 1) -> Array:
    """`[N, H, W, C]` by a 3x3 kernel `[3, 3, C, features]` to `[N, ceil(H / stride), ceil(W / stride), features]`.

    Padding is zeros ("SAME"). Under `vmap` over tasks with their own kernels, `lax.conv_general_dilated` becomes a
    grouped convolution, and inside `lax.scan` it leaves its fast path: on a CPU both are 10 to 60 times slower than
    nine shifted views of the input and one matrix product, whose derivatives of any order are again slices and matrix
    products.

    Example:
        >>> conv3x3(jnp.ones((1, 4, 4, 1)), jnp.ones((3, 3, 1, 1)))[0, :, :, 0].tolist()[:2]
        [[4.0, 6.0, 6.0, 4.0], [6.0, 9.0, 9.0, 6.0]]
    """
    patches, weights = _patches(x, stride), kernel.reshape(-1, kernel.shape[-1])
    rows = patches.reshape(-1, len(weights))
    if len(weights) < weights.shape[1]:
        product = rows @ weights
    else:
        # The weights' gradient has the form of the factor here, and on a CPU is fastest with its longer side last.
        # Without the barrier XLA merges it with the transposition that follows, and it takes 1.6 times as long.
        product = lax.dot_general(rows, lax.optimization_barrier(weights.T), (((1,), (1,)), ((), ())))
    return product.reshape(*patches.shape[:3], -1)


def _patches(x: Array, stride: int) -> Array:
    """The nine inputs of each output side by side, `[N, rows, columns, 9 C]`.

    The derivative of strided slices is a sum of nine arrays with holes, slow on a CPU. With rows and columns sorted by
    their remainder all slices are of neighbors, and `split` has a concatenation as its derivative: 1.05 to 1.1 times
    the tasks/s.
    """
    n, height, width, channels = x.shape
    (rows, top, bottom), (columns, left, right) = _padding(height, stride), _padding(width, stride)
    padded = jnp.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))
    size = rows + 2 // stride, columns + 2 // stride
    by_remainder = padded.reshape(n, size[0], stride, size[1], stride, channels).transpose(2, 4, 0, 1, 3, 5)
    parts = lax.split(by_remainder.reshape(stride * stride, n, *size, channels), [1] * stride**2)
    views = []
    for i in range(3):
        for j in range(3):
            part = parts[i % stride * stride + j % stride][0]
            views.append(part[:, i // stride : i // stride + rows, j // stride : j // stride + columns])
    return jnp.concatenate(views, axis=-1)


def _padding(size: int, stride: int) -> tuple[int, int, int]:
    """The output's size, and zeros before and after: "SAME", and at the end as many as make whole strides."""
    out = -(-size // stride)
    before = max((out - 1) * stride + 3 - size, 0) // 2
    return out, before, (out + 2 // stride) * stride - size - before


class Conv(nn.Module):
    """A 3x3 convolution, by `conv3x3`, with a bias unless `use_bias` is off."""

    features: int
    stride: int = 1
    use_bias: bool = True
    kernel_init: Callable[..., Any] = nn.initializers.xavier_uniform()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """`[N, H, W, C]` to `[N, ceil(H / stride), ceil(W / stride), features]`."""
        kernel = self.param("kernel", self.kernel_init, (3, 3, x.shape[-1], self.features), x.dtype)
        if not self.use_bias:
            return conv3x3(x, kernel, stride=self.stride)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), x.dtype)
        y = conv3x3(x, kernel, stride=self.stride)
        return y + bias.reshape(1, 1, 1, -1)


def max_pool2x2(x: Array) -> Array:
    """Maximum over 2x2 blocks `[N, H, W, C] -> [N, H // 2, W // 2, C]`; an odd last row or column is left out.

    >>> max_pool2x2(jnp.arange(16.0).reshape(1, 4, 4, 1))[0, :, :, 0].tolist()
    [[5.0, 7.0], [13.0, 15.0]]

    As a reshape, since `lax.reduce_window` has a slow derivative under `vmap` and `scan` on a CPU.
    """
    n, height, width, channels = x.shape
    rows, columns = height // 2, width // 2
    blocks = x[:, : 2 * rows, : 2 * columns].reshape(n, rows, 2, columns, 2, channels)
    return jnp.max(blocks, axis=(2, 4))
