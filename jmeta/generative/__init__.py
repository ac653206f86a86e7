"""Meta-generative models: learners that predict a distribution of functions from a few of their values, and generators
of drawings after a few of a class."""

from jmeta.generative.algorithms import (
    JointNormal,
    attentive_drawing,
    attentive_parts,
    attentive_process,
    conditional_parts,
    conditional_process,
    convolutional_parts,
    convolutional_process,
    elbo,
    evidence,
    importance,
    importance_weighted,
    joint_log_density,
    joint_process,
    latent_process,
    likelihood,
    set_vae,
    tnp,
    transformer_parts,
)
from jmeta.generative.autoregressive import autoregressive, autoregressive_sampler
from jmeta.generative.heads import Parts, independent
from jmeta.generative.types import Generator, density_loss

__all__ = [
    "Generator",
    "JointNormal",
    "Parts",
    "attentive_drawing",
    "attentive_parts",
    "attentive_process",
    "autoregressive",
    "autoregressive_sampler",
    "conditional_parts",
    "conditional_process",
    "convolutional_parts",
    "convolutional_process",
    "density_loss",
    "elbo",
    "evidence",
    "importance",
    "importance_weighted",
    "independent",
    "joint_log_density",
    "joint_process",
    "latent_process",
    "likelihood",
    "set_vae",
    "tnp",
    "transformer_parts",
]
