"""Bayesian meta-learning: learners whose predictions know how sure they are, kernels, and what the best one reaches."""

from jmeta.bayes import exact
from jmeta.bayes.algorithms import (
    abml,
    alpaca,
    bayesian_maml,
    deep_kernel,
    deep_kernel_classifier,
    each,
    meta_qda,
    mixture,
    moments,
    platipus,
    versa,
)
from jmeta.bayes.kernels import Kernel, added, linear, matern, rbf, spectral_mixture

__all__ = [
    "Kernel",
    "abml",
    "added",
    "alpaca",
    "bayesian_maml",
    "deep_kernel",
    "deep_kernel_classifier",
    "each",
    "exact",
    "linear",
    "matern",
    "meta_qda",
    "mixture",
    "moments",
    "platipus",
    "rbf",
    "spectral_mixture",
    "versa",
]
