"""Families of tasks that are drawn from a distribution; catalog.py has a row for each."""

from jmeta.tasks.functions import linear_sampler, quadratic_posterior, quadratic_sampler, sinusoid_sampler
from jmeta.tasks.streams import stream_sampler

__all__ = ["linear_sampler", "quadratic_posterior", "quadratic_sampler", "sinusoid_sampler", "stream_sampler"]
