"""The four types that everything else is written in."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from jax import Array

Params = Any
"""Any pytree of arrays."""


class Batch(NamedTuple):
    """Examples of one task.

    Attributes:
        x: inputs `[N, ...]`.
        y: one-hot labels `[N, way]`, or regression targets `[N, targets]`.
        weight: `[N]`, how much each example counts; 0 marks padding, None means all ones.
        classes: `[way]`, 1 for classes that the episode has and 0 for padding; None means all. Losses and metrics leave
            padding out, see `jmeta.losses.possible`; `Learner.predict` does not know of it, and gives it any logit.
    """

    x: Array
    y: Array
    weight: Array | None = None
    classes: Array | None = None


class Episode(NamedTuple):
    """One task: what is learned from, and what the result is judged by.

    Attributes:
        support: `way * shot` examples.
        query: `way * query_shot` examples.
    """

    support: Batch
    query: Batch


class Metrics(NamedTuple):
    """What a loss reports beside its value.

    Attributes:
        loss: `[]`, mean query loss.
        accuracy: `[]`, share of query examples whose largest logit is at the label; None for single targets.
    """

    loss: Array
    accuracy: Array | None = None


class Model(Protocol):
    """Anything with `init(key, x) -> params` and `apply(params, x) -> y`, such as a Flax linen module.

    Two more functions are used where a model has them. `apply_weighted(params, x, weight) -> y` leaves examples of
    weight 0, which are padding, out of what it makes of the batch, such as normalisation statistics. `condition(params,
    x, weight) -> params`, called once with the support inputs after adaptation, lets it keep what it needs of them.
    """

    @property
    def init(self) -> Callable[..., Any]:
        """`(key, x) -> params`."""
        ...

    @property
    def apply(self) -> Callable[..., Any]:
        """`(params, x) -> y`."""
        ...


class Learner(NamedTuple):
    """An algorithm: four pure functions on one episode.

    Attributes:
        init: `(key, x) -> params`, with `x` the inputs of one support set.
        adapt: `(params, support) -> adapted`.
        predict: `(adapted, x) -> logits [N, way]`; `(adapted, x, weight)` where some of x are padding.
        loss: `(params, episode) -> (scalar, Metrics)`; its gradient in `params` is the meta-gradient.
    """

    init: Callable[[Array, Array], Params]
    adapt: Callable[[Params, Batch], Any]
    predict: Callable[..., Array]
    loss: Callable[[Params, Episode], tuple[Array, Metrics]]
