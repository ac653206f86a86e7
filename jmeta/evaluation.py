"""How good a learner is on many episodes, with 95 % intervals."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import Partial

from jmeta import loop
from jmeta.checks import NEVER, check_sizes
from jmeta.distributions import Normal
from jmeta.episodes import Sampler
from jmeta.loop import as_partial
from jmeta.losses import accuracy as accuracy
from jmeta.losses import judged, mean_loss, squared_error, weighted_mean
from jmeta.report import statistics
from jmeta.types import Batch, Episode, Learner, Params, examples

Metric = Callable[[Any, Batch], Array]
"""`(prediction [N, way], query) -> []`."""

Predict = Callable[[Learner, Params, Episode], Array]
"""`(learner, params, episode) -> prediction [N, way]` of the query examples."""


class Evaluation(NamedTuple):
    """A metric's mean over episodes, half the width of its 95 % interval by Student's t, which is NaN for a single
    episode, and its values `[episodes]`: accuracies in 0 to 1 unless another metric was asked."""

    mean: float
    ci95: float
    accuracy: np.ndarray


def precision(prediction: Array, query: Batch) -> Array:
    """Macro precision: mean of hits over predictions of a class, 0 where it is never predicted; over the classes that
    are among labels or predictions."""
    true, predicted, actual = _class_counts(prediction, query)
    each = jnp.where(predicted > 0, true / jnp.maximum(predicted, 1e-9), 0.0)
    return weighted_mean(each, (predicted + actual > 0).astype(each.dtype))


def recall(prediction: Array, query: Batch) -> Array:
    """Macro recall: mean over classes of hits over examples of that class."""
    true, _, actual = _class_counts(prediction, query)
    return weighted_mean(true / jnp.maximum(actual, 1e-9), (actual > 0).astype(true.dtype))


def mean_squared_error(prediction: Array | Normal, query: Batch) -> Array:
    """Mean of `losses.squared_error` over examples; of a distribution it is that of its mean."""
    return mean_loss(prediction.mean if isinstance(prediction, Normal) else prediction, query, squared_error)


def _class_counts(prediction: Array, query: Batch) -> tuple[Array, Array, Array]:
    logits, query = judged(prediction, query)
    if query.y.shape[-1] == 1:
        raise ValueError("precision and recall are of classes, and these targets are single numbers: leave them out")
    weight = jnp.ones(len(query.y)) if query.weight is None else query.weight
    predicted = jax.nn.one_hot(jnp.argmax(logits, axis=-1), query.y.shape[-1])
    predicted = jnp.where(jnp.max(logits, axis=-1, keepdims=True) > NEVER, predicted, 0)  # none where one is NaN
    weighted = weight[:, None] * query.y
    return jnp.sum(weighted * predicted, axis=0), weight @ predicted, jnp.sum(weighted, axis=0)


def transductive(learner: Learner, params: Params, episode: Episode) -> Array:
    """Predict all queries together: with batch statistics, they see each other."""
    adapted, query = learner.adapt(params, episode.support), episode.query
    return learner.predict(adapted, query.x, *(() if query.weight is None else (query.weight,)))


def inductive(learner: Learner, params: Params, episode: Episode) -> Array:
    """Predict each query in a batch with the support set and no other query, as Reptile's non-transductive figures."""
    adapted, support = learner.adapt(params, episode.support), episode.support
    weight = () if support.weight is None else (jnp.append(support.weight, 1.0),)

    def predict_one(x: Any) -> Array:
        together = jax.tree.map(lambda known, one: jnp.concatenate([known, one[None]]), support.x, x)
        return jax.tree.map(lambda a: a[-1], learner.predict(adapted, together, *weight))

    return loop.one_by_one(predict_one)(episode.query.x)


def with_views(predict: Predict, views: Sequence[Callable[[Array], Array]]) -> Predict:
    """A reading in which each example is seen in several ways, such as a picture and its mirror image.

        support: v(x_n), y_n for each view v;     prediction(x) = mean_v prediction of v(x)

    Args:
        predict: `transductive` or `inductive`.
        views: functions of one example `[...]` that keep its shape and dtype, such as `augment.mirror`.

    Raises:
        ValueError: if there are no views, or what is no function; when it is called, for a view of another shape or
            dtype.
    """
    several: Sequence[Any] = () if callable(views) else tuple(views)
    if not several or not all(map(callable, several)):
        raise ValueError(f"views must be a list of functions of an example, got {views!r:.60}: give one or more in [ ]")
    _check_callable("predict", predict)

    def turned(view: Callable[[Array], Array], x: Any) -> Any:
        made = jax.vmap(view)(x)
        of = lambda tree: [(a.shape, a.dtype) for a in jax.tree.leaves(tree)]
        if of(made) != of(x):
            raise ValueError(f"a view must keep shape and dtype of examples {of(x)}, got {of(made)}: correct it")
        return made

    def seen(batch: Batch) -> Batch:
        rows = batch._replace(classes=None)
        each = [rows._replace(x=turned(view, batch.x)) for view in several]
        return jax.tree.map(lambda *parts: jnp.concatenate(parts), *each)._replace(classes=batch.classes)

    def judged(learner: Learner, params: Params, episode: Episode) -> Array:
        whole = predict(learner, params, Episode(*map(seen, episode)))
        return jax.tree.map(lambda a: jnp.mean(a.reshape(len(several), -1, *a.shape[1:]), axis=0), whole)

    return judged


def evaluate(
    learner: Learner,
    params: Params,
    sample: Sampler,
    key: Array,
    *,
    episodes: int = 600,
    metric: Metric | None = None,
    predict: Predict = transductive,
    chunk_size: int = 1,
) -> Evaluation:
    """Adapt a learner of some meta-parameters to each of many episodes, and judge the predictions of the queries.

    Args:
        sample: `key -> Episode`.
        key: PRNG key; the same key gives every learner the same episodes.
        metric: what is measured; None for accuracy, or `mean_squared_error` where targets are numbers.
        predict: `transductive` or `inductive`, or one of them `with_views`.
        chunk_size: episodes that run at once.

    Raises:
        ValueError: if `episodes` or `chunk_size` is below 1, or what should be a function is none.
    """
    for name, given in (("sample", sample), ("predict", predict), ("metric", metric)):
        if given is not None or name != "metric":
            _check_callable(name, given)
    metrics = {"it": metric or _fitting(sample, key)}
    values = measure(
        learner, params, sample, key, episodes=episodes, metrics=metrics, predict=predict, chunk_size=chunk_size
    )
    return summarize(values["it"])


def _check_callable(name: str, given: Any) -> None:
    if not callable(given):
        raise ValueError(f"{name} must be a function, got {given!r:.60}: give the function itself, not its name")


def _fitting(sample: Sampler, key: Array) -> Metric:
    """Accuracy for labels, each a distribution over classes, and the squared error for numbers."""
    query = examples(jax.tree.map(lambda a: a[0], loop.mapped(sample, key[None])).query)
    y = np.asarray(query.y if query.weight is None else query.y[np.asarray(query.weight) != 0])
    classes = y.shape[1] > 1 and (y >= 0).all() and np.allclose(y.sum(1), 1, atol=1e-3)
    return accuracy if classes else mean_squared_error


def measure(
    learner: Learner,
    params: Params,
    sample: Sampler,
    key: Array,
    *,
    episodes: int,
    metrics: Mapping[str, Metric],
    predict: Predict = transductive,
    chunk_size: int = 1,
) -> dict[str, np.ndarray]:
    """Several metrics of many episodes in one pass, `[episodes]` by name; arguments as `evaluate`."""
    parts = jax.tree.map(as_partial, (learner, dict(metrics), predict), is_leaf=callable)
    return of_each(Partial(_measured, *parts, params), sample, key, episodes=episodes, chunk_size=chunk_size)


def _measured(
    learner: Learner, metrics: Mapping[str, Metric], predict: Predict, params: Params, episode: Episode
) -> dict[str, Array]:
    prediction = predict(learner, params, episode)
    return {name: metric(prediction, episode.query) for name, metric in metrics.items()}


def of_each(judge: Callable[[Episode], Any], sample: Sampler, key: Array, *, episodes: int, chunk_size: int = 1) -> Any:
    """What a function finds in each of many episodes, in one program: a tree of arrays `[episodes, ...]`.

    What several learners find in the same episodes is quicker by one program than by one for each. A judge that is a
    `jax.tree_util.Partial` carries its data as arguments; others are as in `evaluate`.
    """
    check_sizes(episodes=episodes, chunk_size=chunk_size)
    one = Partial(_judged, as_partial(judge), as_partial(sample))
    found = loop.mapped(one, jax.random.split(key, episodes), chunk_size=chunk_size)
    return jax.tree.map(np.asarray, found)


def _judged(judge: Callable[[Episode], Any], sample: Sampler, key: Array) -> Any:
    return judge(sample(key))


def measure_steps(
    learner_of: Callable[[Array], Learner],
    params: Params,
    sample: Sampler,
    key: Array,
    *,
    steps: int | Sequence[int],
    episodes: int,
    metric: Metric = accuracy,
    predict: Predict = transductive,
    chunk_size: int = 1,
) -> np.ndarray:
    """A metric after each inner step 0..K on the same episodes, `[K + 1, episodes]`.

    Args:
        learner_of: inner steps, a traced integer, to a learner: `lambda k: maml(model, inner_steps=k, ...)`. Other
            arguments are as in `evaluate`.
        steps: K; or the numbers of steps to measure after, for a row of each.

    Raises:
        ValueError: if `episodes` or `chunk_size` is below 1, or a number of steps below 0.
    """
    chosen = range(steps + 1) if isinstance(steps, int) else steps
    if len(chosen) == 0 or min(chosen) < 0:
        raise ValueError(f"steps must be 0 or more, or some numbers that are, got {steps}")
    parts = (as_partial(part) for part in (learner_of, metric, predict))
    one = Partial(after_steps, *parts, jnp.asarray(chosen, jnp.int32), params)
    return of_each(one, sample, key, episodes=episodes, chunk_size=chunk_size).T


def after_steps(
    learner_of: Callable[[Array], Learner],
    metric: Metric,
    predict: Predict,
    numbers: Array,
    params: Params,
    episode: Episode,
) -> Array:
    """The metric `[len(numbers)]` of one episode after each number of steps, see `measure_steps`."""
    after = loop.one_by_one(lambda k: metric(predict(learner_of(k), params, episode), episode.query))
    return after(numbers)


def summarize(values: np.ndarray) -> Evaluation:
    """Mean and 95 % interval of values `[episodes]`; the interval of a single episode is NaN."""
    mean, ci95 = statistics.interval(values)
    return Evaluation(mean, float("nan") if ci95 is None else ci95, np.asarray(values, np.float64))
