"""Sine curves to regress (Finn et al. 2017)."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.tree_util import Partial

from jmeta.checks import check_sizes
from jmeta.types import Batch, Episode


def sinusoid_sampler(
    *,
    shot: int,
    query_shot: int,
    amplitude: tuple[float, float] = (0.1, 5.0),
    phase: tuple[float, float] = (0.0, jnp.pi),
    interval: tuple[float, float] = (-5.0, 5.0),
) -> Partial:
    """Sampler of sine curves to regress, as in MAML.

        y = a sin(x - b),   a ~ U[amplitude],   b ~ U[phase],   x ~ U[interval]

    Args:
        shot: support points.
        query_shot: query points.
        amplitude: the interval of a; an upper end of 0.5, seen in some ports, makes errors a hundred times smaller.
        phase: the interval of b, in radians.
        interval: the interval of x.

    Returns:
        `sample(key) -> Episode`, with x and y `[N, 1]`.

    Example:
        >>> episode = sinusoid_sampler(shot=10, query_shot=5)(jax.random.key(0))
        >>> episode.support.x.shape, episode.query.y.shape
        ((10, 1), (5, 1))

    Raises:
        ValueError: if a number of points is below 1.

    Source: Finn et al. 2017, section 5.1, with the sign of the phase as in the authors' code.
    """
    check_sizes(shot=shot, query_shot=query_shot)
    return Partial(functools.partial(_draw_sinusoid, shot, query_shot, amplitude, phase, interval))


def _draw_sinusoid(shot: int, query_shot: int, amplitude: Any, phase: Any, interval: Any, key: Array) -> Episode:
    a_key, b_key, x_key = jax.random.split(key, 3)
    a = jax.random.uniform(a_key, (), minval=amplitude[0], maxval=amplitude[1])
    b = jax.random.uniform(b_key, (), minval=phase[0], maxval=phase[1])
    x = jax.random.uniform(x_key, (shot + query_shot, 1), minval=interval[0], maxval=interval[1])
    y = a * jnp.sin(x - b)
    return Episode(Batch(x[:shot], y[:shot]), Batch(x[shot:], y[shot:]))
