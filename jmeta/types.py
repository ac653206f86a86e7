"""The types that everything else is written in, and the learner that most algorithms are."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax import Array

from jmeta.checks import native

Params = Any
"""Any pytree of arrays."""


class Batch(NamedTuple):
    """Examples of one task.

    Attributes:
        x: inputs `[N, ...]`, or a tree of such arrays, as tokens and a mask. uint8 is pictures, 0 to 255, and is read
            as 0 to 1, as samplers have it; other numbers as they are.
        y: one-hot labels `[N, way]`, or regression targets `[N, targets]`.
        weight: `[N]`, how much each example counts, 0 or more; None means all alike. One of weight 0 is not there: what
            x and y hold of it, NaN too, reaches nothing.
        classes: `[way]`, 1 for classes that the episode has and 0 for padding; None means all. Losses and metrics leave
            padding out, see `jmeta.losses.possible`; `Learner.predict` gives it any logit.
    """

    x: Any
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


def wide(a: Array) -> Array:
    """In float32, if it is a float of less."""
    return a.astype(jnp.float32) if jnp.issubdtype(a.dtype, jnp.floating) and a.dtype.itemsize < 4 else a


def _array(a: Any) -> Array:
    return jnp.asarray(native(a))


def _inputs(x: Any) -> Any:
    """Inputs as they are computed with: bytes, which are pictures, as 0 to 1, and floats in float32 or better."""

    def one(a: Any) -> Array:
        a = _array(a)
        return a.astype(jnp.float32) / 255 if a.dtype == jnp.uint8 else wide(a)

    return jax.tree.map(one, x)


def filled(tree: Any, weight: Array | None) -> Any:
    """Arrays `[N, ...]` whose rows of weight 0 are copies of one that is there, and zeros where none is.

    So they have no part in anything, derivatives included: a value that can't be used is replaced before it is.
    """
    if weight is None or not len(weight):
        return tree
    real = weight != 0
    first, some = jnp.argmax(real), jnp.any(real)

    def fill(a: Array) -> Array:
        row = jnp.where(some, a[first], jnp.zeros_like(a[first]))
        return jnp.where(real.reshape(-1, *(1,) * (a.ndim - 1)), a, row[None])

    return jax.tree.map(fill, tree)


def examples(batch: Batch) -> Batch:
    """A batch as everything here computes with it: `filled`, floats in float32 or better, and labels too.

    Raises:
        ValueError: for labels that are class numbers and not one-hot, or inputs, weights or classes that are not as
            many as labels say.
    """
    x, y = _inputs(batch.x), _array(batch.y)
    weight, classes = (None if a is None else wide(_array(a)) for a in (batch.weight, batch.classes))
    whole = not jnp.issubdtype(y.dtype, jnp.inexact)
    if y.ndim != 2 or jnp.iscomplexobj(y) or (whole and y.shape[1] == 1):
        raise ValueError(
            f"labels must be one-hot [N, way], or numbers to regress [N, targets], got {y.dtype} {list(y.shape)}: "
            "give jax.nn.one_hot(labels, way), or numbers as floats"
        )
    for name, a, shape in (("weight", weight, y.shape[:1]), ("classes", classes, y.shape[1:])):
        if a is not None and a.shape != shape:
            raise ValueError(
                f"{name} must have the shape {list(shape)} beside labels {list(y.shape)}, got {list(a.shape)}"
            )
    if any(a.shape[:1] != y.shape[:1] for a in jax.tree.leaves(x)):
        got = [list(a.shape) for a in jax.tree.leaves(x)]
        raise ValueError(f"labels {list(y.shape)} need {len(y)} inputs [N, ...], got {got}: give a label for each")
    y = y.astype(float) if whole else wide(y)
    if weight is not None and not jnp.issubdtype(weight.dtype, jnp.inexact):
        weight = weight.astype(y.dtype)
    return Batch(filled(x, weight), filled(y, weight), weight, classes)


def together(support: Batch, query: Batch) -> Batch:
    """Both sets as one, with the classes of the queries."""
    both = lambda a, b: jnp.concatenate([a, b])
    ones = lambda batch: jnp.ones_like(batch.y[:, 0]) if batch.weight is None else batch.weight
    whole = support.weight is None and query.weight is None
    weight = None if whole else both(ones(support), ones(query))
    return Batch(jax.tree.map(both, support.x, query.x), both(support.y, query.y), weight, query.classes)


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
        predict: `(adapted, x) -> logits [N, way]`; `(adapted, x, weight)` where some of x are padding. A learner of
            numbers may predict a distribution of them, such as `jmeta.distributions.Normal`.
        loss: `(params, episode) -> (scalar, Metrics)`; its gradient in `params` is the meta-gradient.
    """

    init: Callable[[Array, Any], Params]
    adapt: Callable[[Params, Batch], Any]
    predict: Callable[..., Any]
    loss: Callable[[Params, Episode], tuple[Array, Metrics]]


Judge = Callable[[Any, Batch], tuple[Array, Metrics]]
"""`(prediction [N, way], query) -> (scalar, Metrics)`, such as `losses.judge(loss_fn)`, or `distributions.nats` of a
distribution."""


def learner(
    init: Callable[[Array, Any], Params],
    adapt: Callable[[Params, Batch], Any],
    predict: Callable[..., Any],
    loss: Callable[[Params, Episode], tuple[Array, Metrics]],
) -> Learner:
    """A `Learner` of four functions, whose batches come in as `examples`, and which is compiled once for a shape where
    it is called by itself.

    Raises:
        ValueError: from `init`, for a Flax module with variables that are no parameters, or with dropout; from the
            others, for no examples at all.
    """

    def predict_examples(adapted: Any, x: Any, weight: Array | None = None) -> Any:
        _check_some(x)
        return predict(adapted, filled(_inputs(x), weight), weight)

    def known(batch: Batch) -> Batch:
        _check_some(batch.x)
        return examples(batch)

    def loss_of_examples(params: Params, episode: Episode) -> tuple[Array, Metrics]:
        return loss(params, Episode(*map(known, episode)))

    return Learner(
        _without_keys(lambda key, x: _started(init, key, x)),
        _without_keys(jax.jit(lambda params, support: adapt(params, known(support)), inline=True)),
        _without_keys(jax.jit(predict_examples, inline=True)),
        _without_keys(jax.jit(loss_of_examples, inline=True)),
    )


def _check_some(x: Any) -> None:
    if any(a.shape[:1] == (0,) for a in jax.tree.leaves(x)):
        raise ValueError("a set of examples has no rows: give one or more, where none is known some of weight 0")


_ADVICE = "leave these layers out, or normalize by jmeta.nets.BatchNorm"


def _without_keys(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, where a Flax layer that asks for a key is a ValueError."""

    @functools.wraps(function)
    def told(*args: Any, **named: Any) -> Any:
        try:
            return function(*jax.tree.map(native, args), **jax.tree.map(native, named))
        except Exception as error:
            kind, text = f"{type(error).__module__} {type(error).__name__}", str(error).partition(" (http")[0]
            if kind.startswith("flax") and ("Rng" in kind or "ModifyScope" in kind):
                raise ValueError(f"adaptation has neither keys nor state for a layer ({text}): {_ADVICE}") from error
            raise

    return told


def _started(init: Callable[[Array, Any], Params], key: Array, x: Any) -> Params:
    params = init(key, _inputs(x))
    linen = lambda tree: isinstance(tree, Mapping) and "params" in tree
    for variables in jax.tree.leaves(params, is_leaf=linen):
        if linen(variables) and set(variables) != {"params"}:
            kept = {name: sorted(v) for name, v in variables.items() if name != "params"}
            raise ValueError(f"only parameters of a Flax module are learned, and this one has {kept} too: {_ADVICE}")
    return params


def episodic(
    init: Callable[[Array, Array], Params],
    adapt: Callable[[Params, Batch], Any],
    predict: Callable[..., Any],
    judge: Judge,
) -> Learner:
    """A learner that is trained by what it is used for: to adapt to the support set, and to predict the queries.

        loss(params, episode) = judge(predict(adapt(params, support), query.x, query.weight), query)

    `init`, `adapt` and `predict` are those of `Learner`; `predict` takes a weight of None too.
    """

    def loss(params: Params, episode: Episode) -> tuple[Array, Metrics]:
        adapted, query = adapt(params, episode.support), episode.query
        return judge(predict(adapted, query.x, query.weight), query)

    return learner(init, adapt, predict, loss)
