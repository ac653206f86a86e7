"""Learners of a sequence of tasks that is met once: `init` and `step`, in the form of `Online`, with a memory of fixed
size where they have one."""

from jmeta.continual.online.catalog import ONLINE
from jmeta.continual.online.ewc import ewc, fisher
from jmeta.continual.online.ftml import ftml
from jmeta.continual.online.la_maml import la_maml
from jmeta.continual.online.memory import Memory
from jmeta.continual.online.mer import mer
from jmeta.continual.online.replay import replay
from jmeta.continual.online.sgd import sgd
from jmeta.continual.online.training import Learned, learn_sequence
from jmeta.continual.online.types import Online

__all__ = [
    "ONLINE",
    "Learned",
    "Memory",
    "Online",
    "ewc",
    "fisher",
    "ftml",
    "la_maml",
    "learn_sequence",
    "mer",
    "replay",
    "sgd",
]
