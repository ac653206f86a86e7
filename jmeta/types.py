"""The types that everything else is written in, and the learner that most algorithms are."""

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
            padding out, see `jmeta.losses.possible`; `Learner.predict` gives it any logit.
    """

    x: Array
    y: Array
    weight: Array | None = None
    classes: Array | None = None


class Episode(NamedTuple):
    """One task: `way * shot` examples to learn from, and `way * query_shot` to judge the result by."""

    support: Batch
    query: Batch


class Metrics(NamedTuple):
    """What a loss reports beside its value: the mean query loss `[]`, and the share `[]` of queries whose largest logit
    is at the label; None for single targets."""

    loss: Array
    accuracy: Array | None = None


class Model(Protocol):
    """Anything with `init(key, x) -> params` and `apply(params, x) -> y`, such as a Flax linen module.

    Two more functions are used where a model has them. `apply_weighted(params, x, weight) -> y` leaves examples of
    weight 0, which are padding, out of what it makes of the batch, such as normalization statistics. `condition(params,
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


Judge = Callable[[Array, Batch], tuple[Array, Metrics]]
"""`(prediction [N, way], query) -> (scalar, Metrics)`, such as `losses.judge(loss_fn)`."""


def episodic(
    init: Callable[[Array, Array], Params],
    adapt: Callable[[Params, Batch], Any],
    predict: Callable[..., Array],
    judge: Judge,
) -> Learner:
    """A learner that is trained by what it is used for: to adapt to the support set, and to predict the queries.

        loss(params, episode) = judge(predict(adapt(params, support), query.x, query.weight), query)

    `init`, `adapt` and `predict` are those of `Learner`; `predict` takes a weight of None too.
    """

    def loss(params: Params, episode: Episode) -> tuple[Array, Metrics]:
        adapted, query = adapt(params, episode.support), episode.query
        return judge(predict(adapted, query.x, query.weight), query)

    return Learner(init, adapt, predict, loss)
