"""Losses of each example, and their mean over a batch."""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import optax
from jax import Array

from jmeta.checks import NEVER, native
from jmeta.types import Batch, Judge, Metrics, Params, examples, filled, wide

LossFn = Callable[[Array, Array], Array]
"""`(prediction [N, k], y [N, k]) -> [N]`. The prediction of a class that is padding is `NEVER`, see `possible`: a logit
that has no part in a softmax or a sigmoid, and by which other losses tell padding."""


def cross_entropy(logits: Array, y: Array) -> Array:
    """Cross-entropy of the softmax in nats, `[N, way], [N, way] -> [N]`; labels may be soft.

        loss_n = -sum_k y_nk log softmax(logits_n)_k

    Example:
        >>> round(cross_entropy(jnp.array([[0.0, 0.0]]), jnp.array([[1.0, 0.0]]))[0].item(), 4)  # log 2
        0.6931
    """
    if logits.shape[-1] < 2:
        raise ValueError(
            "cross_entropy tells two classes or more apart, got one output: give loss_fn=jmeta.losses.squared_error "
            "for numbers, or the model as many outputs as there are classes"
        )
    return optax.softmax_cross_entropy(logits, y)


def smoothed_cross_entropy(smoothing: float) -> LossFn:
    """Cross-entropy against labels that leave a share for all classes: `(logits [N, way], y [N, way]) -> [N]`.

        loss_n = cross_entropy(logits_n, (1 - smoothing) y_n + smoothing / classes)

    with the classes those that are no padding. A code that spreads a share e over the other classes alone, as that of
    MetaOptNet, has smoothing = e way / (way - 1).

    Raises:
        ValueError: if `smoothing` is not 0 or more and below 1.

    Example:
        >>> loss = smoothed_cross_entropy(0.5)
        >>> round(loss(jnp.array([[0.0, 0.0, NEVER]]), jnp.array([[1.0, 0.0, 0.0]]))[0].item(), 4)  # log 2
        0.6931

    Source: Szegedy et al. 2016, Rethinking the Inception architecture for computer vision, section 7.
    https://arxiv.org/abs/1512.00567
    """
    if not 0 <= smoothing < 1:
        raise ValueError(f"smoothing must be 0 or more and below 1, got {smoothing}: 0.1 is usual")

    def loss(logits: Array, y: Array) -> Array:
        real = (logits != NEVER).astype(y.dtype)
        share = real / jnp.maximum(jnp.sum(real, axis=-1, keepdims=True), 1)
        return cross_entropy(logits, (1 - smoothing) * y + smoothing * share)

    return loss


def of_numbers(loss_fn: Any) -> Any:
    """Mark a loss of targets that are numbers, beside which an accuracy would mean nothing."""
    loss_fn.of_numbers = True
    return loss_fn


@of_numbers
def squared_error(prediction: Array, y: Array) -> Array:
    """Squared error `[N, targets], [N, targets] -> [N]`, without a factor of a half; padded classes have no part.

        loss_n = mean_k (prediction_nk - y_nk)^2

    Example:
        >>> squared_error(jnp.array([[3.0], [1.0]]), jnp.array([[1.0], [1.0]])).tolist()
        [4.0, 0.0]
    """
    chex.assert_equal_shape([prediction, y])
    return _over_real(lambda prediction: jnp.square(prediction - y), prediction)


def squared_score_error(logits: Array, y: Array) -> Array:
    """Squared error of scores in 0 to 1, of which the label's should be 1 and others 0: `[N, way], [N, way] -> [N]`.

        loss_n = sum_k y_nk (1 - s_nk)^2 + (1 - y_nk) s_nk^2    with s = sigmoid(logits), 0 for padded classes

    Example:
        >>> squared_score_error(jnp.array([[0.0, 0.0, NEVER]]), jnp.array([[1.0, 0.0, 0.0]])).tolist()
        [0.5]

    Source: Sung et al. 2018, Learning to Compare, eq. 2. https://arxiv.org/abs/1711.06025
    """
    chex.assert_equal_shape([logits, y])
    scores = jax.nn.sigmoid(logits)
    return jnp.sum(y * jnp.square(1 - scores) + (1 - y) * jnp.square(scores), axis=-1)


@of_numbers
def gaussian(mean: Array, y: Array, raw: Array) -> Array:
    """Negative log-likelihood `[N]` of a Gaussian with a learned spread, in nats; all three are `[N, targets]`.

        sigma  = 0.1 + 0.9 softplus(raw)                                                  (raw may be any numbers)
        loss_n = mean_k (y_nk - mean_nk)^2 / (2 sigma_nk^2) + log sigma_nk + log(2 pi) / 2

    Example:
        >>> raw = jnp.log(jnp.expm1(jnp.ones((1, 1))))  # of which the softplus is 1, and sigma too
        >>> round(gaussian(jnp.zeros((1, 1)), jnp.zeros((1, 1)), raw).item(), 4)
        0.9189

    Source: Garnelo et al. 2018, Conditional Neural Processes, the authors' code for the form of sigma.
    https://arxiv.org/abs/1807.01613
    """
    chex.assert_equal_shape([mean, y, raw])
    sigma = 0.1 + 0.9 * jax.nn.softplus(raw)
    constant = jnp.log(2 * jnp.pi) / 2
    return _over_real(lambda mean: jnp.square((y - mean) / sigma) / 2 + jnp.log(sigma) + constant, mean)


def _over_real(loss: Callable[[Array], Array], prediction: Array) -> Array:
    """The mean `[N]` of a loss `[N, k] -> [N, k]` over the targets that are not padding."""
    real = prediction != NEVER
    values = jnp.where(real, loss(jnp.where(real, prediction, 0)), 0)
    return jnp.sum(values, axis=-1) / jnp.maximum(jnp.sum(real, axis=-1), 1).astype(values.dtype)


def weighted_mean(values: Array, weight: Array | None) -> Array:
    """`sum(weight * values) / sum(weight)` of values `[N]`; None weighs all alike, and no weight at all gives 0."""
    if not len(values):
        return jnp.zeros((), values.dtype)
    if weight is None:
        return jnp.mean(values)
    total = jnp.sum(weight)
    return jnp.sum(weight * jnp.where(weight != 0, values, 0)) / jnp.where(total > 0, total, 1)


def possible(logits: Array, classes: Array | None) -> Array:
    """Logits `[N, way]` with `NEVER` for the classes that are padding, see `Batch`."""
    return logits if classes is None else jnp.where(classes > 0, logits, NEVER)


def mean_loss(prediction: Array, batch: Batch, loss_fn: LossFn) -> Array:
    """The mean of `loss_fn` over examples and classes that are no padding; ValueError if labels differ in shape.

    An example whose label can't be predicted, since the support set has none of its class, adds nothing.
    """
    prediction, batch = judged(prediction, batch)
    mass = jnp.abs(batch.y)
    label = (mass > 0) & (mass == jnp.max(mass, axis=-1, keepdims=True))
    never = jnp.any(label & (prediction == NEVER), axis=-1)  # and not where it is less, as what has diverged may be
    return weighted_mean(jnp.where(never, 0, loss_fn(prediction, batch.y)), batch.weight)


def judged(prediction: Array, batch: Batch) -> tuple[Array, Batch]:
    """A prediction as losses and metrics compute with it, and `examples` of what it is judged by: in float32 or better,
    `filled`, and `possible` alone; ValueError if labels differ in shape."""
    batch, prediction = examples(batch), jnp.asarray(native(prediction))
    if prediction.shape != batch.y.shape:
        raise ValueError(
            f"the model predicts {prediction.shape} where the labels are {batch.y.shape}: "
            "give it as many outputs as the episodes have classes or targets"
        )
    return possible(filled(wide(prediction), batch.weight), batch.classes), batch


def hits(logits: Array, y: Array) -> Array:
    """1 where the largest logit is at the label, else 0, as where one is NaN: `[N, way], [N, way] -> [N]`."""
    found = (jnp.argmax(logits, axis=-1) == jnp.argmax(y, axis=-1)) & (jnp.max(logits, axis=-1) > NEVER)
    return found.astype(logits.dtype)


def accuracy(prediction: Array, query: Batch) -> Array:
    """Share of examples whose largest logit is at the label; ValueError for single numbers, which have no classes."""
    logits, query = judged(prediction, query)
    if query.y.shape[-1] == 1:
        raise ValueError(
            "accuracy is of classes, and these targets are single numbers: measure jmeta.evaluation.mean_squared_error"
        )
    return weighted_mean(hits(logits, query.y), query.weight)


def query_loss(prediction: Array, query: Batch, loss_fn: LossFn) -> tuple[Array, Metrics]:
    """The mean loss and its `Metrics`, as `Learner.loss` returns them; without an accuracy where targets are numbers:
    those of a single column, and those of a loss of numbers."""
    loss = mean_loss(prediction, query, loss_fn)
    numbers = query.y.shape[-1] == 1 or getattr(loss_fn, "of_numbers", False)
    return loss, Metrics(loss, None if numbers else accuracy(prediction, query))


def judge(loss_fn: LossFn) -> Judge:
    """`query_loss` by a loss, for `jmeta.types.episodic`."""
    return lambda prediction, query: query_loss(prediction, query, loss_fn)


def loss_on(batch: Batch, predict: Callable[..., Array], loss_fn: LossFn) -> Callable[[Params], Array]:
    """The mean loss of a batch as a function of what is moved to lower it, by `predict(params, x, weight)`."""
    return lambda params: mean_loss(predict(params, batch.x, batch.weight), batch, loss_fn)
