"""Functions to find the maximum of, whose maximum is known, and episodes of their values."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import Partial

from jmeta.checks import check_above_zero, check_intervals, check_sizes
from jmeta.types import Batch, Episode

Interval = tuple[float, float]


class Objective(NamedTuple):
    """A function on candidates.

    Attributes:
        x: candidates `[N, D]`.
        y: its values `[N, 1]`, without noise.
        best: the largest of them `[]`.
    """

    x: Array
    y: Array
    best: Array


def gaussian_objectives(*, points: int = 41, length: float = 0.1) -> Partial:
    """Draws of a Gaussian process on evenly spaced points of 0 to 1: `draw(key) -> Objective`.

        f ~ N(0, K),   K_ij = exp(-(x_i - x_j)^2 / (2 length^2))

    Raises:
        ValueError: for fewer than two points, or a length that is not above 0 or not finite.
    """
    x = _line(points)
    check_above_zero("length", length)
    wide = np.linspace(0, 1, points)
    size, along = np.linalg.eigh(np.exp(-((wide[:, None] - wide[None]) ** 2) / (2 * length**2)))
    root = along * np.sqrt(np.maximum(size, 0))  # in float64, where no jitter is needed
    return Partial(_draw_gaussian, x, jnp.asarray(root, x.dtype))


def _draw_gaussian(x: Array, root: Array, key: Array) -> Objective:
    y = jnp.matmul(root, jax.random.normal(key, (len(root), 1), root.dtype), precision=jax.lax.Precision.HIGHEST)
    return Objective(x, y, jnp.max(y))


def ripple_objectives(
    *,
    points: int = 41,
    height: Interval = (-1.0, 1.0),
    curvature: Interval = (2.0, 8.0),
    depth: Interval = (0.2, 0.6),
    ripples: Interval = (4.0, 6.0),
) -> Partial:
    """Parabolas with ripples on evenly spaced points of 0 to 1, with many local maxima: `draw(key) -> Objective`.

        f(x) = h - a (x - c)^2 - b (1 - cos(2 pi k (x - c)))
        h ~ U[height],   a ~ U[curvature],   b ~ U[depth],   k ~ U[ripples],   c ~ any of the points

    The largest value is h, at c, and there alone. What all functions have in common, ripples of like width under one
    arch, can be learned beforehand.

    Args:
        points: candidates, 2 or more.
        height: the interval of h.
        curvature: the interval of a, above 0.
        depth: the interval of b, half of how deep a ripple is, 0 or more.
        ripples: the interval of k, ripples between 0 and 1.

    Raises:
        ValueError: for fewer than two points, an interval that is not of two finite numbers, the smaller first, or one
            that is below what is said.
    """
    check_intervals(height=height, curvature=curvature, depth=depth, ripples=ripples)
    check_above_zero("curvature", curvature[0], "for one maximum")
    if depth[0] < 0:
        raise ValueError(f"depth must be 0 or more, got {depth}")
    ends = jnp.asarray([height, curvature, depth, ripples], float)
    return Partial(_draw_ripples, _line(points), ends)


def _draw_ripples(x: Array, ends: Array, key: Array) -> Objective:
    number_key, middle_key = jax.random.split(key)
    h, a, b, k = ends[:, 0] + jax.random.uniform(number_key, (4,), ends.dtype) * (ends[:, 1] - ends[:, 0])
    away = x - x[jax.random.randint(middle_key, (), 0, len(x))][None]
    return Objective(x, h - a * jnp.square(away) - b * (1 - jnp.cos(2 * jnp.pi * k * away)), h)


def values_sampler(draw: Callable[[Array], Objective], *, most: int, queries: int) -> Partial:
    """Sampler of episodes of a family: some values of a function to learn from, and others to predict.

        n ~ U{0..most} candidates are seen: those nearest to a random one, up to noise of a random size

    So they lie close together or all over, as an optimizer's do, and their places say nothing of values that are not
    seen. Queries are any of the other candidates.

    Args:
        draw: `key -> Objective`.
        most: rows of the support set, 1 or more, of which n have a weight of 1 and the others 0.
        queries: values to predict, 1 or more.

    Raises:
        ValueError: if a number is below 1, or both are more than there are candidates.
    """
    check_sizes(most=most, queries=queries)
    candidates = len(jax.eval_shape(draw, jax.random.key(0)).x)
    if most + queries > candidates:
        raise ValueError(
            f"most and queries must be {candidates} together, the candidates, or less, got {most + queries}"
        )
    return Partial(functools.partial(_draw_values, most, queries), draw if isinstance(draw, Partial) else Partial(draw))


def _draw_values(most: int, queries: int, draw: Partial, key: Array) -> Episode:
    f_key, n_key, middle_key, width_key, noise_key, query_key = jax.random.split(key, 6)
    x, y, _ = draw(f_key)
    middle = x[jax.random.randint(middle_key, (), 0, len(x))]
    away = jnp.sqrt(jnp.sum(jnp.square(x - middle[None]), axis=1))
    width = 2.0 ** jax.random.uniform(width_key, (), x.dtype, -5.0, 2.0) * jnp.max(away)
    near = jnp.argsort(away + width * jax.random.normal(noise_key, away.shape, away.dtype))
    seen = jnp.arange(len(x)) < jax.random.randint(n_key, (), 0, most + 1)
    others = near[jnp.argsort(jnp.where(seen, 2.0, jax.random.uniform(query_key, seen.shape)))[:queries]]
    near = near[:most]
    return Episode(Batch(x[near], y[near], seen[:most].astype(y.dtype)), Batch(x[others], y[others]))


def _line(points: int) -> Array:
    check_sizes(points=points)
    if points < 2:
        raise ValueError(f"points must be 2 or more, got {points}")
    return jnp.linspace(0.0, 1.0, points)[:, None]
