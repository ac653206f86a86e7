"""Parabolas to regress, of which the best answer is known: that of Bayes."""

import functools

import jax
import jax.numpy as jnp
from jax import Array
from jax.tree_util import Partial

from jmeta.checks import check_sizes
from jmeta.types import Batch, Episode


def quadratic_sampler(*, shot: int, query_shot: int, noise: float = 0.1) -> Partial:
    """Sampler of parabolas with normal coefficients, seen with noise.

        y = c_0 + c_1 x + c_2 x^2 + e,   c ~ N(0, I),   x ~ U[-2, 2],   e ~ N(0, noise^2)

    Queries are without noise, so that their error is a learner's own. No learner has a smaller one on average than
    `quadratic_posterior`.

    Args:
        shot: support points.
        query_shot: query points.
        noise: standard deviation of e in the support set, 0 or more.

    Returns:
        `sample(key) -> Episode`, with x and y `[N, 1]`.

    Raises:
        ValueError: if a number of points is below 1, or `noise` is negative or not finite.

    Example:
        >>> episode = quadratic_sampler(shot=5, query_shot=7)(jax.random.key(0))
        >>> episode.support.x.shape, episode.query.y.shape
        ((5, 1), (7, 1))
    """
    check_sizes(shot=shot, query_shot=query_shot)
    if not 0 <= noise < float("inf"):
        raise ValueError(f"noise must be 0 or more and finite, got {noise}")
    return Partial(functools.partial(_draw, shot, query_shot, noise))


def _draw(shot: int, query_shot: int, noise: float, key: Array) -> Episode:
    c_key, x_key, e_key = jax.random.split(key, 3)
    x = jax.random.uniform(x_key, (shot + query_shot, 1), minval=-2.0, maxval=2.0)
    y = _powers(x) @ jax.random.normal(c_key, (3, 1))
    seen = y[:shot] + noise * jax.random.normal(e_key, (shot, 1))
    return Episode(Batch(x[:shot], seen), Batch(x[shot:], y[shot:]))


def quadratic_posterior(support: Batch, x: Array, noise: float = 0.1) -> tuple[Array, Array]:
    """The mean and the variance of a parabola at `x`, given its support set.

        A = I + P'P / noise^2,   mean = p(x)' A^-1 P'y / noise^2,   variance = p(x)' A^-1 p(x)

    with p(x) = (1, x, x^2) and P those of the support. The mean has the smallest expected squared error of all
    predictions, and the variance is that error.

    Args:
        support: x and y `[N, 1]`.
        x: `[M, 1]`.
        noise: of the sampler, above 0.

    Returns:
        Two arrays `[M, 1]`.

    Source: Bishop 2006, Pattern Recognition and Machine Learning, equations 3.50 to 3.59, with a prior of variance 1.
    """
    known, asked = _powers(support.x), _powers(x)
    precision = jnp.eye(3, dtype=known.dtype) + known.T @ known / noise**2
    mean = asked @ jnp.linalg.solve(precision, known.T @ support.y / noise**2)
    return mean, jnp.sum(asked * jnp.linalg.solve(precision, asked.T).T, axis=-1, keepdims=True)


def _powers(x: Array) -> Array:
    return jnp.concatenate([jnp.ones_like(x), x, jnp.square(x)], axis=-1)
