"""Binary tasks, each split by its own plane."""

import functools

import jax
import jax.numpy as jnp
from jax import Array
from jax.tree_util import Partial

from jmeta.checks import check_sizes
from jmeta.episodes import example_major
from jmeta.types import Episode


def linear_sampler(*, features: int, shot: int, query_shot: int) -> Partial:
    """Sampler of binary tasks, each split by its own plane; the planes of all tasks are alike.

        w = w0 + v,   v ~ N(0, I / features),   x ~ N(0, I),   class = [w . x > 0]

    with w0 = (1, ..., 1) / sqrt(features) the same in all tasks: what a meta-learner can find out beforehand.

    Args:
        features: dimension of x.
        shot: support examples a class.
        query_shot: query examples a class.

    Returns:
        `sample(key) -> Episode`, with x `[2 * shot, features]` and y one-hot `[2 * shot, 2]`.

    Raises:
        ValueError: if `features` or a number of examples is below 1.
    """
    check_sizes(shot=shot, query_shot=query_shot, features=features)
    return Partial(functools.partial(_draw_linear, features, shot, query_shot))


def _draw_linear(features: int, shot: int, query_shot: int, key: Array) -> Episode:
    w_key, x_key = jax.random.split(key)
    w = (1.0 + jax.random.normal(w_key, (features,))) / jnp.sqrt(float(features))
    x = jax.random.normal(x_key, (2, shot + query_shot, features))
    # Mirroring a point through the origin changes its side and nothing else, as x and -x are equally likely.
    side = jnp.where(x @ w > 0, 1.0, -1.0) * jnp.array([[-1.0], [1.0]])
    x = x * side[..., None]
    return Episode(example_major(x[:, :shot]), example_major(x[:, shot:]))
