"""Families of tasks that are drawn from a distribution; catalog.py has a row for each."""

from jmeta.tasks.functions import linear_sampler, quadratic_posterior, quadratic_sampler, sinusoid_sampler
from jmeta.tasks.objectives import Objective, gaussian_objectives, ripple_objectives, values_sampler
from jmeta.tasks.streams import stream_sampler

__all__ = [
    "Objective",
    "gaussian_objectives",
    "linear_sampler",
    "quadratic_posterior",
    "quadratic_sampler",
    "ripple_objectives",
    "sinusoid_sampler",
    "stream_sampler",
    "values_sampler",
]
