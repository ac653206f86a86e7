"""Learners of streams, one a file; catalog.py has a row for each."""

from jmeta.continual.algorithms.anml import anml, gated
from jmeta.continual.algorithms.class_means import class_means
from jmeta.continual.algorithms.gemcl import gemcl, most_likely, predictive
from jmeta.continual.algorithms.oml import oml
from jmeta.continual.algorithms.running_ridge import running_ridge

__all__ = ["anml", "class_means", "gated", "gemcl", "most_likely", "oml", "predictive", "running_ridge"]
