"""Meta-generative models: learners that predict a distribution of functions from a few of their values."""

from jmeta.generative.algorithms import conditional_process, tnp

__all__ = ["conditional_process", "tnp"]
