"""Neural processes and generators of drawings, one a file."""

from jmeta.generative.algorithms.attentive_drawing import attentive_drawing
from jmeta.generative.algorithms.attentive_process import attentive_parts, attentive_process
from jmeta.generative.algorithms.conditional_process import conditional_parts, conditional_process
from jmeta.generative.algorithms.convolutional_process import convolutional_parts, convolutional_process
from jmeta.generative.algorithms.joint_process import JointNormal, joint_log_density, joint_process
from jmeta.generative.algorithms.latent_process import elbo, importance_weighted, latent_process, likelihood
from jmeta.generative.algorithms.set_vae import evidence, importance, set_vae
from jmeta.generative.algorithms.tnp import tnp, transformer_parts

__all__ = [
    "JointNormal", "attentive_drawing", "attentive_parts", "attentive_process", "conditional_parts",
    "conditional_process", "convolutional_parts", "convolutional_process", "elbo", "evidence", "importance",
    "importance_weighted", "joint_log_density", "joint_process", "latent_process", "likelihood", "set_vae", "tnp",
    "transformer_parts",
]  # fmt: skip
