"""Networks of the few-shot literature, as Flax linen modules; for CAVIA, with a context beside their input."""

import dataclasses
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any, cast

import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from jmeta.distances import cosine_similarity
from jmeta.nets.conv import Conv, max_pool2x2
from jmeta.nets.norms import BatchNorm, normalize

Norm = Callable[[], nn.Module]
_Change = Callable[[int, Array], Array]
"""`(layer, x) -> x`, before the ReLU of a layer, counted from 0."""


def _unchanged(layer: int, x: Array) -> Array:
    return x


class Network(nn.Module):
    """A linen module `(x, weight=None) -> y` with the two optional functions of `jmeta.types.Model`.

    Raises:
        ValueError: for layers, in `features`, that are no list of sizes, or outputs that are no number of them.
    """

    def __post_init__(self) -> None:
        for name, kind in ((f.name, f.type) for f in dataclasses.fields(self) if f.name in ("features", "way", "out")):
            value, many = getattr(self, name), kind is not int
            sizes = value if many else (value,)
            if not isinstance(sizes, Sequence) or not all(isinstance(n, Integral) and int(n) > 0 for n in sizes):
                form = "sizes of layers, as in (64, 32)" if many else "a number of outputs"
                raise ValueError(f"{name} of {type(self).__name__} must be {form}, got {value!r}")
        super().__post_init__()

    def apply_weighted(self, params: Any, x: Array, weight: Array) -> Array:
        """Outputs `[N, ...]`, where examples of weight 0 in `[N]` are left out of the normalization's statistics."""
        return cast(Array, self.apply(params, x, weight))

    def condition(self, params: Any, x: Array, weight: Array | None = None) -> Any:
        """Parameters together with what the normalization keeps of support inputs `[N, ...]`."""
        _, kept = self.apply(params, x, weight, mutable=["statistics"])
        return {**params, **kept}


class ConvEncoder(Network):
    """Blocks of 3x3 convolution, normalization, ReLU and halving; then features for a head.

    Attributes:
        features: channels of each block.
        pool: halve by a 2x2 maximum after a convolution of stride 1, in place of stride 2.
        norm: normalization policy, one of `jmeta.nets`' or any `() -> nn.Module`.
        flatten: features are all positions' channels, in place of their mean over positions.
        dense: units of a layer with ReLU on top; None for none.
    """

    features: Sequence[int] = (64, 64, 64, 64)
    pool: bool = False
    norm: Norm = BatchNorm
    flatten: bool = False
    dense: int | None = None

    @nn.compact
    def __call__(self, x: Array, weight: Array | None = None) -> Array:
        """`[N, H, W, C]` to `[N, D]`."""
        x = _conv_blocks(self, x, weight)
        x = x.reshape(x.shape[0], -1) if self.flatten else jnp.mean(x, axis=(1, 2))
        return x if self.dense is None else nn.relu(nn.Dense(self.dense)(x))


class ConvMap(Network):
    """The blocks of `ConvEncoder` alone: features that keep their places, for a module that compares them.

    Attributes are those of `ConvEncoder`, and

        halvings: how many of the blocks halve, the first ones; Relation networks have two of four.
    """

    features: Sequence[int] = (64, 64, 64, 64)
    pool: bool = True
    norm: Norm = BatchNorm
    halvings: int = 2

    @nn.compact
    def __call__(self, x: Array, weight: Array | None = None) -> Array:
        """`[N, H, W, C]` to `[N, H', W', features[-1]]`."""
        return _conv_blocks(self, x, weight, self.halvings)


class RelationHead(Network):
    """From a pair of feature maps to one number: the relation module of Relation networks, before its sigmoid.

    Its attributes are those of `ConvEncoder`, for the blocks and the layer with ReLU; a layer to one number follows.

    Source: Sung et al. 2018, Learning to Compare, section 3.4. https://arxiv.org/abs/1711.06025
    """

    features: Sequence[int] = (64, 64)
    dense: int = 8
    pool: bool = True
    norm: Norm = BatchNorm

    @nn.compact
    def __call__(self, x: Array, weight: Array | None = None) -> Array:
        """`[N, H, W, 2 C]` to `[N, 1]`; vectors `[N, 2 C]` go to the layers as they are."""
        x = x if x.ndim == 2 else _conv_blocks(self, x, weight)
        x = nn.relu(nn.Dense(self.dense)(x.reshape(x.shape[0], -1)))
        return nn.Dense(1)(x)


class Head(Network):
    """A linear layer from features to `way` logits; MAML's code draws its weights from N(0, 1)."""

    way: int
    kernel_init: Callable[..., Any] = nn.initializers.normal(1.0)

    @nn.compact
    def __call__(self, x: Array, weight: Array | None = None) -> Array:
        """`[N, D]` to `[N, way]`."""
        return nn.Dense(self.way, kernel_init=self.kernel_init, name="head")(x)


class CosineHead(Network):
    """Logits that are cosines to one direction for each class, times a learned scale that starts at `scale`.

        logit_k(x) = scale * cos(x, direction_k)

    Source: Chen et al. 2019, https://arxiv.org/abs/1904.04232, with a fixed scale; Gidaris and Komodakis 2018,
    https://arxiv.org/abs/1804.09458, with a learned one.
    """

    way: int
    scale: float = 10.0

    @nn.compact
    def __call__(self, x: Array, weight: Array | None = None) -> Array:
        """`[N, D]` to `[N, way]`."""
        directions = self.param("head", nn.initializers.lecun_normal(), (x.shape[-1], self.way), x.dtype)
        scale = self.param("scale", nn.initializers.constant(self.scale), (), x.dtype)
        return scale * cosine_similarity(x, directions.T)


class ConvNet(Network):
    """`ConvEncoder` and a linear `Head`, of any depth; attributes are those of both."""

    way: int
    features: Sequence[int] = (64, 64, 64, 64)
    pool: bool = False
    norm: Norm = BatchNorm
    flatten: bool = False
    dense: int | None = None
    kernel_init: Callable[..., Any] = nn.initializers.normal(1.0)

    @nn.compact
    def __call__(self, x: Array, weight: Array | None = None) -> Array:
        """`[N, H, W, C]` to `[N, way]`."""
        z = ConvEncoder(self.features, self.pool, self.norm, self.flatten, self.dense, name="encoder")(x, weight)
        return nn.Dense(self.way, kernel_init=self.kernel_init, name="head")(z)


class MLP(Network):
    """Layers with ReLU and a linear output.

    Attributes:
        features: units of each hidden layer; empty for a linear model.
        out: outputs.
        norm: normalization policy before each ReLU; None for none.
    """

    features: Sequence[int]
    out: int
    norm: Norm | None = None

    @nn.compact
    def __call__(self, x: Array, weight: Array | None = None) -> Array:
        """`[N, ...]` to `[N, out]`."""
        return nn.Dense(self.out, name="head")(_hidden_layers(self, x, weight))


class MLPEncoder(Network):
    """The hidden layers of `MLP`, whose last activations are the features for a head; empty, it passes inputs on."""

    features: Sequence[int] = (40, 40)
    norm: Norm | None = None

    @nn.compact
    def __call__(self, x: Array, weight: Array | None = None) -> Array:
        """`[N, ...]` to `[N, D]`."""
        return _hidden_layers(self, x, weight)


class ContextMLP(Network):
    """An `MLP` whose first layer sees the context too.

        h = relu(norm(x W + b) + context V)

    Without normalization this is a layer on the example with the context behind it. The context comes after the
    normalization, which would remove what all examples have in common. Attributes are those of `MLP`; without hidden
    layers, the outputs are a layer on both.

    Source: Zintgraf et al. 2019, section 5. https://arxiv.org/abs/1810.03642
    """

    features: Sequence[int]
    out: int
    norm: Norm | None = None

    @nn.compact
    def __call__(self, inputs: tuple[Array, Array], weight: Array | None = None) -> Array:
        """`([N, ...], [context_size])` to `[N, out]`."""
        x, context = inputs
        shift = nn.Dense([*self.features, self.out][0], use_bias=False, name="context")(context)[None]
        change = lambda layer, x: x + shift if layer == 0 else x
        x = nn.Dense(self.out, name="head")(_hidden_layers(self, x, weight, change))
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

    Attributes are those of `ConvNet`, and

        modulated: the block, counted from 1; the last where there are fewer.

    Differs from the paper: its scale is a, here 1 + a, and it draws c, here 0; so this starts as the `ConvNet` of the
    same parameters. Halving by a stride and the head's initializer are MAML's, for Omniglot.

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
        place = min(self.modulated, len(self.features)) - 1
        change = lambda block, x: FiLM(name="film")(x, context) if block == place else x
        x = _conv_blocks(self, x, weight, change=change)
        x = x.reshape(x.shape[0], -1) if self.flatten else jnp.mean(x, axis=(1, 2))
        return nn.Dense(self.way, kernel_init=self.kernel_init, name="head")(x)


def _hidden_layers(net: Any, x: Array, weight: Array | None, change: _Change = _unchanged) -> Array:
    """Layers of `MLP` for the network whose `__call__` this is called in."""
    x = x.reshape(x.shape[0], -1)
    for i, units in enumerate(net.features):
        x = nn.Dense(units)(x)
        x = x if net.norm is None else normalize(net.norm(), x, weight)
        x = nn.relu(change(i, x))
    return x


def _conv_blocks(
    net: Any, x: Array, weight: Array | None, halvings: int | None = None, change: _Change = _unchanged
) -> Array:
    """Blocks of `ConvEncoder` for the network whose `__call__` this is called in."""
    for i, channels in enumerate(net.features):
        # Blocks past the last halving keep the size, so that a deep network fits a small image.
        halve = min(x.shape[1:3]) > 1 and (halvings is None or i < halvings)
        x = normalize(net.norm(), Conv(channels, stride=1 if net.pool or not halve else 2)(x), weight)
        x = max_pool2x2(x) if net.pool and halve else x
        x = nn.relu(change(i, x))
    return x


def Conv4(way: int, features: int = 64, **options: Any) -> ConvNet:
    """MAML's Omniglot network: four blocks of 3x3 convolution with stride 2, and a head on the mean over positions.

    Options are those of `ConvNet`; `pool=True` gives the variant with max-pooling.

    Source: Finn et al. 2017, section 5.2, and Vinyals et al. 2016 for the variant with pooling.
    """
    if not isinstance(features, Integral):
        raise ValueError(f"features of Conv4 must be a number of channels, got {features!r}: ConvNet takes several")
    return ConvNet(way, features=(features,) * 4, **options)


def Linear(out: int = 2) -> MLP:
    """A linear classifier `x -> x W + b`, for binary tasks with two logits."""
    return MLP(features=(), out=out)
