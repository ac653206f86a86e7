"""Continual learning: learners of streams, whose support set is the stream in order, and learners of sequences of
tasks, which meet each batch once and may keep a memory of fixed size. `jmeta.tasks` has the streams and sequences."""

from jmeta.continual import online
from jmeta.continual.algorithms import anml, class_means, gated, gemcl, most_likely, oml, predictive, running_ridge
from jmeta.continual.metrics import TaskMetrics, draw_accuracies, task_metrics
from jmeta.continual.online import Learned, Online, ewc, ftml, la_maml, learn_sequence, mer, replay, sgd

__all__ = [
    "Learned",
    "Online",
    "TaskMetrics",
    "anml",
    "class_means",
    "draw_accuracies",
    "ewc",
    "ftml",
    "gated",
    "gemcl",
    "la_maml",
    "learn_sequence",
    "mer",
    "most_likely",
    "oml",
    "online",
    "predictive",
    "replay",
    "running_ridge",
    "sgd",
    "task_metrics",
]
