"""The mean and the sum of the gradients, which are those of the mean and the sum of the losses."""

import jax
import jax.numpy as jnp
from jax import Array

from jmeta.mtl.aggregators.gram import leaves
from jmeta.mtl.types import Aggregator
from jmeta.types import Params


def mean() -> Aggregator:
    """The mean of the gradients: linear scalarisation with equal weights.

        A(J) = sum_i g_i / T

    Returns:
        An `Aggregator`.

    Example:
        >>> mean()(jnp.array([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]])).tolist()
        [1.0, 1.0, 1.0]
    """

    def aggregate(jacobian: Params, key: Array | None = None) -> Params:
        leaves(jacobian)
        return jax.tree.map(lambda leaf: jnp.mean(leaf, axis=0), jacobian)

    return aggregate


def total() -> Aggregator:
    """The sum of the gradients.

        A(J) = sum_i g_i

    Returns:
        An `Aggregator`.

    Example:
        >>> total()(jnp.array([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]])).tolist()
        [2.0, 2.0, 2.0]
    """

    def aggregate(jacobian: Params, key: Array | None = None) -> Params:
        leaves(jacobian)
        return jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), jacobian)

    return aggregate
