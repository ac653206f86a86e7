"""Networks that read sentences, tokens of int32 `[N, L]` of which 0 is padding: a bag of words, and a transformer."""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from jmeta.nets.attention import Block
from jmeta.nets.networks import Network, Norm
from jmeta.nets.norms import NoNorm, normalize

TABLE = 8192
_SIZED = nn.initializers.normal(1.0)


class BagEncoder(Network):
    """The mean of what each word is embedded as, by weights that are learned, and layers on it.

        z = sum_l a(w_l) e(w_l) / sum_l a(w_l),   a(w) = exp(b(w))      over the words of a sentence

    All b are 0 at the start, so that it begins as the plain mean. Tokens from `table` on share the rows of others.

    Attributes:
        features: numbers a word is embedded as, then units of each layer with ReLU on the mean; one number for none.
        norm: normalization of the mean, and before each ReLU.
        table: rows of the embedding.

    Raises:
        ValueError: for inputs that are no tokens.
    """

    features: Sequence[int] = (64,)
    norm: Norm = NoNorm
    table: int = TABLE

    @nn.compact
    def __call__(self, x: Array, weight: Array | None = None) -> Array:
        """`[N, L]` to `[N, features[-1]]`."""
        places, there = _places(x, self.table)
        embedded = nn.Embed(self.table, self.features[0], name="words")(places)
        louder = nn.Embed(self.table, 1, embedding_init=nn.initializers.zeros, name="louder")(places)
        share = jnp.exp(louder) * there[..., None].astype(embedded.dtype)
        z = jnp.sum(share * embedded, axis=1) / _at_least(jnp.sum(share, axis=1))
        z = normalize(self.norm(), z, weight)
        for units in self.features[1:]:
            z = nn.relu(normalize(self.norm(), nn.Dense(units)(z), weight))
        return z


class Bag(Network):
    """`BagEncoder` and a linear head; attributes are those of both."""

    way: int
    features: Sequence[int] = (64,)
    norm: Norm = NoNorm
    table: int = TABLE
    kernel_init: Callable[..., Any] = nn.initializers.glorot_uniform()

    @nn.compact
    def __call__(self, x: Array, weight: Array | None = None) -> Array:
        """`[N, L]` to `[N, way]`."""
        z = BagEncoder(self.features, self.norm, self.table, name="encoder")(x, weight)
        return nn.Dense(self.way, kernel_init=self.kernel_init, name="head")(z)


class SentenceTransformerEncoder(Network):
    """A small transformer over the words of a sentence, whose outputs' mean is what a head gets.

        h_l = e(w_l) + p_l,   h = block(h) for each of `features`,   z = mean of norm(h_l)      over its words

    with p_l the sines and cosines of the place. Padding is attended to by none, and a sentence sees no other.

    Attributes:
        features: of a word, a number for each block, all alike.
        norm: normalization of the mean.
        table: rows of the embedding; tokens from there on share those of others.
        heads: of each attention; they divide the features.

    Raises:
        ValueError: for inputs that are no tokens, features that differ, or heads that don't divide them.

    Differs from the paper: tokens are normalized before a block and not after it; blocks are those of
    `jmeta.nets.attention`.
    Source: Vaswani et al. 2017, Attention Is All You Need, sections 3.1 and 3.5. https://arxiv.org/abs/1706.03762
    """

    features: Sequence[int] = (64,)
    norm: Norm = NoNorm
    table: int = TABLE
    heads: int = 4

    @nn.compact
    def __call__(self, x: Array, weight: Array | None = None) -> Array:
        """`[N, L]` to `[N, features[-1]]`."""
        size = self.features[0]
        if len(set(self.features)) > 1 or size % self.heads:
            raise ValueError(
                f"features of a transformer must be alike and multiples of its {self.heads} heads, "
                f"got {tuple(self.features)}"
            )
        places, there = _places(x, self.table)
        share = there.astype(jnp.float32)
        h = nn.Embed(self.table, size, embedding_init=_SIZED, name="words")(places)
        h = h + _waves(x.shape[1], size)[None].astype(h.dtype)
        for layer in range(len(self.features)):
            h = Block(self.heads, name=f"block_{layer}")(h, h, share[:, None, None])
        h = nn.LayerNorm(use_fast_variance=False)(h) * share[..., None].astype(h.dtype)
        z = jnp.sum(h, axis=1) / _at_least(jnp.sum(share, axis=1, keepdims=True)).astype(h.dtype)
        return normalize(self.norm(), z, weight)


class SentenceTransformer(Network):
    """`SentenceTransformerEncoder` and a linear head; attributes are those of both."""

    way: int
    features: Sequence[int] = (64,)
    norm: Norm = NoNorm
    table: int = TABLE
    heads: int = 4
    kernel_init: Callable[..., Any] = nn.initializers.glorot_uniform()

    @nn.compact
    def __call__(self, x: Array, weight: Array | None = None) -> Array:
        """`[N, L]` to `[N, way]`."""
        z = SentenceTransformerEncoder(self.features, self.norm, self.table, self.heads, name="encoder")(x, weight)
        return nn.Dense(self.way, kernel_init=self.kernel_init, name="head")(z)


def _places(x: Array, table: int) -> tuple[Array, Array]:
    """Rows of the table `[N, L]`, and where there is a word."""
    if not jnp.issubdtype(x.dtype, jnp.integer) or x.ndim != 2:
        raise ValueError(f"sentences must be tokens, integers [N, L], got {x.dtype} {list(x.shape)}")
    return jnp.where(x > 0, 1 + (x - 1) % (table - 1), 0), x > 0


def _at_least(total: Array) -> Array:
    """A divisor for a sum, where there may be nothing to sum."""
    return jnp.where(total > 0, total, jnp.ones_like(total))


def _waves(length: int, size: int) -> Array:
    """Sines and cosines of places `[length, size]`, of wave lengths from 2 pi to 10,000 times that."""
    rates = 1e-4 ** (jnp.arange(0, size, 2, dtype=jnp.float32) / size)
    angles = jnp.arange(length, dtype=jnp.float32)[:, None] * rates[None]
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=1)[:, :size]
