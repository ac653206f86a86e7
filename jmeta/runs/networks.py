"""From settings to networks."""

from typing import Any

import jax
import jax.numpy as jnp

from jmeta import nets
from jmeta.runs.config import TrainConfig
from jmeta.types import Model

_POLICIES = {
    "batch": nets.BatchNorm,
    "support": nets.SupportNorm,
    "group": nets.GroupNorm,
    "layer": nets.LayerNorm,
    "none": nets.NoNorm,
}


def network(config: TrainConfig, outputs: int) -> Model:
    """The network with its head."""
    if config.network == "linear":
        return _in_precision(config, nets.Linear(outputs))
    if config.network == "mlp":
        return _in_precision(config, nets.MLP(config.features, outputs, _norm(config)))
    return _in_precision(config, nets.ConvNet(outputs, **_conv_options(config), kernel_init=_head_init(config)))


def encoder(config: TrainConfig) -> Model:
    """The network without its head."""
    if config.network in ("mlp", "linear"):
        layers = config.features if config.network == "mlp" else ()
        return _in_precision(config, nets.MLPEncoder(layers, _norm(config)))
    return _in_precision(config, nets.ConvEncoder(**_conv_options(config)))


def with_context(config: TrainConfig, outputs: int) -> Model:
    """A network with a context beside its input, for CAVIA."""
    if config.network in ("mlp", "linear"):
        layers = config.features if config.network == "mlp" else ()
        return _in_precision(config, nets.ContextMLP(layers, outputs, _norm(config)))
    options = _conv_options(config)
    del options["dense"]
    return _in_precision(config, nets.FiLMConvNet(outputs, **options, kernel_init=_head_init(config)))


def feature_map(config: TrainConfig) -> Model:
    """The network without its head and with features that keep their places, for Relation networks."""
    if config.network in ("mlp", "linear"):
        return encoder(config)
    options = _conv_options(config)
    return _in_precision(config, nets.ConvMap(options["features"], options["pool"], options["norm"]))


def relation_head(config: TrainConfig) -> Model:
    """What compares two feature maps; it halves and normalises as the network does."""
    options = _conv_options(config)
    return _in_precision(config, nets.RelationHead((64, 64), pool=options["pool"], norm=options["norm"]))


def _in_precision(config: TrainConfig, model: Model) -> Model:
    return model if config.precision == "float32" else nets.in_precision(model, jnp.dtype(config.precision))


def _conv_options(config: TrainConfig) -> dict[str, Any]:
    blocks = {"convnet2-512": 2, "convnet8": 8}.get(config.network, 4)
    features = config.features * blocks if len(config.features) == 1 else config.features
    return {
        "features": features,
        "pool": config.network in ("conv4-pool", "convnet2-512"),
        "norm": _POLICIES[config.norm],
        "flatten": config.network in ("conv4-flat", "convnet2-512"),
        "dense": 512 if config.network == "convnet2-512" else None,
    }


def _norm(config: TrainConfig) -> Any:
    return None if config.norm == "none" else _POLICIES[config.norm]


def _head_init(config: TrainConfig) -> Any:
    """MAML's N(0, 1) on the 64 means over positions; on more features, or for Reptile, logits of a usual size."""
    wide = config.network in ("conv4-flat", "convnet2-512", "mlp", "linear")
    glorot = wide or config.algorithm == "reptile"
    return jax.nn.initializers.glorot_uniform() if glorot else jax.nn.initializers.normal(1.0)


def head(config: TrainConfig, outputs: int) -> Model:
    """The head alone."""
    return _in_precision(config, nets.Head(outputs, kernel_init=_head_init(config)))
