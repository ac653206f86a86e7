"""Multi-task learning: models that share, weights for losses, rules for gradients, relatedness, and the join with
meta-learning. The estimators for scikit-learn's users are in `jmeta.mtl.estimators`, which needs scikit-learn."""

from jmeta.mtl import aggregators, models, relatedness, weightings
from jmeta.mtl.aggregators import aligned_mtl, cagrad, grad_drop, imtl_g, mgda, nash_mtl, pcgrad, upgrad
from jmeta.mtl.join import joined, learn, pairs_sampler
from jmeta.mtl.models import cross_stitch, hard_sharing, mixture_of_experts
from jmeta.mtl.relatedness import gradient_cosines, group_tasks, task_affinity, task_covariance, task_evidence
from jmeta.mtl.tasks import binary_cross_entropy, predictions, present_tasks, task_losses
from jmeta.mtl.training import MTLMetrics, MTLState, init_state, make_run, make_step
from jmeta.mtl.types import Aggregator, MultiTaskModel, View, Weighting
from jmeta.mtl.weightings import (
    dynamic_weight_average,
    famo,
    fixed,
    gradnorm,
    lookahead,
    random_weights,
    scale_invariant,
    uncertainty,
    uniform,
)

__all__ = [
    "Aggregator",
    "MTLMetrics",
    "MTLState",
    "MultiTaskModel",
    "View",
    "Weighting",
    "aggregators",
    "aligned_mtl",
    "binary_cross_entropy",
    "cagrad",
    "cross_stitch",
    "dynamic_weight_average",
    "famo",
    "fixed",
    "grad_drop",
    "gradient_cosines",
    "gradnorm",
    "group_tasks",
    "hard_sharing",
    "imtl_g",
    "init_state",
    "joined",
    "learn",
    "lookahead",
    "make_run",
    "make_step",
    "mgda",
    "mixture_of_experts",
    "models",
    "nash_mtl",
    "pairs_sampler",
    "pcgrad",
    "predictions",
    "present_tasks",
    "random_weights",
    "relatedness",
    "scale_invariant",
    "task_affinity",
    "task_covariance",
    "task_evidence",
    "task_losses",
    "uncertainty",
    "uniform",
    "upgrad",
    "weightings",
]
