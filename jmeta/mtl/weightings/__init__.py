"""Weights for the losses of several tasks: one file each, in the form of `jmeta.mtl.types.Weighting`."""

from jmeta.mtl.weightings.dwa import DWAState, dynamic_weight_average
from jmeta.mtl.weightings.famo import FAMOState, famo
from jmeta.mtl.weightings.fixed import fixed, uniform
from jmeta.mtl.weightings.gradnorm import GradNormState, gradnorm
from jmeta.mtl.weightings.lookahead import LookaheadState, lookahead
from jmeta.mtl.weightings.random_weights import random_weights
from jmeta.mtl.weightings.scale_invariant import scale_invariant
from jmeta.mtl.weightings.uncertainty import uncertainty

__all__ = [
    "DWAState",
    "FAMOState",
    "GradNormState",
    "LookaheadState",
    "dynamic_weight_average",
    "famo",
    "fixed",
    "gradnorm",
    "lookahead",
    "random_weights",
    "scale_invariant",
    "uncertainty",
    "uniform",
]
