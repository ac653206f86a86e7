"""The form of what draws."""

from collections.abc import Callable
from typing import Any, NamedTuple

from jax import Array

from jmeta.losses import weighted_mean
from jmeta.types import Batch, Learner, Metrics


class Generator(NamedTuple):
    """A learner of what examples are like, and what makes new ones.

    Attributes:
        learner: its `predict` is `(adapted, x) -> [N]`, the logarithm of the density at each example, in nats; its
            loss is the mean of it, negative. Targets have no part: any `y [N, 1]` will do.
        sample: `(adapted, key, n) -> [n, ...]`, new examples.
    """

    learner: Learner
    sample: Callable[[Any, Array, int], Array]


def density_loss(log_density: Array, query: Batch) -> tuple[Array, Metrics]:
    """The mean negative log-density `[N]` of queries in nats an example, for `jmeta.types.episodic`.

    loss = -sum_n w_n log p(x_n) / sum_n w_n
    """
    loss = weighted_mean(-log_density, query.weight)
    return loss, Metrics(loss)
