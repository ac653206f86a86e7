"""A network that writes numbers for a layer on features, how many the features say."""

from collections.abc import Sequence

import jax
from flax import linen as nn
from jax import Array


class LayerWriter(nn.Module):
    """An MLP that gives for D features 2 D + 2 numbers: a mean and a spread of each weight of a layer and of its bias,
    as `jmeta.bayes.versa` reads them.

    Spreads start small, so that what is drawn at first is near the means.

    Attributes:
        features: units of each hidden layer.
    """

    features: Sequence[int] = (128,)

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """`[N, D]` to `[N, 2 D + 2]`."""
        size = x.shape[-1] + 1
        for units in self.features:
            x = nn.relu(nn.Dense(units)(x))
        start = lambda key, shape, dtype: jax.numpy.zeros(shape, dtype).at[size:].set(-3.0)
        return nn.Dense(2 * size, bias_init=start)(x)
