"""Active learning: which label to ask for next, by fixed rules and by learned ones, for any learner of the library."""

from jmeta.active import choices, exact, rules
from jmeta.active.learned import acquisition, acquisition_loss, fit_acquisition, statistics
from jmeta.active.pool import area, ask
from jmeta.active.query import query
from jmeta.active.types import Asked, Choice, Rule, View

__all__ = [
    "Asked",
    "Choice",
    "Rule",
    "View",
    "acquisition",
    "acquisition_loss",
    "area",
    "ask",
    "choices",
    "exact",
    "fit_acquisition",
    "query",
    "rules",
    "statistics",
]
