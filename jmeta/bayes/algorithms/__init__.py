"""Bayesian learners, one a file."""

from jmeta.bayes.algorithms.deep_kernel import deep_kernel, joint_sampler, marginal, predictive

__all__ = ["deep_kernel", "joint_sampler", "marginal", "predictive"]
