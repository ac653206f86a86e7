"""Meta-generative models: learners that predict a distribution of functions from a few of their values."""

from jmeta.generative.algorithms import (
    JointNormal,
    attentive_parts,
    attentive_process,
    conditional_parts,
    conditional_process,
    convolutional_parts,
    convolutional_process,
    elbo,
    importance_weighted,
    joint_log_density,
    joint_process,
    latent_process,
    likelihood,
    tnp,
    transformer_parts,
)
from jmeta.generative.autoregressive import autoregressive, autoregressive_sampler
from jmeta.generative.heads import Parts, independent

__all__ = [
    "JointNormal",
    "Parts",
    "attentive_parts",
    "attentive_process",
    "autoregressive",
    "autoregressive_sampler",
    "conditional_parts",
    "conditional_process",
    "convolutional_parts",
    "convolutional_process",
    "elbo",
    "importance_weighted",
    "independent",
    "joint_log_density",
    "joint_process",
    "latent_process",
    "likelihood",
    "tnp",
    "transformer_parts",
]
