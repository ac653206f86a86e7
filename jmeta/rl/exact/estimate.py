"""Means of simulations."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from jmeta.report.statistics import student_t


class Estimate(NamedTuple):
    """A mean over tasks, and half of its 95 % interval; any shape."""

    mean: Array
    interval: Array


def estimate(values: Array) -> Estimate:
    """The mean of `values [tasks, ...]` over tasks, of which there must be 2 or more.

    interval = t(tasks - 1) sqrt(variance / tasks)
    """
    spread = jnp.std(values, axis=0, ddof=1)
    return Estimate(jnp.mean(values, axis=0), student_t(len(values) - 1) * spread / len(values) ** 0.5)
