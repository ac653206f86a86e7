"""Neural processes and generators of drawings, one a file."""

from jmeta.generative.algorithms.attentive_drawing import attentive_drawing
from jmeta.generative.algorithms.conditional_process import conditional_process
from jmeta.generative.algorithms.set_vae import evidence, importance, set_vae
from jmeta.generative.algorithms.tnp import tnp

__all__ = ["attentive_drawing", "conditional_process", "evidence", "importance", "set_vae", "tnp"]
