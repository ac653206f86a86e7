"""Normalization policies: which examples' statistics a network normalizes with.

None of them keeps running averages, which would leak from task to task.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array, lax
from jax.custom_derivatives import SymbolicZero

from jmeta.types import wide


class BatchNorm(nn.Module):
    """Statistics of the batch at hand, over examples and positions: queries see each other (transductive).

    The published figures of MAML and Reptile were obtained so. `epsilon` is added to the variance.
    """

    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: Array, weight: Array | None = None) -> Array:
        """`[N, ..., C]` to the same shape; examples of weight 0 in `[N]` are finite, and not in the statistics."""
        return _normalize(self, x, *_moments(x, weight))


class SupportNorm(nn.Module):
    """Statistics of the support set, for queries too: every query is judged alone.

    `condition` of the network keeps them after adaptation, in the collection `statistics`; without them, those of the
    batch at hand are used, which in the inner loop is the support set. `epsilon` is added to the variance.
    """

    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: Array, weight: Array | None = None) -> Array:
        """`[N, ..., C]` to the same shape; examples of weight 0 in `[N]` are finite, and not in the statistics."""
        moments = _moments(x, weight)
        if self.has_variable("statistics", "moments"):
            moments = self.get_variable("statistics", "moments")
        elif self.is_mutable_collection("statistics") and not self.is_initializing():
            self.put_variable("statistics", "moments", moments)
        return _normalize(self, x, *moments)


class NoNorm(nn.Module):
    """No normalization."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Return x."""
        return x


GroupNorm = functools.partial(nn.GroupNorm, num_groups=8, use_fast_variance=False)
"""Statistics of each example, over positions and eight channels at a time."""

LayerNorm = functools.partial(nn.GroupNorm, num_groups=1, use_fast_variance=False)
"""Statistics of each example, over positions and all channels."""


def normalize(norm: nn.Module, x: Array, weight: Array | None = None) -> Array:
    """Apply a policy to `[N, ..., C]`; `BatchNorm` and `SupportNorm`, which mix examples, are told the weight `[N]`."""
    over_examples = isinstance(norm, BatchNorm | SupportNorm)
    return norm(x, weight) if over_examples and weight is not None else norm(x)


def _moments(x: Array, weight: Array | None) -> tuple[Array, Array]:
    """Mean and variance of each channel over examples and positions, in float32 or better.

    Examples of weight 0 are finite here, since learners put copies of a real one in their place before a network.
    """
    x = wide(x)
    positions = math.prod(x.shape[1:-1])
    if weight is None:
        return _of_shares(x, jnp.asarray(1 / max(len(x) * positions, 1), x.dtype))
    share = weight.astype(x.dtype) / jnp.maximum(jnp.sum(weight), 1e-9).astype(x.dtype)
    return _of_shares(x, share.reshape(-1, *(1,) * (x.ndim - 1)) / positions)


@jax.custom_jvp
def _of_shares(x: Array, share: Array) -> tuple[Array, Array]:
    """Mean and variance in one pass, of values less one of them: where the mean is large, a difference of squares has
    no digits left. Its derivative needs no such care, and is faster without."""
    near = x.reshape(-1, x.shape[-1])[:1].reshape((1,) * (x.ndim - 1) + x.shape[-1:])
    apart = x - near
    mean = _sum(apart, share)
    return near + mean, jnp.maximum(_sum(jnp.square(apart), share) - jnp.square(mean), 0)


def _of_shares_jvp(primals: Any, tangents: Any) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    (x, share), (dx, dshare) = primals, tangents
    mean, variance = _of_shares(x, share)
    zero = jnp.zeros_like(mean)
    dmean = zero if isinstance(dx, SymbolicZero) else _sum(dx, share)
    dvariance = zero if isinstance(dx, SymbolicZero) else 2 * (_sum(x * dx, share) - mean * dmean)
    if not isinstance(dshare, SymbolicZero):
        dmean += _sum(x, dshare)
        dvariance += _sum(jnp.square(x - mean), dshare)
    return (mean, variance), (dmean, dvariance)


_of_shares.defjvp(_of_shares_jvp, symbolic_zeros=True)


def _sum(value: Array, share: Array) -> Array:
    """The sum over all but channels of values times their share, `[N, 1, ...]` or one for all `[]`."""
    total = functools.partial(jnp.sum, axis=tuple(range(value.ndim - 1)), keepdims=True)
    return share * total(value) if share.ndim == 0 else total(share * value)


def _normalize(module: Any, x: Array, mean: Array, variance: Array) -> Array:
    """`(x - mean) / sqrt(variance + epsilon) * scale + bias`, as one product and one sum for each value."""
    shape = (1,) * (x.ndim - 1) + x.shape[-1:]
    scale = module.param("scale", nn.initializers.ones, x.shape[-1:], x.dtype)
    bias = module.param("bias", nn.initializers.zeros, x.shape[-1:], x.dtype)
    mean, variance, scale, bias = map(wide, (mean, variance, scale.reshape(shape), bias.reshape(shape)))
    factor = lax.rsqrt(variance + module.epsilon) * scale
    return (wide(x) * factor + (bias - mean * factor)).astype(x.dtype)
