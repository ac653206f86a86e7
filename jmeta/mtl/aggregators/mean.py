"""The mean and the sum of the gradients, which are those of the mean and the sum of the losses."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from jmeta.mtl.aggregators.gram import leaves
from jmeta.mtl.types import Aggregator
from jmeta.types import Params


def mean() -> Aggregator:
    """The mean of the gradients: linear scalarisation with equal weights.

        A(J) = sum_i g_i / T

    Example:
        >>> mean()(jnp.array([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]])).tolist()
        [1.0, 1.0, 1.0]
    """
    return _reduced(jnp.mean)


def total() -> Aggregator:
    """The sum of the gradients.

        A(J) = sum_i g_i

    Example:
        >>> total()(jnp.array([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]])).tolist()
        [2.0, 2.0, 2.0]
    """
    return _reduced(jnp.sum)


def _reduced(function: Callable[..., Array]) -> Aggregator:
    def aggregate(jacobian: Params, key: Array | None = None) -> Params:
        leaves(jacobian)
        return jax.tree.map(lambda leaf: function(leaf, axis=0), jacobian)

    return aggregate
