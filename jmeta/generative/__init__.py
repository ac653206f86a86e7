"""Meta-generative models: learners that predict a distribution of functions from a few of their values, and generators
of drawings after a few of a class."""

from jmeta.generative.algorithms import attentive_drawing, conditional_process, evidence, importance, set_vae, tnp
from jmeta.generative.types import Generator, density_loss

__all__ = [
    "Generator",
    "attentive_drawing",
    "conditional_process",
    "density_loss",
    "evidence",
    "importance",
    "set_vae",
    "tnp",
]
