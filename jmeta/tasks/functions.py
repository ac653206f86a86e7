"""Functions to learn: sine curves and parabolas to regress, and planes that split vectors."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.tree_util import Partial

from jmeta.checks import check_intervals, check_sizes
from jmeta.drawing import example_major
from jmeta.types import Batch, Episode


def sinusoid_sampler(
    *,
    shot: int,
    query_shot: int,
    amplitude: tuple[float, float] = (0.1, 5.0),
    phase: tuple[float, float] = (0.0, jnp.pi),
    interval: tuple[float, float] = (-5.0, 5.0),
) -> Partial:
    """Sampler of sine curves to regress, as in MAML: `sample(key) -> Episode`, with x and y `[N, 1]`.

        y = a sin(x - b),   a ~ U[amplitude],   b ~ U[phase],   x ~ U[interval]

    Args:
        shot: support points.
        query_shot: query points.
        amplitude: the interval of a; an upper end of 0.5, seen in some ports, makes errors a hundred times smaller.
        phase: the interval of b, in radians.
        interval: the interval of x.

    Example:
        >>> episode = sinusoid_sampler(shot=10, query_shot=5)(jax.random.key(0))
        >>> episode.support.x.shape, episode.query.y.shape
        ((10, 1), (5, 1))

    Raises:
        ValueError: if a number of points is below 1, or an interval is not of two finite numbers, the smaller first.

    Source: Finn et al. 2017, section 5.1, with the sign of the phase as in the authors' code.
    """
    check_sizes(shot=shot, query_shot=query_shot)
    check_intervals(amplitude=amplitude, phase=phase, interval=interval)
    return Partial(functools.partial(_draw_sinusoid, shot, query_shot, amplitude, phase, interval))


def _draw_sinusoid(shot: int, query_shot: int, amplitude: Any, phase: Any, interval: Any, key: Array) -> Episode:
    a_key, b_key, x_key = jax.random.split(key, 3)
    a = jax.random.uniform(a_key, (), minval=amplitude[0], maxval=amplitude[1])
    b = jax.random.uniform(b_key, (), minval=phase[0], maxval=phase[1])
    x = jax.random.uniform(x_key, (shot + query_shot, 1), minval=interval[0], maxval=interval[1])
    y = a * jnp.sin(x - b)
    return Episode(Batch(x[:shot], y[:shot]), Batch(x[shot:], y[shot:]))


def quadratic_sampler(*, shot: int, query_shot: int, noise: float = 0.1) -> Partial:
    """Sampler of parabolas with normal coefficients, seen with noise.

        y = c_0 + c_1 x + c_2 x^2 + e,   c ~ N(0, I),   x ~ U[-2, 2],   e ~ N(0, noise^2)

    Queries are without noise, so that their error is a learner's own; no learner has a smaller one on average than
    `quadratic_posterior`.

    Returns:
        `sample(key) -> Episode`, with x and y `[shot, 1]` and `[query_shot, 1]`.

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
    return Partial(functools.partial(_draw_quadratic, shot, query_shot, noise))


def _draw_quadratic(shot: int, query_shot: int, noise: float, key: Array) -> Episode:
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
        x: `[M, 1]`, as are the two results.
        noise: of the sampler, above 0.

    Source: Bishop 2006, Pattern Recognition and Machine Learning, equations 3.50 to 3.59, with a prior of variance 1.
    """
    known, asked = _powers(support.x), _powers(x)
    precision = jnp.eye(3, dtype=known.dtype) + known.T @ known / noise**2
    mean = asked @ jnp.linalg.solve(precision, known.T @ support.y / noise**2)
    return mean, jnp.sum(asked * jnp.linalg.solve(precision, asked.T).T, axis=-1, keepdims=True)


def _powers(x: Array) -> Array:
    return jnp.concatenate([jnp.ones_like(x), x, jnp.square(x)], axis=-1)


def linear_regression_sampler(*, prior: Sequence[float], noise: float, shot: int, query_shot: int) -> Partial:
    """Sampler of linear functions whose weights have a normal prior, seen with noise.

        y = w . x + e,   w ~ N(0, diag(prior)),   x ~ N(0, I),   e ~ N(0, noise^2)

    Queries are without noise, so that their squared error is that of the weights, `|w_hat - w|^2` on average. What the
    best learner reaches, and what the best steps of gradient descent do, is in `jmeta.bayes.exact`.

    Args:
        prior: variances `[D]`, above 0.
        noise: standard deviation, 0 or more.
        shot, query_shot: examples of a task, 1 or more.

    Returns:
        `sample(key) -> Episode`, with x `[shot, D]` and y `[shot, 1]`.

    Raises:
        ValueError: if a number is out of its range.
    """
    check_sizes(shot=shot, query_shot=query_shot)
    if not 0 <= noise < float("inf"):
        raise ValueError(f"noise must be 0 or more and finite, got {noise}")
    if not len(prior) or not all(0 < variance < float("inf") for variance in prior):
        raise ValueError(f"prior must be variances above 0 and finite, one for each input, got {tuple(prior)}")
    return Partial(functools.partial(_draw_linear_regression, shot, query_shot, noise), jnp.asarray(prior, float))


def _draw_linear_regression(shot: int, query_shot: int, noise: float, prior: Array, key: Array) -> Episode:
    w_key, x_key, e_key = jax.random.split(key, 3)
    w = jnp.sqrt(prior) * jax.random.normal(w_key, prior.shape)
    x = jax.random.normal(x_key, (shot + query_shot, len(prior)))
    y = jnp.sum(x * w[None], axis=1, keepdims=True)
    seen = y[:shot] + noise * jax.random.normal(e_key, (shot, 1))
    return Episode(Batch(x[:shot], seen), Batch(x[shot:], y[shot:]))


def linear_sampler(*, features: int, shot: int, query_shot: int) -> Partial:
    """Sampler of binary tasks, each split by its own plane; the planes of all tasks are alike.

        w = w0 + v,   v ~ N(0, I / features),   x ~ N(0, I),   class = [w . x > 0]

    with w0 = (1, ..., 1) / sqrt(features) the same in all tasks: what a meta-learner can find out beforehand.

    Returns:
        `sample(key) -> Episode`, with x `[2 * shot, features]` and y one-hot `[2 * shot, 2]`, half of either class.

    Raises:
        ValueError: if `features` or a number of examples is below 1.
    """
    check_sizes(shot=shot, query_shot=query_shot)
    if features < 1:
        raise ValueError(f"features must be 1 or more, got {features}")
    return Partial(functools.partial(_draw_linear, features, shot, query_shot))


def _draw_linear(features: int, shot: int, query_shot: int, key: Array) -> Episode:
    w_key, x_key = jax.random.split(key)
    w = (1.0 + jax.random.normal(w_key, (features,))) / jnp.sqrt(float(features))
    x = jax.random.normal(x_key, (2, shot + query_shot, features))
    # Mirroring a point through the origin changes its side and nothing else, as x and -x are equally likely.
    side = jnp.where(x @ w > 0, 1.0, -1.0) * jnp.array([[-1.0], [1.0]])
    x = x * side[..., None]
    return Episode(example_major(x[:, :shot]), example_major(x[:, shot:]))
