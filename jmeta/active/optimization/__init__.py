"""Bayesian optimization: where to evaluate a function next, by any learner that predicts a normal distribution."""

from jmeta.active.optimization.acquisitions import (
    expected_improvement,
    max_variance,
    probability_of_improvement,
    random,
    thompson,
    upper_confidence_bound,
)
from jmeta.active.optimization.exact import two_evaluations
from jmeta.active.optimization.search import optimize
from jmeta.active.optimization.types import Acquisition, Run, Sampler, View

__all__ = [
    "Acquisition",
    "Run",
    "Sampler",
    "View",
    "expected_improvement",
    "max_variance",
    "optimize",
    "probability_of_improvement",
    "random",
    "thompson",
    "two_evaluations",
    "upper_confidence_bound",
]
