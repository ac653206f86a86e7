"""Weights for the losses of several tasks: in the form of `jmeta.mtl.types.Weighting`."""

from jmeta.mtl.weightings.dwa import DWAState, dynamic_weight_average
from jmeta.mtl.weightings.famo import famo
from jmeta.mtl.weightings.gradnorm import GradNormState, gradnorm
from jmeta.mtl.weightings.lookahead import lookahead
from jmeta.mtl.weightings.rule import LogitsState
from jmeta.mtl.weightings.stateless import fixed, random_weights, scale_invariant, uniform
from jmeta.mtl.weightings.uncertainty import uncertainty

__all__ = [
    "DWAState",
    "GradNormState",
    "LogitsState",
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
