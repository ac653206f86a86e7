"""Waves about a sloping line, seen with noise: a benchmark of few tasks, of which the best answer can be computed."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.tree_util import Partial

from jmeta.checks import check_above_zero, check_intervals, check_sizes
from jmeta.types import Batch, Episode


class Waves(NamedTuple):
    """A distribution of tasks `y = level + slope x + a sin(f (x - shift)) + e`, with x ~ U[interval].

    Attributes:
        amplitude: the interval that a is uniform on.
        frequency: likewise f, in radians a unit of x; two equal numbers for a frequency that is known.
        slope: mean and standard deviation of a normal distribution.
        level: likewise.
        shift: likewise.
        noise: standard deviation of e.
        interval: of x.
    """

    amplitude: tuple[float, float] = (0.7, 1.3)
    frequency: tuple[float, float] = (1.5, 1.5)
    slope: tuple[float, float] = (0.5, 0.2)
    level: tuple[float, float] = (5.0, 0.1)
    shift: tuple[float, float] = (0.0, 0.1)
    noise: float = 0.1
    interval: tuple[float, float] = (-5.0, 5.0)


SINUSOID_E = Waves()
"""Of a known frequency. Source: Rothfuss et al. 2021, PACOH, the authors' code. https://arxiv.org/abs/2002.05551"""
SINUSOID_H = Waves(amplitude=(0.7, 1.4), frequency=(1.0, 2.0), noise=0.2)
"""Harder: the frequency differs. Source: MetaL-Benchmark. https://github.com/yilun-wu/MetaL-Benchmark"""


def wave_sampler(*, waves: Waves, shot: int, query_shot: int) -> Partial:
    """Sampler of waves: `sample(key) -> Episode`, with x and y `[N, 1]`, and noise on support and queries.

    Args:
        waves: of what tasks there are.
        shot, query_shot: points of a task, 1 or more.

    Raises:
        ValueError: if a number is out of its range.

    Example:
        >>> episode = wave_sampler(waves=SINUSOID_E, shot=10, query_shot=100)(jax.random.key(0))
        >>> episode.support.x.shape, episode.query.y.shape
        ((10, 1), (100, 1))
    """
    check_sizes(shot=shot, query_shot=query_shot)
    check_waves(waves)
    return Partial(functools.partial(_draw, waves, shot, query_shot))


def check_waves(waves: Waves) -> None:
    """ValueError for intervals without a place in them, or standard deviations that are not above 0."""
    check_intervals(amplitude=waves.amplitude, frequency=waves.frequency, interval=waves.interval)
    for name in ("slope", "level", "shift"):
        check_above_zero(f"the standard deviation of {name}", getattr(waves, name)[1])
    check_above_zero("noise", waves.noise)


def _draw(waves: Waves, shot: int, query_shot: int, key: Array) -> Episode:
    keys = jax.random.split(key, 7)
    uniform = lambda key, interval, shape=(): jax.random.uniform(key, shape, minval=interval[0], maxval=interval[1])
    normal = lambda key, of: of[0] + of[1] * jax.random.normal(key)
    a, f = uniform(keys[0], waves.amplitude), uniform(keys[1], waves.frequency)
    slope, level, shift = (normal(keys[2], waves.slope), normal(keys[3], waves.level), normal(keys[4], waves.shift))
    x = uniform(keys[5], waves.interval, (shot + query_shot, 1))
    y = level + slope * x + a * jnp.sin(f * (x - shift)) + waves.noise * jax.random.normal(keys[6], x.shape)
    return Episode(Batch(x[:shot], y[:shot]), Batch(x[shot:], y[shot:]))


def fixed_sampler(tasks: Batch) -> Partial:
    """Sampler of a few tasks that are all there are: `sample(key) -> Episode` of one of them, in two parts.

    Each time some of its points, from none to all but one, are the support set and the others the queries, by weights,
    so that both parts have all N rows. By the kernels of `jmeta.bayes` the two together are one and the same task,
    however it is parted.

    Args:
        tasks: x `[tasks, N, ...]` and y `[tasks, N, targets]`, each point of weight 1.

    Raises:
        ValueError: for tasks of fewer than two points.
    """
    if tasks.y.ndim != 3 or tasks.y.shape[1] < 2:
        raise ValueError(f"tasks must be y [tasks, N, targets] of two points or more each, got {list(tasks.y.shape)}")
    return Partial(_parted, tasks)


def _parted(tasks: Batch, key: Array) -> Episode:
    which, order, number = jax.random.split(key, 3)
    one = jax.tree.map(lambda a: a[jax.random.randint(which, (), 0, len(a))], (tasks.x, tasks.y))
    n = one[1].shape[0]
    seen = jax.random.permutation(order, n) < jax.random.randint(number, (), 0, n)
    known = seen.astype(one[1].dtype)
    x, y = one
    return Episode(Batch(x, y, known), Batch(x, y, 1 - known))
