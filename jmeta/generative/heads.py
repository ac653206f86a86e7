"""From what a process says of each query to a distribution: of each target by itself."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from jmeta.distributions import Normal, nats
from jmeta.types import Learner, episodic


class Parts(NamedTuple):
    """A process without its distribution, which `independent` or `joint_process` adds.

    Attributes:
        init: `(key, x) -> params`.
        adapt: `(params, support) -> adapted`.
        outputs: `(adapted, x, weight) -> [M, targets, numbers]`, the mean, the logarithm of the spread, and features
            for a covariance.
    """

    init: Callable[..., Any]
    adapt: Callable[..., Any]
    outputs: Callable[..., Array]


def independent(parts: Parts) -> Learner:
    """A learner whose `predict` returns a `Normal`, of each target by itself: `y ~ N(m, exp(2 s))`.

    The standard deviation has no floor, and the loss is `distributions.nats`.

    Raises:
        ValueError: from `predict`, for parts of more or fewer outputs than m and s.
    """

    def predict(adapted: Any, x: Any, weight: Array | None = None) -> Normal:
        return spread(parts.outputs(adapted, x, weight))

    return episodic(parts.init, parts.adapt, predict, nats)


def spread(out: Array) -> Normal:
    """The distribution that outputs `[M, targets, 2]` stand for."""
    if out.shape[-1] != 2:
        raise ValueError(f"decoder must have two outputs, a mean and a spread, got {out.shape[-1]}")
    return Normal(out[..., 0], jnp.exp(2 * out[..., 1]))
