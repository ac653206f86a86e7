"""Bayesian learners, one a file."""

from jmeta.bayes.algorithms.abml import abml
from jmeta.bayes.algorithms.alpaca import alpaca
from jmeta.bayes.algorithms.bayesian_maml import bayesian_maml, each, mixture, moments
from jmeta.bayes.algorithms.deep_kernel import deep_kernel, joint_sampler, marginal, predictive
from jmeta.bayes.algorithms.deep_kernel_classifier import deep_kernel_classifier
from jmeta.bayes.algorithms.meta_qda import meta_qda
from jmeta.bayes.algorithms.platipus import platipus
from jmeta.bayes.algorithms.versa import versa

__all__ = [
    "abml",
    "alpaca",
    "bayesian_maml",
    "deep_kernel",
    "deep_kernel_classifier",
    "each",
    "joint_sampler",
    "marginal",
    "meta_qda",
    "mixture",
    "moments",
    "platipus",
    "predictive",
    "versa",
]
