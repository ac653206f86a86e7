"""Distributions of actions, as functions of what a policy gives out."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jmeta.rl.types import Box, Discrete


class Distribution(NamedTuple):
    """A family of distributions of actions, for one decision; `p` and `q` are parameters, as a policy gives out."""

    size: int  # how many numbers a policy's last layer has to give, and an action is encoded in
    sample: Callable[[Array, Any], Array]  # `(key, p) -> action`
    log_prob: Callable[[Any, Array], Array]  # `(p, action) -> []`, in nats
    entropy: Callable[[Any], Array]  # `p -> []`, in nats
    kl: Callable[[Any, Any], Array]  # `(p, q) -> []`, of q from p, in nats
    encode: Callable[[Array], Array]  # `action -> [size]`, float32, as what a policy can be shown


def each_step(function: Callable[..., Array]) -> Callable[..., Array]:
    """A function of one step, over the leading axes `[n, steps]` of trajectories."""
    return jax.vmap(jax.vmap(function))


class Gaussian(NamedTuple):
    """Parameters `[size]` of independent normal distributions."""

    mean: Array
    log_std: Array


def categorical(n: int) -> Distribution:
    """Actions 0 to n - 1, with probabilities `softmax(p)` for logits `p [n]`."""

    def kl(p: Array, q: Array) -> Array:
        log_p, log_q = jax.nn.log_softmax(p), jax.nn.log_softmax(q)
        return jnp.sum(jnp.exp(log_p) * (log_p - log_q))

    def entropy(p: Array) -> Array:
        log_p = jax.nn.log_softmax(p)
        return -jnp.sum(jnp.exp(log_p) * log_p)

    return Distribution(
        size=n,
        sample=lambda key, p: jax.random.categorical(key, p).astype(jnp.int32),
        log_prob=lambda p, action: jnp.sum(jax.nn.log_softmax(p) * jax.nn.one_hot(action, n, dtype=p.dtype)),
        entropy=entropy,
        kl=kl,
        encode=lambda action: jax.nn.one_hot(action, n, dtype=jnp.float32),
    )


def gaussian(size: int) -> Distribution:
    """Real actions `[size]` from a `Gaussian`; a policy learns the mean for each input and one spread for all."""

    def log_prob(p: Gaussian, action: Array) -> Array:
        z = (action - p.mean) * jnp.exp(-p.log_std)
        return jnp.sum(-jnp.square(z) / 2 - p.log_std - jnp.log(2 * jnp.pi) / 2)

    def kl(p: Gaussian, q: Gaussian) -> Array:
        ratio = jnp.exp(2 * (p.log_std - q.log_std))
        apart = jnp.square((p.mean - q.mean) * jnp.exp(-q.log_std))
        return jnp.sum(q.log_std - p.log_std + (ratio + apart - 1) / 2)

    return Distribution(
        size=size,
        sample=lambda key, p: p.mean + jnp.exp(p.log_std) * jax.random.normal(key, p.mean.shape, p.mean.dtype),
        log_prob=log_prob,
        entropy=lambda p: jnp.sum(p.log_std + (1 + jnp.log(2 * jnp.pi)) / 2),
        kl=kl,
        encode=lambda action: action.astype(jnp.float32),
    )


def distribution_of(action: Discrete | Box) -> Distribution:
    """`categorical` or `gaussian`, as an environment's actions are."""
    return categorical(action.n) if isinstance(action, Discrete) else gaussian(action.size)
