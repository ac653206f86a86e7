"""Neural processes that predict all queries jointly, as a Gaussian process does (Bruinsma et al. 2021)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jmeta.cholesky import cholesky, forward
from jmeta.distances import product
from jmeta.distributions import TINY
from jmeta.generative.heads import Parts
from jmeta.types import Batch, Episode, Learner, Metrics, learner


class JointNormal(NamedTuple):
    """A normal distribution of all examples jointly, for each target; targets are independent of each other.

        covariance = F F' + diag(noise)

    Attributes:
        mean: `[N, targets]`.
        factor: F, `[N, targets, R]`.
        noise: variances `[N, targets]`.
    """

    mean: Array
    factor: Array
    noise: Array

    @property
    def variance(self) -> Array:
        """`[N, targets]`, of each example by itself, so that this can be used as a `Normal`."""
        return jnp.sum(jnp.square(self.factor), axis=-1) + self.noise


def joint_log_density(prediction: JointNormal, y: Array, weight: Array | None = None) -> Array:
    """Logarithm `[targets]` of the density at targets `[N, targets]` jointly, in nats, of rows of weight above 0.

    log p = -|L^-1 (y - mean)|^2 / 2 - log det L - n log(2 pi) / 2,   L L' = covariance
    """
    there = jnp.ones_like(y[:, 0]) if weight is None else (weight > 0).astype(y.dtype)

    def one(mean: Array, factor: Array, noise: Array, y: Array) -> Array:
        factor = factor * there[:, None]
        root = cholesky(product(factor, factor.T), jnp.where(there > 0, noise + TINY, 1))
        whitened = forward(root, jnp.where(there > 0, y - mean, 0)[:, None])
        logs = jnp.sum(jnp.log(jnp.diagonal(root))) + jnp.sum(there) * jnp.log(2 * jnp.pi) / 2
        return -jnp.sum(jnp.square(whitened)) / 2 - logs

    return jax.vmap(one, in_axes=(1, 1, 1, 1))(*prediction, y)


def joint_process(parts: Parts) -> Learner:
    """A process whose predictions of queries are correlated, by a covariance of low rank.

        m, s, f = parts(x),   cov(y_i, y_j) = f(x_i) . f(x_j) / R + [i = j] exp(2 s_i)

    Args:
        parts: of `2 + R` outputs, such as `conditional_parts(encoder, pairs, nets.MLP((64,), 2 + 16))`, or
            `transformer_parts` with `nets.ProcessTransformer(outputs=2 + 16)`.

    Returns:
        A `Learner` whose `predict` returns a `JointNormal`, with a mean and a variance of each query as a `Normal` has.
        The loss is the negative logarithm of the joint density of all queries, divided by their number, in nats a
        target. Rows of weight 0 are not there, and others count alike.

    Raises:
        ValueError: from `predict`, for parts of fewer than three outputs.

    Differs from the paper: covariances are products of features, the "linear" ones of Markou et al. 2022, Practical
    Conditional Neural Processes via Tractable Dependent Predictions, https://arxiv.org/abs/2203.08775, and not a
    convolution over pairs of places; features are divided by the root of their number, so that variances start alike.
    Source: Bruinsma et al. 2021, The Gaussian Neural Process. https://arxiv.org/abs/2101.03606
    """

    def predict(adapted: Any, x: Any, weight: Array | None = None) -> JointNormal:
        out = parts.outputs(adapted, x, weight)
        rank = out.shape[-1] - 2
        if rank < 1:
            raise ValueError(f"parts must have three outputs or more, a mean, a spread and features, got {rank + 2}")
        return JointNormal(out[..., 0], out[..., 2:] * rank**-0.5, jnp.exp(2 * out[..., 1]))

    def loss(params: Any, episode: Episode) -> tuple[Array, Metrics]:
        query = episode.query
        value = joint_nats(predict(parts.adapt(params, episode.support), query.x, query.weight), query)
        return value, Metrics(value)

    return learner(parts.init, parts.adapt, predict, loss)


def joint_nats(prediction: JointNormal, query: Batch) -> Array:
    """The negative logarithm of the joint density divided by the number of targets that are there; 0 for none."""
    return -by_target(joint_log_density(prediction, query.y, query.weight), query)


def by_target(nats: Array, query: Batch) -> Array:
    """Nats `[targets]` of all queries jointly, as nats a target `[]`, over what is there."""
    real = jnp.ones_like(nats) if query.classes is None else (query.classes > 0).astype(nats.dtype)
    rows = jnp.ones_like(query.y[:, 0]) if query.weight is None else (query.weight > 0).astype(nats.dtype)
    return jnp.sum(jnp.where(real > 0, nats, 0)) / jnp.maximum(jnp.sum(rows) * jnp.sum(real), 1)
