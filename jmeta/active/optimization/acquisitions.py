"""Acquisitions: how much a candidate is worth evaluating, given what is known of the function."""

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.stats import norm

from jmeta.active.optimization.types import Acquisition, Sampler, View
from jmeta.checks import check_above_zero

LEAST = 1e-18
"""Of a variance that is divided by."""


def expected_improvement(view: View) -> Array:
    """By how much a value is above the best so far, on average: what one last evaluation gains.

        EI = s (z cdf(z) + pdf(z)),   z = (mean - best) / s,   s = sqrt(variance)

    Source: Jones et al. 1998, Efficient Global Optimization, eq. 15. https://doi.org/10.1023/A:1008306431147
    """
    spread, z = _standard(view)
    return spread * jnp.maximum(z * norm.cdf(z) + norm.pdf(z), 0)


def probability_of_improvement(view: View) -> Array:
    """`z = (mean - best) / sqrt(variance)`, with which the probability cdf(z) of a value above the best rises.

    Scores are z itself, since the probability rounds to 0 or 1. Source: Kushner 1964. https://doi.org/10.1115/1.3653121
    """
    return _standard(view)[1]


def upper_confidence_bound(spreads: float = 2.0) -> Acquisition:
    """`mean + spreads sqrt(variance)`.

    Raises:
        ValueError: if `spreads` is not above 0 or not finite.

    Source: Srinivas et al. 2010, Gaussian Process Optimization in the Bandit Setting. https://arxiv.org/abs/0912.3995
    """
    check_above_zero("spreads", spreads)
    return lambda view: view.mean + spreads * jnp.sqrt(view.variance)


def thompson(sample: Sampler | None = None) -> Acquisition:
    """The values of a function that is drawn of the posterior, a new one each time.

    Args:
        sample: of the learner, such as `bayes.algorithms.joint_sampler(encoder, kernel)`. None draws each value by
            itself, which is all that can be done for a learner that predicts each by itself.
    """

    def score(view: View) -> Array:
        if sample is not None:
            return sample(view.adapted, view.x, view.key)[:, 0]
        noise = jax.random.normal(view.key, view.mean.shape, view.mean.dtype)
        return view.mean + jnp.sqrt(view.variance) * noise

    return score


def max_variance(view: View) -> Array:
    """The variance: to learn the function everywhere."""
    return view.variance


def random(view: View) -> Array:
    """Any candidate."""
    return jax.random.uniform(view.key, view.mean.shape, view.mean.dtype)


def _standard(view: View) -> tuple[Array, Array]:
    """The standard deviation, and how many of them the mean is above the best."""
    spread = jnp.sqrt(jnp.maximum(view.variance, LEAST))
    return spread, (view.mean - view.best) / spread
