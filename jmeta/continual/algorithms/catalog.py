"""Learners of streams by name: of what each is made, and what it can be told."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax

from jmeta.continual import algorithms
from jmeta.errors import RunError
from jmeta.nets import Head, MLPEncoder
from jmeta.nets import catalog as networks
from jmeta.nets.catalog import Network
from jmeta.registry import Registry
from jmeta.settings import setting
from jmeta.types import Learner, Model

RULES = {"sgd": optax.sgd, "adam": optax.adam}


@dataclasses.dataclass(frozen=True)
class Gradient:
    """A head that learns by gradient steps, one an example.

    Attributes:
        inner_lr: of gradient descent along a stream, in training.
        first_order: take the gradients of the inner steps for constants, which is not what the paper does.
        stream_lr: step size in validation and evaluation, where streams are longer; `jmeta continual evaluate` chooses
            its own on validation classes if it is not told.
        stream_optimizer: the rule there: adam or sgd.
    """

    inner_lr: float = setting(0.03, above=0, swept=True)
    first_order: bool = False
    stream_lr: float = setting(1e-3, above=0)
    stream_optimizer: str = setting("adam", choices=tuple(RULES))


@dataclasses.dataclass(frozen=True)
class Nothing:
    """A learner that needs to be told nothing."""


DENSITIES = {"predictive": algorithms.predictive, "most-likely": algorithms.most_likely}


@dataclasses.dataclass(frozen=True)
class GeMCL:
    """A posterior of each class.

    Attributes:
        shape: where the shape a0 of the prior of variances starts.
        scale: where their scale b0 starts, in each dimension.
        strength: where k0 starts, how many examples the prior mean is worth.
        density: predictive (a Student t), or most-likely (the Gaussian of the most likely mean and variance).
    """

    shape: float = setting(1.0, above=0)
    scale: float = setting(1.0, above=0)
    strength: float = setting(0.01, above=0)
    density: str = setting("predictive", choices=tuple(DENSITIES))


@dataclasses.dataclass(frozen=True)
class Ridge:
    """A regression of labels on features.

    Attributes:
        l2: where the penalty starts.
        scale: where the factor of the logits starts.
    """

    l2: float = setting(1.0, above=0)
    scale: float = setting(10.0, above=0)


class Row(NamedTuple):
    """A learner of streams.

    Attributes:
        make: `(settings, encoder, head, whether in training) -> Learner`, of which some need no head.
        what: it learns, in a few words.
        paper: that it is from, as "authors year, title, address"; empty for none.
        settings: the class of what it can be told.
        ordered: whether the order of a stream matters, and a head has a row for each class.
        gated: whether a second network opens and closes the features of the first.
    """

    make: Callable[[Any, Model, Model, bool], Learner]
    what: str
    paper: str = ""
    settings: type = Nothing
    ordered: bool = False
    gated: bool = False

    def encoder(self, network: Network) -> Model:
        """The features that streams are learned on."""
        encoder = networks.encoder(network)
        return algorithms.gated(encoder, networks.encoder(network)) if self.gated else encoder


def _gradient(own: Gradient, encoder: Model, head: Model, training: bool) -> Learner:
    rule = optax.sgd(own.inner_lr) if training else RULES[own.stream_optimizer](own.stream_lr)
    first_order = own.first_order or not training  # whose steps nobody differentiates
    return algorithms.oml(encoder, head, inner_optimizer=rule, first_order=first_order)


def _gemcl(own: GeMCL, encoder: Model, head: Model, training: bool) -> Learner:
    density = DENSITIES[own.density]
    return algorithms.gemcl(encoder, shape=own.shape, scale=own.scale, strength=own.strength, density=density)


def own_row(name: str, found: Any) -> Row:
    """A user's row, as it is; RunError for another thing."""
    if not isinstance(found, Row):
        raise RunError(f"{name} must be a Row of jmeta.continual.algorithms.catalog, got a {type(found).__name__}.")
    return found


LEARNERS = Registry[Row](
    "learner of streams",
    {
        "oml": Row(
            _gradient,
            "features on which a head learns a stream by gradient steps",
            "Javed and White 2019, Meta-Learning Representations for Continual Learning, "
            "https://arxiv.org/abs/1905.12588",
            Gradient,
            ordered=True,
        ),
        "anml": Row(
            _gradient,
            "the same, with a network that opens and closes features",
            "Beaulieu et al. 2020, Learning to Continually Learn, https://arxiv.org/abs/2002.09571",
            Gradient,
            ordered=True,
            gated=True,
        ),
        "class-means": Row(
            lambda own, encoder, head, training: algorithms.class_means(encoder),
            "features whose class means are far apart",
            "Rebuffi et al. 2017, iCaRL, https://arxiv.org/abs/1611.07725",
        ),
        "gemcl": Row(
            _gemcl,
            "features and the prior of a Gaussian for each class",
            "Banayeeanzade et al. 2021, Generative vs. Discriminative: Rethinking The Meta-Continual Learning, "
            "https://openreview.net/forum?id=mTNKpHvT0xj",
            GeMCL,
        ),
        "ridge": Row(
            lambda own, encoder, head, training: algorithms.running_ridge(
                encoder, l2=own.l2, scale=own.scale, rows=1 if training else 100
            ),
            "features for a recursive ridge regression",
            "Bertinetto et al. 2019, Meta-learning with differentiable closed-form solvers, "
            "https://arxiv.org/abs/1805.08136",
            Ridge,
        ),
    },
    "jmeta.continual",
    own_row,
)


def made(name: str, own: Any, network: Network, way: int, *, training: bool) -> Learner:
    """The learner of a name, with a head for so many classes where it has one."""
    row = LEARNERS.get(name)
    head = networks.in_precision(network, Head(way, kernel_init=jax.nn.initializers.zeros))
    return row.make(own, row.encoder(network), head, training)


def on_features(name: str, own: Any, way: int) -> Learner:
    """The same on features that are there, `[N, D]`, once it is trained."""
    head = Head(way, kernel_init=jax.nn.initializers.zeros)
    return LEARNERS.get(name).make(own, MLPEncoder(()), head, False)
