"""A transformer that reads labeled examples and labels others, of which none sees another."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from jmeta.checks import NEVER
from jmeta.nets.networks import Network


def attention_shares(queries: Array, keys: Array, weight: Array | None = None) -> Array:
    """How much of each example a query takes, by scaled products, separately for each head.

        a_mn = w_n exp(q_m . k_n / sqrt(D)) / sum_i w_i exp(q_m . k_i / sqrt(D))

    Args:
        queries: `[..., M, heads, D]`.
        keys: `[..., N, heads, D]`.
        weight: `[N]`; an example of weight 0 is left out, and one of weight 2 counts as two.

    Returns:
        `[..., heads, M, N]`, sums to 1 over N.

    Example:
        >>> attention_shares(jnp.zeros((1, 1, 4)), jnp.ones((3, 1, 4)), jnp.array([1.0, 1.0, 0.0])).tolist()
        [[[0.5, 0.5, 0.0]]]

    Source: Vaswani et al. 2017, Attention Is All You Need, eq. 1. https://arxiv.org/abs/1706.03762
    """
    scores = jnp.einsum("...mhd,...nhd->...hmn", queries, keys) * queries.shape[-1] ** -0.5
    if weight is not None:
        weight = jnp.broadcast_to(weight, scores.shape).astype(scores.dtype)
        real = weight > 0
        scores = jnp.where(real, scores + jnp.log(jnp.where(real, weight, 1)), NEVER)
    return jax.nn.softmax(scores, axis=-1)


class Attention(nn.Module):
    """Attention of several heads, which share the features of a token among them."""

    heads: int

    @nn.compact
    def __call__(self, x: Array, examples: Array, weight: Array | None = None) -> Array:
        """Tokens `[..., M, F]` that attend to examples `[..., N, F]`, to `[..., M, F]`."""
        part = lambda name, tokens: nn.DenseGeneral((self.heads, x.shape[-1] // self.heads), name=name)(tokens)
        shares = attention_shares(part("query", x), part("key", examples), weight)
        taken = jnp.einsum("...hmn,...nhd->...mhd", shares, part("value", examples))
        return nn.DenseGeneral(x.shape[-1], axis=(-2, -1), name="out")(taken)


class Block(nn.Module):
    """Attention, then two layers for each token; each adds to its input, which it normalizes first (pre-norm)."""

    heads: int

    @nn.compact
    def __call__(self, x: Array, examples: Array, weight: Array | None = None) -> Array:
        """As `Attention`."""
        norm = nn.LayerNorm(use_fast_variance=False, name="norm")
        x = x + Attention(self.heads, name="attention")(norm(x), norm(examples), weight)
        inner = nn.gelu(nn.Dense(2 * x.shape[-1])(nn.LayerNorm(use_fast_variance=False)(x)))
        return x + nn.Dense(x.shape[-1])(inner)


class LabelTransformer(Network):
    """A transformer from examples, their labels and queries to the labels of the queries.

        e_nk = E z_n + L y_nk,   q_mk = E z_m + u                        tokens of examples and of queries, for class k
        e, q = block(e; e), block(q; e)                                  for each layer: all attend to the examples
        f_mk = b(q_mk) + sum_h c_h(q_mk) sum_n a_h(q_mk, e_nk) y_nk      labels, read by the shares of the last layer

    with linear b and c. All classes share the same parameters, so permuted labels permute the outputs, and there may be
    any number of classes; a regression target is treated as a class. No query sees another, and the order of the
    examples has no part. The last layer compares tokens in one projection, so like examples share labels before any
    training.

    Attributes:
        features: F of the tokens.
        heads: of each attention; they divide F.
        layers: blocks before the last layer.
    """

    features: int = 64
    heads: int = 4
    layers: int = 1

    @nn.compact
    def __call__(self, x: tuple[Array, Array, Array], weight: Array | None = None) -> Array:
        """Queries `[M, D]`, examples `[N, D]`, labels `[N, way]` to `[M, way]`; the weight `[N]` is of the examples."""
        if self.features % self.heads:
            raise ValueError(f"heads must be a divisor of the {self.features} features, got {self.heads}")
        z, examples, y = x
        embed = nn.Dense(self.features, name="embed")
        unknown = self.param("unknown", nn.initializers.normal(1.0), (self.features,), z.dtype)
        e = embed(examples)[None] + nn.Dense(self.features, use_bias=False, name="label")(y.T[..., None])
        q = jnp.broadcast_to(embed(z) + unknown[None], (y.shape[1], len(z), self.features))
        for layer in range(self.layers):
            block = Block(self.heads, name=f"block_{layer}")
            e, q = block(e, e, weight), block(q, e, weight)
        norm, compare = (
            nn.LayerNorm(use_fast_variance=False),
            nn.DenseGeneral((self.heads, self.features // self.heads), name="compare"),
        )
        e, q = norm(e), norm(q)
        labels = jnp.einsum("khmn,nk->kmh", attention_shares(compare(q), compare(e), weight), y)
        gains = nn.Dense(self.heads, bias_init=nn.initializers.ones, name="gains")(q)
        return (nn.Dense(1, name="bias")(q)[..., 0] + jnp.sum(gains * labels, axis=-1)).T


class CrossShares(Network):
    """How much of each example each query takes, by two layers that both go through and a projection of each.

        t(z) = W relu(V z),   shares = attention_shares(Q t(queries), K t(examples))

    Attributes:
        features: of a token; the heads share them.
        heads: of the attention; they divide the features.
    """

    features: int = 64
    heads: int = 4

    @nn.compact
    def __call__(self, x: tuple[Array, Array], weight: Array | None = None) -> Array:
        """Queries `[M, D]` and examples `[N, D]` to `[heads, M, N]`; the weight `[N]` is of the examples."""
        if self.features % self.heads:
            raise ValueError(f"heads must be a divisor of the {self.features} features, got {self.heads}")
        first, second = nn.Dense(self.features), nn.Dense(self.features)
        project = lambda name: nn.DenseGeneral((self.heads, self.features // self.heads), name=name)
        token = lambda z: second(nn.relu(first(z)))
        return attention_shares(project("query")(token(x[0])), project("key")(token(x[1])), weight)


class ProcessTransformer(Network):
    """A transformer from values of a function at some places to its distribution at others.

        e_n = E [z_n, y_n],   q_m = E [z_m, 0],   e_0 learned          tokens of examples, of queries, and of none
        e, q = block(e; e), block(q; e)                                for each layer: all attend to e, and to e_0
        out_m = head(norm(q_m))                                        the mean and the logarithm of the spread

    E and the head have two layers. No query is seen by any token, itself included, and the order of the examples has no
    part. With no example there all attend to e_0 alone.

    Attributes:
        features: F of the tokens.
        heads: of each attention; they divide F.
        layers: blocks.
        outputs: numbers for each target.

    Differs from the paper: tokens are normalized before a block and not after it; E has two layers and not four; the
    token e_0 is new, without which an empty set is a division by 0.
    Source: Nguyen and Grover 2022, Transformer Neural Processes. https://arxiv.org/abs/2207.04179
    """

    features: int = 64
    heads: int = 4
    layers: int = 4
    outputs: int = 2

    @nn.compact
    def __call__(self, x: tuple[Array, Array, Array], weight: Array | None = None) -> Array:
        """Queries `[M, D]`, examples `[N, D]`, targets `[N, T]` to `[M, T, outputs]`; a weight `[N]` of examples."""
        if self.features % self.heads:
            raise ValueError(f"heads must be a divisor of the {self.features} features, got {self.heads}")
        z, examples, y = x
        unknown = jnp.zeros((len(z), y.shape[1]), y.dtype)
        pairs = jnp.concatenate([jnp.concatenate(pair, axis=1) for pair in ((examples, y), (z, unknown))])
        tokens = nn.Dense(self.features)(nn.relu(nn.Dense(self.features)(pairs)))
        none = self.param("none", nn.initializers.normal(1.0), (1, self.features), z.dtype)
        tokens = jnp.concatenate([none, tokens])
        seen = 1 + len(examples)
        share = None if weight is None else jnp.concatenate([jnp.ones_like(weight[:1]), weight])
        for layer in range(self.layers):
            tokens = Block(self.heads, name=f"block_{layer}")(tokens, tokens[:seen], share)
        q = nn.LayerNorm(use_fast_variance=False)(tokens[seen:])
        out = nn.Dense(self.outputs * y.shape[1], name="head")(nn.relu(nn.Dense(2 * self.features)(q)))
        return out.reshape(len(z), y.shape[1], self.outputs)
