"""A network that draws: the chance of each 2x2 block of a black-and-white picture, given the blocks before it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from jmeta.nets.attention import Attention
from jmeta.nets.conv import Conv

SIDE = 2
PATTERNS = 2 ** (SIDE * SIDE)
"""Of a block of 2x2 pixels, each with ink or without. All four are drawn at once, with the chances that they have
together."""
REACH = 3
"""Blocks to the left that a layer sees beside its own."""
INK = 0.5
"""A pixel above it has ink."""


def blocks(pictures: Array) -> Array:
    """Pictures `[N, H, W, 1]` as the numbers `[N, H / 2, W / 2]` of their blocks' patterns, 0 to 15; a pixel above 0.5
    has ink.

    Raises:
        ValueError: for pictures of more than one channel, or whose sides are odd.

    Example:
        >>> blocks(jnp.array([[1.0, 0.0], [0.0, 1.0]])[None, :, :, None]).tolist()
        [[[9]]]
    """
    if pictures.ndim != 4 or pictures.shape[3] != 1 or pictures.shape[1] % SIDE or pictures.shape[2] % SIDE:
        raise ValueError(f"drawings must be [N, H, W, 1] of even H and W, got {list(pictures.shape)}: resize them")
    n, height, width, _ = pictures.shape
    ink = (pictures > INK).astype(jnp.int32).reshape(n, height // SIDE, SIDE, width // SIDE, SIDE)
    bits = ink.transpose(0, 1, 3, 2, 4).reshape(n, height // SIDE, width // SIDE, SIDE * SIDE)
    return jnp.sum(bits << jnp.arange(SIDE * SIDE, dtype=jnp.int32).reshape(1, 1, 1, -1), axis=-1)


def bits_of(patterns: Array) -> Array:
    """The four pixels of patterns `[...]`, 0 or 1, `[..., 4]`."""
    places = jnp.arange(SIDE * SIDE, dtype=jnp.int32).reshape(*(1,) * patterns.ndim, -1)
    return ((patterns[..., None] >> places) & 1).astype(jnp.float32)


def pictures(patterns: Array) -> Array:
    """What `blocks` made patterns of: `[N, H, W]` to `[N, 2 H, 2 W, 1]`."""
    n, height, width = patterns.shape
    bits = bits_of(patterns).reshape(n, height, width, SIDE, SIDE).transpose(0, 1, 3, 2, 4)
    return bits.reshape(n, height * SIDE, width * SIDE, 1)


class Seen(NamedTuple):
    """What a drawing is made after: tokens `[1 + N P, F]`, how much each counts, and the mean map `[H', W', F]`."""

    tokens: Array
    share: Array
    mean: Array


class DrawingNetwork(nn.Module):
    """Logits of each block of a drawing, given those above it, those to the left in its row, and maps to look at.

        u, l = E_u [block above] + p + m, E_l [block to the left]        p learned for each place
        u_rc = u_rc + A gate(conv u, of rows r - 2 to r, columns c - 1 to c + 1)            for each layer
        l_rc = l_rc + B gate(conv l, of row r, columns c - 3 to c, + C u_rc)
        l_rc = l_rc + attention(norm l_rc; tokens)                        for each second layer
        logits_rc = head(l_rc)                                            of 16 patterns

    with gate(a, b) = tanh(a) sigmoid(b). So no block sees itself or one that comes later. Tokens are the places of
    pictures' feature maps, each with its own position, and one that is learned, to look at where there are none. m is
    what the maps have at the same place, M sum_n w_n map_n / (1 + sum_n w_n).

    Attributes:
        features: of each place.
        layers: of convolution, two or more, so that there is attention.
        heads: of attention; they divide the features.

    Differs from the paper: it draws four pixels at once; it looks at the support set in each second layer, at all of
    its places, by several heads; and it is told what is there at the same place, since drawings of a class are alike.
    Source: Reed et al. 2018, Few-shot Autoregressive Density Estimation, section 4, an attention PixelCNN.
    https://arxiv.org/abs/1710.10304. The two directions are those of van den Oord et al. 2016, Conditional Image
    Generation with PixelCNN Decoders. https://arxiv.org/abs/1606.05328
    """

    features: int = 64
    layers: int = 4
    heads: int = 4

    def setup(self) -> None:
        """Layers of both directions."""
        many, gated = range(self.layers), 2 * self.features
        self.of_above, self.of_left = nn.Dense(self.features), nn.Dense(self.features)
        self.place, self.token_place, self.nothing = Learned(), Learned(), Learned()
        self.above_convs = [Conv(gated) for _ in many]
        self.above_out = [nn.Dense(self.features) for _ in many]
        self.left_convs = [nn.Dense(gated) for _ in many]
        self.down = [nn.Dense(gated, use_bias=False) for _ in many]
        self.left_out = [nn.Dense(self.features) for _ in many]
        self.looks = [Look(self.heads) if layer % 2 else None for layer in many]
        self.token, self.same = nn.Dense(self.features), nn.Dense(self.features, use_bias=False)
        self.head = [nn.Dense(self.features), nn.Dense(PATTERNS)]

    def __call__(self, patterns: Array, maps: Array, weight: Array | None = None) -> Array:
        """Patterns `[M, R, C]` and feature maps `[N, H', W', D]` of weights `[N]` to logits `[M, R, C, 16]`."""
        seen = self.seen(maps, weight)
        return self.along(patterns, self.above(patterns, seen), seen)

    def seen(self, maps: Array, weight: Array | None = None) -> Seen:
        """What there is to look at."""
        n, height, width, _ = maps.shape
        tokens = self.token(maps).reshape(n, -1, self.features)
        tokens = (tokens + self.token_place(tokens.shape[1:])[None]).reshape(-1, self.features)
        weight = jnp.ones(n, maps.dtype) if weight is None else weight
        share = jnp.concatenate([jnp.ones_like(weight[:1]), jnp.repeat(weight, height * width)])
        mean = jnp.tensordot(weight, self.same(maps), 1) / (1 + jnp.sum(weight))
        return Seen(jnp.concatenate([self.nothing((1, self.features)), tokens]), share, mean)

    def above(self, patterns: Array, seen: Seen) -> list[Array]:
        """What each layer knows at each place of the rows above it, `[M, R, C, F]`."""
        shape = (*patterns.shape[1:], self.features)
        same = self.place(shape) + jax.image.resize(seen.mean, shape, "nearest")
        u = self.of_above(_shifted(bits_of(patterns), 1)) + same[None]
        layers = []
        for conv, out in zip(self.above_convs, self.above_out, strict=True):
            up = jnp.pad(u, ((0, 0), (1, 0), (0, 0), (0, 0)))  # so that a 3x3 convolution ends in its own row
            u = u + out(_gate(conv(up)[:, :-1]))
            layers.append(u)
        return layers

    def along(self, patterns: Array, above: list[Array], seen: Seen) -> Array:
        """Logits of rows `[M, R, C]`, each by itself, where what `above` knows is of the same rows."""
        left = self.of_left(_shifted(bits_of(patterns), 2))
        layers = zip(above, self.left_convs, self.down, self.left_out, self.looks, strict=True)
        for up, conv, down, out, look in layers:
            near = [left]
            for _ in range(REACH):
                near.append(_shifted(near[-1], 2))
            left = left + out(_gate(conv(jnp.concatenate(near, axis=-1)) + down(up)))
            left = left if look is None else look(left, seen.tokens, seen.share)
        return self.head[1](nn.relu(self.head[0](left)))


class Look(nn.Module):
    """Adds to each place what it takes of the tokens."""

    heads: int

    @nn.compact
    def __call__(self, x: Array, tokens: Array, share: Array) -> Array:
        """`[M, R, C, F]`, with tokens `[T, F]` of weights `[T]`."""
        asked = nn.LayerNorm(use_fast_variance=False)(x).reshape(-1, x.shape[-1])
        return x + Attention(self.heads)(asked, tokens, share).reshape(x.shape)


class Learned(nn.Module):
    """Numbers that are learned, of a shape that is known when it is called."""

    @nn.compact
    def __call__(self, shape: tuple[int, ...]) -> Array:
        """`shape`."""
        return self.param("value", nn.initializers.normal(0.1), shape)


def _gate(x: Array) -> Array:
    a, b = jnp.split(x, 2, axis=-1)
    return jnp.tanh(a) * nn.sigmoid(b)


def _shifted(x: Array, axis: int) -> Array:
    """Each place has what the one before it had, and the first has zeros."""
    first = jnp.zeros_like(jnp.take(x, jnp.array([0]), axis=axis))
    return jnp.concatenate([first, jax.lax.slice_in_dim(x, 0, x.shape[axis] - 1, axis=axis)], axis=axis)
