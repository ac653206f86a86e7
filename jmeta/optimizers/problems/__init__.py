"""Inner problems: what rules learn from, one kind a file."""

from jmeta.optimizers.problems.classification import classification
from jmeta.optimizers.problems.quadratics import least_squares, quadratic, released_least_squares

__all__ = ["classification", "least_squares", "quadratic", "released_least_squares"]
