"""Bayesian meta-learning: learners whose posterior is computed, kernels, and the algebra of Gaussian processes."""

from jmeta.bayes.algorithms import deep_kernel
from jmeta.bayes.kernels import Kernel, linear, matern, rbf

__all__ = ["Kernel", "deep_kernel", "linear", "matern", "rbf"]
