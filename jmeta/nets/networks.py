"""Networks of the few-shot literature, as Flax linen modules."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from jmeta.distances import cosine_similarity
from jmeta.nets.conv import Conv, max_pool2x2
from jmeta.nets.norms import BatchNorm, normalize

Norm = Callable[[], nn.Module]


class Network(nn.Module):
    """A linen module `(x, weight=None) -> y` that knows of padding and can keep statistics of the support set, as
    `jmeta.types.Model` says."""

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
        x = _blocks(x, weight, self.features, self.pool, self.norm)
        x = x.reshape(x.shape[0], -1) if self.flatten else jnp.mean(x, axis=(1, 2))
        return x if self.dense is None else nn.relu(nn.Dense(self.dense)(x))


class ConvMap(Network):
    """The blocks of `ConvEncoder` alone: features that keep their places, for a module that compares them.

    Attributes:
        features: channels of each block.
        pool: as in `ConvEncoder`.
        norm: as in `ConvEncoder`.
        halvings: how many of the blocks halve, the first ones; Relation networks have two of four.
    """

    features: Sequence[int] = (64, 64, 64, 64)
    pool: bool = True
    norm: Norm = BatchNorm
    halvings: int = 2

    @nn.compact
    def __call__(self, x: Array, weight: Array | None = None) -> Array:
        """`[N, H, W, C]` to `[N, H', W', features[-1]]`."""
        return _blocks(x, weight, self.features, self.pool, self.norm, self.halvings)


class RelationHead(Network):
    """Blocks of convolution and two layers, from a pair of feature maps to one number: the relation module of Relation
    networks, before its sigmoid.

    Attributes:
        features: channels of each block, as in `ConvEncoder`.
        dense: units of the layer with ReLU on top.
        pool: as in `ConvEncoder`.
        norm: as in `ConvEncoder`.

    Source: Sung et al. 2018, Learning to Compare, section 3.4. https://arxiv.org/abs/1711.06025
    """

    features: Sequence[int] = (64, 64)
    dense: int = 8
    pool: bool = True
    norm: Norm = BatchNorm

    @nn.compact
    def __call__(self, x: Array, weight: Array | None = None) -> Array:
        """`[N, H, W, 2 C]` to `[N, 1]`; vectors `[N, 2 C]` go to the layers as they are."""
        x = x if x.ndim == 2 else _blocks(x, weight, self.features, self.pool, self.norm)
        x = nn.relu(nn.Dense(self.dense)(x.reshape(x.shape[0], -1)))
        return nn.Dense(1)(x)


class Head(Network):
    """A linear layer from features to logits.

    Attributes:
        way: outputs.
        kernel_init: initializer of the weights; MAML's code draws them from N(0, 1).
    """

    way: int
    kernel_init: Callable[..., Any] = nn.initializers.normal(1.0)

    @nn.compact
    def __call__(self, x: Array, weight: Array | None = None) -> Array:
        """`[N, D]` to `[N, way]`."""
        return nn.Dense(self.way, kernel_init=self.kernel_init, name="head")(x)


class CosineHead(Network):
    """Logits that are cosines to one direction for each class, times a learned scale.

        logit_k(x) = scale * cos(x, direction_k)

    Attributes:
        way: outputs.
        scale: where the scale starts.

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
    """`ConvEncoder` and a linear head: two blocks and a 512-unit layer, eight layers, or any other depth.

    Attributes:
        way: outputs.
        features: channels of each block.
        pool: as in `ConvEncoder`.
        norm: as in `ConvEncoder`.
        flatten: as in `ConvEncoder`.
        dense: as in `ConvEncoder`.
        kernel_init: the head's initializer.
    """

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

    features: Sequence[int] = (40, 40)
    out: int = 1
    norm: Norm | None = None

    @nn.compact
    def __call__(self, x: Array, weight: Array | None = None) -> Array:
        """`[N, ...]` to `[N, out]`."""
        return nn.Dense(self.out, name="head")(_hidden_layers(x, weight, self.features, self.norm))


class MLPEncoder(Network):
    """Layers with ReLU, whose last activations are the features for a head.

    Attributes:
        features: units of each layer; empty to pass the inputs on.
        norm: as in `MLP`.
    """

    features: Sequence[int] = (40, 40)
    norm: Norm | None = None

    @nn.compact
    def __call__(self, x: Array, weight: Array | None = None) -> Array:
        """`[N, ...]` to `[N, D]`."""
        return _hidden_layers(x, weight, self.features, self.norm)


def _hidden_layers(x: Array, weight: Array | None, features: Sequence[int], norm: Norm | None) -> Array:
    """Layers that belong to the module whose `__call__` this is called in."""
    x = x.reshape(x.shape[0], -1)
    for units in features:
        x = nn.Dense(units)(x)
        x = nn.relu(x if norm is None else normalize(norm(), x, weight))
    return x


def _blocks(
    x: Array, weight: Array | None, features: Sequence[int], pool: bool, norm: Norm, halvings: int | None = None
) -> Array:
    """Blocks of `ConvEncoder`, that belong to the module whose `__call__` this is called in."""
    for i, channels in enumerate(features):
        # Blocks past the last halving keep the size, so that a deep network fits a small image.
        halve = min(x.shape[1:3]) > 1 and (halvings is None or i < halvings)
        x = Conv(channels, stride=1 if pool or not halve else 2)(x)
        x = nn.relu(normalize(norm(), x, weight))
        x = max_pool2x2(x) if pool and halve else x
    return x


def Conv4(way: int, features: int = 64, **options: Any) -> ConvNet:
    """MAML's Omniglot network: four blocks of 3x3 convolution with stride 2, and a head on the mean over positions.

    Args:
        way: outputs.
        features: channels.
        **options: as `ConvNet`; `pool=True` gives the variant with max-pooling.

    Source: Finn et al. 2017, section 5.2, and Vinyals et al. 2016 for the variant with pooling.
    """
    return ConvNet(way, features=(features,) * 4, **options)


def Linear(out: int = 2) -> MLP:
    """A linear classifier `x -> x W + b`, for binary tasks with two logits."""
    return MLP(features=(), out=out)
