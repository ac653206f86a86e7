"""Features in the context of a support set, by LSTMs (Vinyals et al. 2016)."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array, lax

from jmeta.checks import NEVER
from jmeta.nets.networks import Network


class BidirectionalLSTM(Network):
    """Features of support examples that know of each other: the set is read as a sequence, forward and backward.

        g_i = z_i + forward LSTM(z_1 ... z_i) + backward LSTM(z_N ... z_i)

    So the order of the examples matters. Padding is passed over.

    Source: Vinyals et al. 2016, Matching Networks for One Shot Learning, appendix A.2. https://arxiv.org/abs/1606.04080
    """

    @nn.compact
    def __call__(self, x: Array, weight: Array | None = None) -> Array:
        """`[N, D]` to `[N, D]`; examples of weight 0 in `[N]` are passed over."""
        real = jnp.ones(len(x), bool) if weight is None else weight > 0
        forward, backward = (self._read(x, real, name) for name in ("forward", "backward"))
        return x + forward + backward

    def _read(self, x: Array, real: Array, direction: str) -> Array:
        """States `[N, D]` of an LSTM along the rows; it stays as it is at those that are not real."""
        units = x.shape[-1]
        gates = nn.Dense(4 * units, name=direction)(x)
        kernel = self.param(f"{direction}_recurrent", _orthogonal, (units, 4 * units), x.dtype)

        def step(carry: tuple[Array, Array], row: tuple[Array, Array]) -> tuple[tuple[Array, Array], Array]:
            (h, c), (gates, real) = carry, row
            new = _lstm(gates + h @ kernel, c)
            h, c = (jnp.where(real, after, before) for after, before in zip(new, carry, strict=True))
            return (h, c), h

        start = jnp.zeros((2, units), x.dtype)
        return lax.scan(step, (start[0], start[1]), (gates, real), reverse=direction == "backward")[1]


class AttentionLSTM(Network):
    """Features of queries that know of the support set, of which an LSTM reads K times what is like its state.

        h_0 = z,  c_0 = 0
        r_k = sum_i softmax_i(h_k . g_i) g_i
        e_{k+1}, c_{k+1} = LSTM(z; state [h_k, r_k], c_k)
        h_{k+1} = e_{k+1} + z

    Attributes:
        steps: K.

    Source: Vinyals et al. 2016, Matching Networks for One Shot Learning, appendix A.1, with `h_0` as chosen here.
    https://arxiv.org/abs/1606.04080
    """

    steps: int = 5

    @nn.compact
    def __call__(self, x: tuple[Array, Array], weight: Array | None = None) -> Array:
        """Queries `[M, D]` and support features `[N, D]` to `[M, D]`; weight `[N]` is the support's."""
        z, g = x
        units = z.shape[-1]
        gates = nn.Dense(4 * units, name="query")(z)
        kernel = self.param("recurrent", _orthogonal, (2 * units, 4 * units), z.dtype)
        real = jnp.ones((1, len(g)), bool) if weight is None else weight[None] > 0

        def step(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
            h, c = carry
            read = jax.nn.softmax(jnp.where(real, h @ g.T, NEVER)) @ g
            e, c = _lstm(gates + jnp.concatenate([h, read], axis=-1) @ kernel, c)
            return (e + z, c), None

        return lax.scan(step, (z, jnp.zeros_like(z)), None, length=self.steps)[0][0]


def _orthogonal(key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    """In float32 or more, as there is no QR decomposition in less."""
    return nn.initializers.orthogonal()(key, shape, jnp.promote_types(dtype, jnp.float32)).astype(dtype)


def _lstm(gates: Array, c: Array) -> tuple[Array, Array]:
    """Output and cell `[..., D]`, from what goes into the four gates `[..., 4 D]` and the cell before."""
    enter, keep, new, out = jnp.split(gates, 4, axis=-1)
    c = nn.sigmoid(keep) * c + nn.sigmoid(enter) * jnp.tanh(new)
    return nn.sigmoid(out) * jnp.tanh(c), c
