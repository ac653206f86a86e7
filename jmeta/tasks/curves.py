"""Curves of Gaussian processes, whose kernel differs from task to task."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.tree_util import Partial

from jmeta.checks import check_above_zero, check_intervals, check_sizes
from jmeta.cholesky import cholesky
from jmeta.types import Batch, Episode

Interval = tuple[float, float]


class Curve(NamedTuple):
    """A task, and what it was drawn from: the length `[]` of its kernel and the scale `[]` of its values."""

    episode: Episode
    length: Array
    scale: Array


def gp_curves(
    *,
    seen: tuple[int, int] = (3, 46),
    points: int = 49,
    least: int = 3,
    length: Interval = (0.1, 0.6),
    scale: Interval = (0.1, 1.0),
    noise: float = 0.02,
    interval: Interval = (-2.0, 2.0),
) -> Partial:
    """Curves of Gaussian processes seen with noise, with what each was drawn from: `draw(key) -> Curve`.

        l ~ U[length],   s ~ U[scale],   f ~ GP(0, s^2 exp(-(a - b)^2 / (2 l^2))),   x ~ U[interval]
        y = f(x) + e,   e ~ N(0, noise^2)
        n ~ U{seen} points are the support set,   m ~ U{least..points - n} are queries

    By default it is the task of the papers on bootstrapping and transformer neural processes. What the process itself
    reaches on it is in `jmeta.generative.exact`.

    Args:
        seen: the fewest and the most points to learn from. The support set has as many rows as the most, of which those
            beyond n have a weight of 0.
        points: the most points of a task, of both sets.
        least: the fewest queries. A query set has `points - seen[0]` rows, of which those beyond m have a weight of 0.
        length: the interval of l, above 0.
        scale: the interval of s, above 0.
        noise: standard deviation, above 0.
        interval: of x.

    Raises:
        ValueError: for an interval that is not of two finite numbers, the smaller first, or is not above 0 where it
            must be; for a noise that is not above 0, or points that are too few.

    Source: Lee et al. 2020, Bootstrapping Neural Processes, https://arxiv.org/abs/2008.02956, as in the authors' code;
    Nguyen and Grover 2022, Transformer Neural Processes, section 5.1, https://arxiv.org/abs/2207.04179
    """
    check_intervals(seen=seen, length=length, scale=scale, interval=interval)
    check_sizes(least=least, points=points)
    for name, value in (("length", length[0]), ("scale", scale[0]), ("noise", noise)):
        check_above_zero(name, value)
    if seen[0] < 0 or seen[1] < 1 or seen[1] + least > points:
        raise ValueError(
            f"seen must be 0 to {points - least}, which leaves {least} of {points} points to predict, got {seen}"
        )
    ends = jnp.asarray([length, scale, interval], float)
    return Partial(functools.partial(_draw, (int(seen[0]), int(seen[1])), points, least, noise), ends)


def gp_curves_sampler(draw: Partial | None = None) -> Partial:
    """Sampler of the tasks of `gp_curves` alone, by default of its own: `sample(key) -> Episode`."""
    return Partial(_episode, gp_curves() if draw is None else draw)


def _episode(draw: Partial, key: Array) -> Episode:
    return draw(key).episode


def _draw(seen: tuple[int, int], points: int, least: int, noise: float, ends: Array, key: Array) -> Curve:
    keys = jax.random.split(key, 5)
    place = lambda key, ends, shape=(): ends[0] + (ends[1] - ends[0]) * jax.random.uniform(key, shape, ends.dtype)
    length, scale = place(keys[0], ends[0]), place(keys[1], ends[1])
    x = place(keys[2], ends[2], (points, 1))
    k = jnp.square(scale) * jnp.exp(-jnp.square((x - x[:, 0][None]) / length) / 2)
    root = cholesky(k, jnp.full(points, noise**2, x.dtype))
    y = jnp.matmul(root, jax.random.normal(keys[3], (points, 1), x.dtype), precision=jax.lax.Precision.HIGHEST)
    n_key, m_key = jax.random.split(keys[4])
    n = jax.random.randint(n_key, (), seen[0], seen[1] + 1)
    m = jax.random.randint(m_key, (), least, points - n + 1)
    row = jnp.arange(points)
    known, asked = ((row < n).astype(x.dtype), ((row >= n) & (row < n + m)).astype(x.dtype))
    first, last = seen
    support = Batch(x[:last], y[:last], known[:last])
    return Curve(Episode(support, Batch(x[first:], y[first:], asked[first:])), length, scale)
