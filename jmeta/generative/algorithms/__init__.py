"""Neural processes, one a file."""

from jmeta.generative.algorithms.conditional_process import conditional_process
from jmeta.generative.algorithms.tnp import tnp

__all__ = ["conditional_process", "tnp"]
