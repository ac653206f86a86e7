"""Where tasks come from: families that are drawn from a distribution, objectives to optimize, streams of classes, and
sequences of tasks; catalog.py has a row for each family."""

from jmeta.tasks.curves import Curve, gp_curves, gp_curves_sampler
from jmeta.tasks.functions import (
    linear_regression_sampler,
    linear_sampler,
    quadratic_posterior,
    quadratic_sampler,
    sinusoid_sampler,
)
from jmeta.tasks.objectives import Objective, gaussian_objectives, ripple_objectives, values_sampler
from jmeta.tasks.pixels import fourier_features, pixels_sampler, places
from jmeta.tasks.sequences import masked, permutations, permuted_tasks, rotated_tasks, split_tasks
from jmeta.tasks.streams import stream_sampler
from jmeta.tasks.waves import SINUSOID_E, SINUSOID_H, Waves, fixed_sampler, wave_sampler

__all__ = [
    "SINUSOID_E",
    "SINUSOID_H",
    "Curve",
    "Objective",
    "Waves",
    "fixed_sampler",
    "fourier_features",
    "gaussian_objectives",
    "gp_curves",
    "gp_curves_sampler",
    "linear_regression_sampler",
    "linear_sampler",
    "masked",
    "permutations",
    "permuted_tasks",
    "pixels_sampler",
    "places",
    "quadratic_posterior",
    "quadratic_sampler",
    "ripple_objectives",
    "rotated_tasks",
    "sinusoid_sampler",
    "split_tasks",
    "stream_sampler",
    "values_sampler",
    "wave_sampler",
]
