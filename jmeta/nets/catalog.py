"""Networks by name, from a few settings: whole, or the parts that a learner asks for."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from jmeta import nets
from jmeta.errors import RunError
from jmeta.settings import setting
from jmeta.types import Model

NETWORKS = ("conv4", "conv4-flat", "conv4-pool", "convnet2-512", "convnet8", "mlp", "linear")
FOR_VECTORS = ("mlp", "linear")
"""Those that take inputs of any shape."""
PRECISIONS = ("float32", "bfloat16")
NORMS = {
    "batch": nets.BatchNorm,
    "support": nets.SupportNorm,
    "group": nets.GroupNorm,
    "layer": nets.LayerNorm,
    "none": nets.NoNorm,
}
_FLAT = ("conv4-flat", "convnet2-512")
_BLOCKS = {"convnet2-512": 2, "convnet8": 8}


@dataclasses.dataclass(frozen=True)
class Network:
    """The network that learns.

    Attributes:
        network: conv4 (four strided convolutions, mean over positions), conv4-flat (all positions), conv4-pool
            (max-pooling), convnet2-512 (two blocks and a 512-unit layer), convnet8, mlp, or linear.
        features: channels of the convolutions (one number, or one for each), or units of the MLP's layers.
        norm: whose statistics normalise: batch (of the examples at hand, queries included: transductive), support,
            group, layer, or none.
        precision: what the network, and any other that a learner has beside it, computes in: float32, or bfloat16;
            parameters, distances, losses and updates stay in float32.
    """

    network: str = setting("conv4", choices=NETWORKS)
    features: tuple[int, ...] = setting((64,), least=1)
    norm: str = setting("batch", choices=tuple(NORMS))
    precision: str = setting("float32", choices=PRECISIONS)


def check(settings: Network) -> None:
    """Refuse a network without layers.

    Raises:
        RunError: saying that they are missing.
    """
    if not settings.features and settings.network != "linear":
        raise RunError("--features must be numbers of 1 or more, got none: give at least one.")


def network(settings: Network, outputs: int, *, small_head: bool = False) -> Model:
    """The network with its head.

    Args:
        settings: which.
        outputs: of the head.
        small_head: let it start with logits of a usual size, whatever the network.
    """
    if settings.network == "linear":
        return in_precision(settings, nets.Linear(outputs))
    if settings.network == "mlp":
        return in_precision(settings, nets.MLP(settings.features, outputs, _norm(settings)))
    kernel_init = _head_init(settings, small_head)
    return in_precision(settings, nets.ConvNet(outputs, **_conv_options(settings), kernel_init=kernel_init))


def encoder(settings: Network) -> Model:
    """The network without its head."""
    if settings.network in FOR_VECTORS:
        return in_precision(settings, nets.MLPEncoder(_layers(settings), _norm(settings)))
    return in_precision(settings, nets.ConvEncoder(**_conv_options(settings)))


def head(settings: Network, outputs: int) -> Model:
    """The head alone."""
    return in_precision(settings, nets.Head(outputs, kernel_init=_head_init(settings, False)))


def with_context(settings: Network, outputs: int) -> Model:
    """A network with a context beside its input, for CAVIA; it has no 512-unit layer."""
    if settings.network in FOR_VECTORS:
        return in_precision(settings, nets.ContextMLP(_layers(settings), outputs, _norm(settings)))
    options = _conv_options(settings)
    del options["dense"]
    kernel_init = _head_init(settings, False)
    return in_precision(settings, nets.FiLMConvNet(outputs, **options, kernel_init=kernel_init))


def feature_map(settings: Network) -> Model:
    """The network without its head and with features that keep their places, for Relation networks."""
    if settings.network in FOR_VECTORS:
        return encoder(settings)
    options = _conv_options(settings)
    return in_precision(settings, nets.ConvMap(options["features"], options["pool"], options["norm"]))


def relation_head(settings: Network) -> Model:
    """What compares two feature maps; it halves and normalises as the network does."""
    options = _conv_options(settings)
    return in_precision(settings, nets.RelationHead((64, 64), pool=options["pool"], norm=options["norm"]))


def in_precision(settings: Network, model: Model) -> Model:
    """A model that computes in the precision of the settings."""
    return model if settings.precision == "float32" else nets.in_precision(model, jnp.dtype(settings.precision))


def _layers(settings: Network) -> tuple[int, ...]:
    return settings.features if settings.network == "mlp" else ()


def _conv_options(settings: Network) -> dict[str, Any]:
    blocks = _BLOCKS.get(settings.network, 4)
    features = settings.features * blocks if len(settings.features) == 1 else settings.features
    return {
        "features": features,
        "pool": settings.network in ("conv4-pool", "convnet2-512"),
        "norm": NORMS[settings.norm],
        "flatten": settings.network in _FLAT,
        "dense": 512 if settings.network == "convnet2-512" else None,
    }


def _norm(settings: Network) -> Any:
    return None if settings.norm == "none" else NORMS[settings.norm]


def _head_init(settings: Network, small: bool) -> Any:
    """MAML's N(0, 1) on the 64 means over positions; on more features, logits of a usual size."""
    wide = settings.network in (*_FLAT, *FOR_VECTORS)
    return jax.nn.initializers.glorot_uniform() if wide or small else jax.nn.initializers.normal(1.0)
