"""Models of several tasks: one file each, in the form of `jmeta.mtl.types.MultiTaskModel`."""

from jmeta.mtl.models.cross_stitch import CrossStitchParams, cross_stitch
from jmeta.mtl.models.experts import ExpertParams, mixture_of_experts
from jmeta.mtl.models.hard_sharing import SharedParams, hard_sharing

__all__ = [
    "CrossStitchParams",
    "ExpertParams",
    "SharedParams",
    "cross_stitch",
    "hard_sharing",
    "mixture_of_experts",
]
