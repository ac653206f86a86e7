"""Estimates of the meta-gradient of an unroll, one a file: `(state, theta, key) -> (gradient, state, losses)`."""

from jmeta.optimizers.estimators.backprop import full_backprop, truncated_backprop
from jmeta.optimizers.estimators.evolution import es
from jmeta.optimizers.estimators.noise_reuse import noise_reuse
from jmeta.optimizers.estimators.persistent import pes

__all__ = ["es", "full_backprop", "noise_reuse", "pes", "truncated_backprop"]
