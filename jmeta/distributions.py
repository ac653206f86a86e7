"""What a learner of numbers may predict: a normal distribution of each target, and how it is judged."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from jmeta.losses import weighted_mean
from jmeta.types import Batch, Metrics, examples, filled, wide

TINY = 1e-12
"""What a density adds to a variance, so that one of 0 has a logarithm. It caps a density at 12.9 nats a target; a floor
of 0.1 on the standard deviation, as some neural processes have it, would cap it at 1.38."""


class Normal(NamedTuple):
    """Independent normal distributions of the targets of examples.

    Attributes:
        mean: `[N, targets]`, in units of the target.
        variance: `[N, targets]`, 0 or more, of the target as it is seen, noise included.
    """

    mean: Array
    variance: Array


def log_density(prediction: Normal, y: Array) -> Array:
    """Logarithm of the density at targets `[N, targets]`, in nats, of each target.

        log p = -(y - mean)^2 / (2 v) - log(2 pi v) / 2,   v = variance + 1e-12

    Example:
        >>> standard = Normal(jnp.zeros((1, 1)), jnp.ones((1, 1)))
        >>> round(log_density(standard, jnp.array([[1.0]])).item(), 4)
        -1.4189
    """
    mean, variance = prediction
    variance = variance + TINY
    return -jnp.square(y - mean) / (2 * variance) - jnp.log(2 * jnp.pi * variance) / 2


def nats(prediction: Normal, query: Batch) -> tuple[Array, Metrics]:
    """The mean negative log-likelihood in nats a target, for `jmeta.types.episodic`.

        loss = sum_n w_n mean_k -log p(y_nk) / sum_n w_n        k over targets that are no padding

    It is of each target by itself, and not of all queries jointly. Rows of weight 0 count nothing, NaN too.

    Raises:
        ValueError: if the prediction is not of the shape of the targets.
    """
    query = examples(query)
    if prediction.mean.shape != query.y.shape or prediction.variance.shape != query.y.shape:
        raise ValueError(
            f"the model predicts a mean {list(prediction.mean.shape)} and a variance "
            f"{list(prediction.variance.shape)} where the targets are {list(query.y.shape)}: give it as many outputs"
        )
    mean, variance = (wide(a) for a in filled(tuple(prediction), query.weight))
    real = jnp.ones_like(query.y[0]) if query.classes is None else (query.classes > 0).astype(query.y.dtype)
    there = jnp.broadcast_to(real[None] > 0, mean.shape)
    known = Normal(jnp.where(there, mean, 0), jnp.where(there, variance, 1))
    each = jnp.where(there, -log_density(known, query.y), 0)
    loss = weighted_mean(jnp.sum(each, axis=1) / jnp.maximum(jnp.sum(real), 1), query.weight)
    return loss, Metrics(loss)
