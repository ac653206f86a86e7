"""Joint densities and functions of learners that predict each query by itself (Bruinsma et al. 2023)."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from jmeta.distributions import log_density
from jmeta.types import Batch, Episode, Learner, Params, examples, together


def autoregressive(learner: Learner) -> Callable[[Params, Episode], Array]:
    """The logarithm of the density of all queries jointly, by a learner's predictions of one after another.

        log p(y_m | support, (x_1, y_1), ..., (x_{m-1}, y_{m-1}))       for each query m, in their order

    Args:
        learner: one whose `predict` returns a `Normal`, or what has its mean and variance.

    Returns:
        `(params, episode) -> [M, targets]`, in nats, whose sum over queries is the joint log-density; 0 for queries of
        weight 0, which are not learned from either. Each query is an adaptation to all before it, in one scan. For a
        learner that is no exact posterior, another order of the queries gives another density.

    Source: Bruinsma et al. 2023, Autoregressive Conditional Neural Processes, section 2.
    https://arxiv.org/abs/2303.14468
    """

    def density(params: Params, episode: Episode) -> Array:
        support, query = map(examples, episode)
        both = together(support, query)
        weight = jnp.ones_like(both.y[:, 0]) if both.weight is None else both.weight
        seen = len(support.y)

        def step(nothing: None, m: Array) -> tuple[None, Array]:
            known = (jnp.arange(len(weight)) < seen + m).astype(weight.dtype)
            x = jax.tree.map(lambda a: lax.dynamic_slice_in_dim(a, m, 1), query.x)
            found = learner.predict(learner.adapt(params, both._replace(weight=weight * known)), x)
            density = log_density(found, lax.dynamic_slice_in_dim(query.y, m, 1))[0]
            return None, jnp.where(weight[seen + m] > 0, density, 0)

        return lax.scan(step, None, jnp.arange(len(query.y)))[1]

    return density


def autoregressive_sampler(learner: Learner) -> Callable[[Params, Batch, Any, Array], Array]:
    """Functions that a learner stands for: each value is drawn, and learned from before the next.

    Args:
        learner: as in `autoregressive`.

    Returns:
        `(params, support, x [M, ...], key) -> [M, targets]`, noise included.
    """

    def sample(params: Params, support: Batch, x: Any, key: Array) -> Array:
        support = examples(support)
        empty = jnp.zeros((len(jax.tree.leaves(x)[0]), support.y.shape[1]), support.y.dtype)
        both = together(support, Batch(x, empty, jnp.zeros_like(empty[:, 0]), support.classes))

        def step(known: Batch, given: tuple[Array, Array]) -> tuple[Batch, Array]:
            m, key = given
            one = jax.tree.map(lambda a: lax.dynamic_slice_in_dim(a, m, 1), x)
            found = learner.predict(learner.adapt(params, known), one)
            y = found.mean + jnp.sqrt(found.variance) * jax.random.normal(key, found.mean.shape, found.mean.dtype)
            row = len(support.y) + m
            weight = known.weight if known.weight is None else known.weight.at[row].set(1)
            return known._replace(y=known.y.at[row].set(y[0]), weight=weight), y[0]

        keys = jax.random.split(key, len(empty))
        return lax.scan(step, both, (jnp.arange(len(empty)), keys))[1]

    return sample
