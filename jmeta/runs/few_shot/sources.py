"""What is known of data by their name alone: tasks that are made up as they are drawn, and how pictures are turned."""

from collections.abc import Callable
from typing import Any, NamedTuple

from jax.tree_util import Partial

from jmeta import episodes
from jmeta.nets.catalog import Network

LINEAR_FEATURES = 10


class Vectors(NamedTuple):
    """Tasks of vectors, which are drawn from a distribution.

    Attributes:
        way: classes of a task, or the targets of an example.
        numbers: whether targets are numbers and not classes.
        input_shape: of an example.
        sampler: `(shot, query_shot) -> sample`.
        network: to start from.
        inner_lr: to start from.
    """

    way: int
    numbers: bool
    input_shape: tuple[int, ...]
    sampler: Callable[[int, int], Partial]
    network: Network
    inner_lr: float


def _sinusoid(shot: int, query_shot: int) -> Any:
    return episodes.sinusoid_sampler(shot=shot, query_shot=query_shot)


def _linear(shot: int, query_shot: int) -> Any:
    return episodes.linear_sampler(features=LINEAR_FEATURES, shot=shot, query_shot=query_shot)


VECTORS = {
    "sinusoid": Vectors(1, True, (1,), _sinusoid, Network("mlp", (40, 40), "none"), 0.01),
    "linear": Vectors(2, False, (LINEAR_FEATURES,), _linear, Network("linear", (), "none"), 0.5),
}


def has_numbers(dataset: str) -> bool:
    """Whether targets are numbers and not classes."""
    return dataset in VECTORS and VECTORS[dataset].numbers


def is_turned(dataset: str) -> bool:
    """Whether its classes are turned by multiples of 90 degrees to have more of them, as is usual for Omniglot."""
    return dataset.startswith("omniglot")
