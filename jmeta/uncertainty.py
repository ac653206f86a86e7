"""How well a learner knows what it knows: likelihood, calibration and its floor, and queries of foreign classes."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy import special

from jmeta.distributions import TINY, Normal, nats
from jmeta.losses import cross_entropy, hits, judged, mean_loss, squared_error
from jmeta.types import Batch, Episode, Learner, Params, examples

CALIBRATION_BINS = 15


def log_likelihood(prediction: Array, query: Batch) -> Array:
    """Mean logarithm of the probability of the label, in nats: of the softmax of logits `[N, way]`, `[]`.

    It tells two learners of the same accuracy apart, of which one knows where it is wrong; `-log(way)` is what knowing
    nothing has.
    """
    return -mean_loss(prediction, query, cross_entropy)


def calibration(prediction: Array, query: Batch) -> Array:
    """What `calibration_error` is made of, `[CALIBRATION_BINS, 3]`: for each of equal intervals of confidence, which is
    the largest probability of a softmax, how many predictions there are, the sum of their confidence, and how many are
    right."""
    logits, query = judged(prediction, query)
    confidence = jnp.nan_to_num(jnp.max(jax.nn.softmax(logits), axis=-1))
    weight = jnp.ones_like(confidence) if query.weight is None else query.weight
    place = jnp.minimum(confidence * CALIBRATION_BINS, CALIBRATION_BINS - 1).astype(jnp.int32)
    counted = jnp.stack([jnp.ones_like(confidence), confidence, hits(logits, query.y)], axis=-1) * weight[:, None]
    return jax.ops.segment_sum(counted, place, CALIBRATION_BINS)


def calibration_error(counts: np.ndarray) -> float:
    """Expected calibration error, by counts of `calibration` `[..., CALIBRATION_BINS, 3]` of all episodes together.

        sum_b n_b / n |share of hits in b - mean confidence in b|

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, section 2, with bins of equal width.
    https://arxiv.org/abs/1706.04599
    """
    number, confidence, right = _together(counts)
    return float(np.abs(right - confidence).sum() / number.sum())


def calibration_floor(counts: np.ndarray) -> float:
    """The calibration error that a perfectly calibrated classifier has on average with so many predictions, of these
    confidences: chance alone makes it more than 0.

        sum_b E|X_b - n_b p_b| / n,   X_b ~ Binomial(n_b, p_b),   p_b the mean confidence in b
        E|X - n p| = 2 v C(n, v) p^v (1 - p)^(n - v + 1),   v = floor(n p) + 1

    Confidences of one interval are taken for equal, which they are to a fifteenth. Source of the second line: De Moivre
    1730, as in Diaconis and Zabell 1991, Closed Form Summation for Classical Distributions.
    https://doi.org/10.1214/ss/1177011699
    """
    number, confidence, _ = _together(counts)
    there = number > 0
    n, p = number[there], np.clip(confidence[there] / number[there], 0.0, 1.0)
    return float(_deviation(n, p).sum() / number.sum())


def _together(counts: np.ndarray) -> np.ndarray:
    return np.asarray(counts, np.float64).reshape(-1, CALIBRATION_BINS, 3).sum(0).T


def foreign_auroc(learner: Learner, params: Params, episode: Episode) -> Array:
    """How well the largest logit tells queries of an episode's own classes from foreign ones: the area under the ROC
    curve, `[]`, .5 for chance.

        mean over pairs of [own > foreign] + [own = foreign] / 2

    Args:
        episode: of 2 K classes, as many examples of each and no padding; the learner is told the first K alone.

    Raises:
        ValueError: for an odd number of classes.
    """
    own, foreign = split_classes(episode)
    adapted, number = learner.adapt(params, own.support), len(own.query.y)
    both = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), own.query.x, foreign)
    score = jnp.max(learner.predict(adapted, both), axis=-1)
    above = score[:number, None] - score[None, number:]
    return jnp.mean((above > 0) + (above == 0) / 2)


def split_classes(episode: Episode) -> tuple[Episode, Any]:
    """An episode of 2 K classes as one of the first K, and the inputs of queries of the others, foreign to it.

    Raises:
        ValueError: for an odd number of classes.
    """
    classes = episode.query.y.shape[1]
    if classes % 2:
        raise ValueError(f"classes are split in two halves, and there are {classes}: give an even number")

    def halves(batch: Batch) -> tuple[Batch, Any]:
        second = jnp.argmax(batch.y, axis=1) >= classes // 2
        order, number = jnp.argsort(second, stable=True), len(batch.y) // 2
        part = lambda rows: jax.tree.map(lambda a: a[rows], batch.x)
        first = order[:number]
        return Batch(part(first), batch.y[first, : classes // 2]), part(order[number:])

    (support, _), (query, foreign) = halves(episode.support), halves(episode.query)
    return Episode(support, query), foreign


LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Of the intervals that predicted distributions of numbers are judged by."""


def log_density(prediction: Normal, query: Batch) -> Array:
    """The mean logarithm of the density of a target, in nats, each by itself, `[]`: see `distributions.nats`."""
    return -nats(prediction, query)[0]


def root_mean_squared_error(prediction: Array | Normal, query: Batch) -> Array:
    """The root of the mean squared error of an episode, in units of the target, `[]`; of a distribution, of its mean.

    The mean of roots over episodes is below the root of the mean.
    """
    mean = prediction.mean if isinstance(prediction, Normal) else prediction
    return jnp.sqrt(mean_loss(mean, query, squared_error))


def coverage(prediction: Normal, query: Batch) -> Array:
    """What `coverage_error` is made of, `[LEVELS + 1]`: for each level how many targets are in the interval about the
    mean that is to hold so large a share of them, and last how many targets there are.

        |y - mean| <= z(level) sqrt(variance),   z the quantile of |N(0, 1)|
    """
    query = examples(query)
    weight = jnp.ones_like(query.y[:, 0]) if query.weight is None else (query.weight > 0).astype(query.y.dtype)
    real = jnp.ones_like(query.y[0]) if query.classes is None else (query.classes > 0).astype(query.y.dtype)
    there = weight[:, None] * real[None]
    wide = jnp.asarray(special.ndtri((1 + np.array(LEVELS)) / 2), query.y.dtype)
    away = jnp.abs(query.y - prediction.mean) / jnp.sqrt(prediction.variance + TINY)
    inside = (jnp.where(there > 0, away, jnp.inf)[None] <= wide[:, None, None]).astype(query.y.dtype)
    return jnp.append(jnp.sum(inside, axis=(1, 2)), jnp.sum(there))


def coverage_error(counts: np.ndarray) -> float:
    """How far the shares of targets that predicted intervals hold are from what these are to hold, on average over
    `LEVELS`, by counts of `coverage` of all episodes together.

        mean over levels |inside / n - level|

    Source: Kuleshov et al. 2018, Accurate Uncertainties for Deep Learning Using Calibrated Regression, section 3.5,
    with the absolute difference where it has the square. https://arxiv.org/abs/1807.00263
    """
    *inside, number = np.asarray(counts, np.float64).reshape(-1, len(LEVELS) + 1).sum(0)
    return float(np.abs(np.array(inside) / number - LEVELS).mean())


def coverage_floor(counts: np.ndarray) -> float:
    """The `coverage_error` that perfect intervals have on average for so many targets, if they are independent, as
    targets of one task are not quite: see `calibration_floor`."""
    number = np.asarray(counts, np.float64).reshape(-1, len(LEVELS) + 1).sum(0)[-1]
    return float((_deviation(np.full(len(LEVELS), number), np.array(LEVELS)) / number).mean())


def _deviation(n: np.ndarray, p: np.ndarray) -> np.ndarray:
    """`E|X - n p|` of binomial numbers, as in `calibration_floor`."""
    v = np.minimum(np.floor(n * p) + 1, n)
    choices = special.gammaln(n + 1) - special.gammaln(v + 1) - special.gammaln(n - v + 1)
    return 2 * v * np.exp(choices + special.xlogy(v, p) + special.xlog1py(n - v + 1, -p))
