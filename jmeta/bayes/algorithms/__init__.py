"""Bayesian learners, one a file."""

from jmeta.bayes.algorithms.alpaca import alpaca
from jmeta.bayes.algorithms.bayesian_maml import bayesian_maml, each, mixture
from jmeta.bayes.algorithms.deep_kernel import deep_kernel, joint_sampler, marginal, predictive

__all__ = ["alpaca", "bayesian_maml", "deep_kernel", "each", "joint_sampler", "marginal", "mixture", "predictive"]
