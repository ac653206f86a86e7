"""Networks by name, from a few settings: whole, or the parts that a learner asks for."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jmeta import nets
from jmeta.errors import RunError, kind_and_line
from jmeta.registry import Registry, said
from jmeta.settings import setting
from jmeta.types import Model

PRECISIONS = ("float32", "bfloat16")
NORMS = {
    "batch": nets.BatchNorm, "support": nets.SupportNorm, "group": nets.GroupNorm, "layer": nets.LayerNorm,
    "none": nets.NoNorm,
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Network:
    """The network that learns.

    Attributes:
        network: conv4 (four strided convolutions, mean over positions), conv4-flat (all positions), conv4-pool
            (max-pooling) and conv4-pool-flat, convnet2-512 (two blocks and a 512-unit layer), convnet8, resnet12 (four
            residual blocks, all positions), resnet12-mean, mlp, linear, metric (features beside a projection of them,
            which starts near 0); of the words of sentences, bag (a weighted mean) or transformer; or your own,
            FILE.py:NAME or MODULE:NAME, a function from a number of outputs to a model.
        features: channels of the convolutions (one number, or one for each), or units of the MLP's layers. For
            resnet12, one number is the first block's, and 64 is 64-160-320-640; four are each block's. Of metric, the
            size of the projection; of words, the size of a word, then of layers on their mean, or of each block of the
            transformer. Of your own network, the last is the size of what a learner compares.
        norm: whose statistics normalize: batch (of the examples at hand, queries included: transductive), support,
            group, layer, or none.
        precision: what all networks of a learner compute in: float32, or bfloat16; parameters, distances, losses and
            updates stay in float32.
    """

    network: str = "conv4"
    features: tuple[int, ...] = setting((64,), least=1)
    norm: str = setting("batch", choices=tuple(NORMS))
    precision: str = setting("float32", choices=PRECISIONS)


class Row(NamedTuple):
    """A network.

    Attributes:
        what: it is, in a few words.
        network: `(settings, outputs, kernel_init of the head) -> model`.
        encoder: `settings -> model` without the head.
        context: as `network`, with a context beside its input; None where there is none.
        feature_map: as `encoder`, with features that keep their places; None for the encoder.
        kernel_init: how the head usually starts.
        pool: whether it halves by a maximum.
        dense: whether it has a dense layer before the head.
        layers: whether it has layers, of `features`.
        vectors: whether it takes inputs of any shape, and not pictures alone.
        tokens: whether it takes the tokens of sentences; without `vectors`, it takes them alone.
        paper: that it is from, as "authors year, title, address"; empty for none.
    """

    what: str
    network: Callable[[Network, int, Any], Model]
    encoder: Callable[[Network], Model]
    context: Callable[[Network, int, Any], Model] | None = None
    feature_map: Callable[[Network], Model] | None = None
    kernel_init: Any = jax.nn.initializers.glorot_uniform()
    pool: bool = False
    dense: bool = False
    layers: bool = True
    vectors: bool = False
    tokens: bool = False
    paper: str = ""


def _convolutions(
    what: str, blocks: int = 4, *, pool: bool = False, flatten: bool = False, dense: int | None = None, paper: str = ""
) -> Row:
    def options(settings: Network) -> dict[str, Any]:
        features = settings.features * blocks if len(settings.features) == 1 else settings.features
        return {"features": features, "pool": pool, "norm": NORMS[settings.norm]}

    # MAML's N(0, 1) on the 64 means over positions; on more features, logits of a usual size.
    usual = jax.nn.initializers.glorot_uniform() if flatten else jax.nn.initializers.normal(1.0)
    return Row(
        what,
        lambda own, outputs, init: nets.ConvNet(
            outputs, **options(own), flatten=flatten, dense=dense, kernel_init=init
        ),
        lambda own: nets.ConvEncoder(**options(own), flatten=flatten, dense=dense),
        lambda own, outputs, init: nets.FiLMConvNet(outputs, **options(own), flatten=flatten, kernel_init=init),
        lambda own: nets.ConvMap(**options(own)),
        usual,
        pool,
        dense is not None,
        paper=paper,
    )


def _residual(what: str, *, flatten: bool, paper: str) -> Row:
    def options(own: Network) -> dict[str, Any]:
        first = own.features[0]
        widths = (first, first * 5 // 2, first * 5, first * 10) if len(own.features) == 1 else own.features
        return {"features": widths, "norm": NORMS[own.norm], "flatten": flatten}

    return Row(
        what,
        lambda own, outputs, init: nets.ResNet12(outputs, **options(own), kernel_init=init),
        lambda own: nets.ResNet12Encoder(**options(own)),
        pool=True,
        paper=paper,
    )


def _layers(what: str, hidden: bool) -> Row:
    def options(own: Network) -> dict[str, Any]:
        features = own.features if hidden else ()
        return {"features": features, "norm": None if own.norm == "none" else NORMS[own.norm]}

    return Row(
        what,
        lambda own, outputs, _: nets.MLP(out=outputs, **options(own)),
        lambda own: nets.MLPEncoder(**options(own)),
        lambda own, outputs, _: nets.ContextMLP(out=outputs, **options(own)),
        layers=hidden,
        vectors=True,
    )


def _words(what: str, network: Callable[..., Model], encoder: Callable[..., Model], paper: str = "") -> Row:
    def options(own: Network) -> dict[str, Any]:
        return {"features": own.features, "norm": NORMS[own.norm]}

    return Row(
        what,
        lambda own, outputs, init: network(outputs, **options(own), kernel_init=init),
        lambda own: encoder(**options(own)),
        tokens=True,
        paper=paper,
    )


def own_row(name: str, found: Any) -> Row:
    """The row of a user's network: a `Row`, or a function from a number of outputs to a model with `init` and `apply`.

    Where a learner takes the network without its head, the outputs are features, as many as the last of the setting
    `features`.
    """
    if isinstance(found, Row):
        return found
    if not callable(found) or (hasattr(found, "apply") and not isinstance(found, type)):
        raise RunError(f"{name} must be a function from a number of outputs to a model, or a Row, got {found!r:.60}.")

    def made(outputs: int) -> Model:
        try:
            model: Any = found(outputs)
        except Exception as error:
            why = kind_and_line(error)
            raise RunError(f"{name} can't make a model of {outputs} outputs ({why}): correct it.") from error
        if not (hasattr(model, "init") and hasattr(model, "apply")):
            raise RunError(f"{name} must return a model with init and apply, got a {type(model).__name__}: correct it.")
        return model

    return Row(
        said(found), lambda _, outputs, init: made(outputs), lambda own: made(own.features[-1]), vectors=True,
        tokens=True,
    )  # fmt: skip


_MAML = "Finn et al. 2017, Model-Agnostic Meta-Learning, https://arxiv.org/abs/1703.03400"
_LEE = "Lee et al. 2019, Meta-learning with differentiable convex optimization, https://arxiv.org/abs/1904.03758"
_TADAM = (
    "Oreshkin et al. 2018, TADAM: Task dependent adaptive metric for improved few-shot learning, "
    "https://arxiv.org/abs/1805.10123"
)
_MATCHING = "Vinyals et al. 2016, Matching Networks for One Shot Learning, https://arxiv.org/abs/1606.04080"

NETWORKS = Registry[Row](
    "network",
    {
        "conv4": _convolutions("four strided convolutions, mean over positions", paper=_MAML),
        "conv4-flat": _convolutions("four strided convolutions, all positions", flatten=True),
        "conv4-pool": _convolutions(
            "four convolutions with max-pooling, mean over positions", pool=True, paper=_MATCHING
        ),
        "conv4-pool-flat": _convolutions(
            "four convolutions with max-pooling, all positions", pool=True, flatten=True, paper=_MATCHING
        ),
        "convnet2-512": _convolutions(
            "two convolutions with max-pooling and a 512-unit layer", 2, pool=True, flatten=True, dense=512
        ),
        "convnet8": _convolutions("eight strided convolutions, mean over positions", 8),
        "resnet12": _residual("four residual blocks of three convolutions, all positions", flatten=True, paper=_LEE),
        "resnet12-mean": _residual(
            "four residual blocks of three convolutions, mean over positions", flatten=False, paper=_TADAM
        ),
        "mlp": _layers("dense layers", True),
        "linear": _layers("one dense layer, the head alone", False),
        "metric": Row(
            "features beside a learned projection, at first near the features alone",
            lambda own, outputs, init: nets.Metric(outputs, own.features, kernel_init=init),
            lambda own: nets.MetricEncoder(own.features),
            vectors=True,
        ),
        "bag": _words("a mean of words by learned weights, and dense layers", nets.Bag, nets.BagEncoder),
        "transformer": _words(
            "a small transformer over the words of a sentence",
            nets.SentenceTransformer,
            nets.SentenceTransformerEncoder,
            "Vaswani et al. 2017, Attention Is All You Need, https://arxiv.org/abs/1706.03762",
        ),
    },
    "jmeta.networks",
    own_row,
)


def check(settings: Network) -> None:
    """Refuse, by a `RunError`, a network that there is not, or one without layers."""
    if NETWORKS.get(settings.network).layers and not settings.features:
        raise RunError("--features must be numbers of 1 or more, got none: give at least one.")


def network(settings: Network, outputs: int, *, small_head: bool = False) -> Model:
    """The network with its head; a small head starts with logits of a usual size, whatever the network."""
    row = NETWORKS.get(settings.network)
    kernel_init = jax.nn.initializers.glorot_uniform() if small_head else row.kernel_init
    return in_precision(settings, row.network(settings, outputs, kernel_init))


def encoder(settings: Network) -> Model:
    """The network without its head."""
    return in_precision(settings, NETWORKS.get(settings.network).encoder(settings))


def head(settings: Network, outputs: int) -> Model:
    """The head alone."""
    kernel_init = NETWORKS.get(settings.network).kernel_init
    return in_precision(settings, nets.Head(outputs, kernel_init=kernel_init))


def with_context(settings: Network, outputs: int) -> Model:
    """A network with a context beside its input, for CAVIA, without a 512-unit layer; `RunError` if there is none."""
    row = NETWORKS.get(settings.network)
    if row.context is None:
        raise RunError(f"{settings.network} takes no context beside its input: choose another --network.")
    return in_precision(settings, row.context(settings, outputs, row.kernel_init))


def feature_map(settings: Network) -> Model:
    """The network without its head, with features that keep their places, for Relation networks."""
    row = NETWORKS.get(settings.network)
    return in_precision(settings, (row.feature_map or row.encoder)(settings))


def relation_head(settings: Network) -> Model:
    """What compares two feature maps; it halves and normalizes as the network does."""
    pool = NETWORKS.get(settings.network).pool
    return in_precision(settings, nets.RelationHead((64, 64), pool=pool, norm=NORMS[settings.norm]))


def in_precision(settings: Network, model: Model) -> Model:
    """A model that computes in the precision of the settings."""
    return model if settings.precision == "float32" else nets.in_precision(model, jnp.dtype(settings.precision))
