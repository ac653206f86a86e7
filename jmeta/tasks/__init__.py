"""Families of tasks that are drawn from a distribution; catalog.py has a row for each."""

from jmeta.tasks.linear import linear_sampler
from jmeta.tasks.quadratic import quadratic_posterior, quadratic_sampler
from jmeta.tasks.sinusoid import sinusoid_sampler

__all__ = ["linear_sampler", "quadratic_posterior", "quadratic_sampler", "sinusoid_sampler"]
