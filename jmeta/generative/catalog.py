"""Generators by name: how each is made, and what it can be told."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

from jmeta.errors import RunError, kind_and_line
from jmeta.generative.algorithms import attentive_drawing, set_vae
from jmeta.generative.types import Generator
from jmeta.nets import MLP, ConvEncoder, ConvMap, DrawingNetwork, GroupNorm
from jmeta.registry import Registry, said
from jmeta.settings import setting


@dataclasses.dataclass(frozen=True)
class Attentive:
    """Blocks of 2x2 pixels, one after another.

    Attributes:
        features: of each place.
        layers: of convolution, each second with a look at what was seen.
        heads: of attention; they divide the features.
    """

    features: int = setting(64, least=1)
    layers: int = setting(4, least=2)
    heads: int = setting(4, least=1)


@dataclasses.dataclass(frozen=True)
class Latent:
    """A latent for each drawing.

    Attributes:
        latent: its numbers.
        units: of the two layers of each network.
        samples: of the latent for each picture, over which its density is bounded.
    """

    latent: int = setting(32, least=1)
    units: int = setting(400, least=1)
    samples: int = setting(8, least=1)


@dataclasses.dataclass(frozen=True)
class Nothing:
    """What needs to be told nothing."""


class Row(NamedTuple):
    """A generator: what it does, its settings class, `(settings, pixels) -> Generator`, the rate that its training
    starts from, and its paper as "authors year, title, address"."""

    what: str
    settings: type
    make: Callable[[Any, int], Generator]
    outer_lr: float = 1e-3
    paper: str = ""


def _attentive(own: Attentive, pixels: int) -> Generator:
    if own.features % own.heads:
        raise RunError(f"--heads must divide the {own.features} --features, got {own.heads}: choose another.")
    encoder = ConvMap(features=(32, own.features), norm=GroupNorm)
    return attentive_drawing(encoder, DrawingNetwork(own.features, own.layers, own.heads))


def _latent(own: Latent, pixels: int) -> Generator:
    units = own.units
    encoder = ConvEncoder(features=(32, 64), norm=GroupNorm, flatten=True, dense=units)
    written = MLP((units,), 2 * own.latent)
    return set_vae(encoder, written, written, MLP((units, units), pixels), samples=own.samples)


def own_row(name: str, found: Any) -> Row:
    """A user's function without arguments that returns a `Generator`."""

    def make(own: Any, pixels: int) -> Generator:
        try:
            made = found()
        except Exception as error:
            raise RunError(f"{name} can't be called without arguments ({kind_and_line(error)}): mend it.") from error
        if not isinstance(made, Generator):
            raise RunError(f"{name} must return a Generator, got a {type(made).__name__}: correct it.")
        return made

    return Row(said(found), Nothing, make)


GENERATORS = Registry[Row](
    "generator",
    {
        "attentive-drawing": Row(
            "blocks of pixels one after another, each with a look at what was seen",
            Attentive,
            _attentive,
            paper="Reed et al. 2018, Few-shot Autoregressive Density Estimation, https://arxiv.org/abs/1710.10304",
        ),
        "set-vae": Row(
            "a latent of each drawing, whose prior is made of what was seen",
            Latent,
            _latent,
            paper="Edwards and Storkey 2017, Towards a Neural Statistician, https://arxiv.org/abs/1606.02185",
        ),
    },
    "jmeta.generators",
    own_row,
)
