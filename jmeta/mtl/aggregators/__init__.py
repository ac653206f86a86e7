"""One gradient made of those of several tasks: one file each, in the form of `jmeta.mtl.types.Aggregator`."""

from jmeta.mtl.aggregators.aligned import aligned_mtl, aligned_mtl_weights
from jmeta.mtl.aggregators.cagrad import cagrad, cagrad_weights
from jmeta.mtl.aggregators.graddrop import grad_drop
from jmeta.mtl.aggregators.gram import by_weights, gram
from jmeta.mtl.aggregators.imtl import imtl_g, imtl_g_weights
from jmeta.mtl.aggregators.mean import mean, total
from jmeta.mtl.aggregators.mgda import mgda, mgda_weights
from jmeta.mtl.aggregators.nash import nash_mtl, nash_mtl_weights
from jmeta.mtl.aggregators.pcgrad import pcgrad, pcgrad_weights
from jmeta.mtl.aggregators.upgrad import dual_projection, dual_projection_weights, upgrad, upgrad_weights

__all__ = [
    "aligned_mtl",
    "aligned_mtl_weights",
    "by_weights",
    "cagrad",
    "cagrad_weights",
    "dual_projection",
    "dual_projection_weights",
    "grad_drop",
    "gram",
    "imtl_g",
    "imtl_g_weights",
    "mean",
    "mgda",
    "mgda_weights",
    "nash_mtl",
    "nash_mtl_weights",
    "pcgrad",
    "pcgrad_weights",
    "total",
    "upgrad",
    "upgrad_weights",
]
