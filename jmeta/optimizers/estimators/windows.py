"""Windows of an unroll, and pairs of systems that differ in theta: what estimators are made of."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.flatten_util import ravel_pytree

from jmeta.checks import check_above_zero, check_sizes
from jmeta.optimizers.types import Unroll
from jmeta.types import Params


class Keys(NamedTuple):
    """Of a window: for a new beginning, the noise, and each step."""

    begin: Array
    noise: Array
    steps: Array


def keys_of(key: Array, steps: int) -> Keys:
    """The keys of a window out of one."""
    begin, noise, rest = jax.random.split(key, 3)
    return Keys(begin, noise, jax.random.split(rest, steps))


def check_steps(unroll: Unroll, steps: int) -> None:
    """Raise ValueError for windows that do not make up a horizon."""
    check_sizes(steps=steps)
    if unroll.horizon % steps:
        raise ValueError(
            f"a window's steps must divide the horizon, so that it begins anew between windows, got {steps} of "
            f"{unroll.horizon}: choose another"
        )


def begun(unroll: Unroll, theta: Params, inner: Any, taken: Array, steps: int, key: Array) -> Any:
    """The state that a window starts from: the one at hand, or a new one where the horizon is over."""
    new = unroll.init(theta, key)
    if steps == unroll.horizon:
        return new
    return jax.tree.map(lambda a, b: jnp.where(taken == unroll.horizon, a, b), new, inner)


def window(unroll: Unroll, theta: Params, inner: Any, taken: Array, keys: Array) -> tuple[Any, Array, Array]:
    """The state after the steps of some keys, their losses, and the sum of these by their weights."""

    def body(state: Any, key: Array) -> tuple[Any, Array]:
        return unroll.step(theta, state, key)

    after, losses = lax.scan(body, inner, keys)
    return after, losses, jnp.sum(jax.vmap(unroll.weight)(taken + 1 + jnp.arange(len(keys))) * losses)


def noise(key: Array, theta: Params, sigma: float) -> Params:
    """Independent normal numbers of a standard deviation, in the form of theta."""
    check_above_zero("sigma", sigma)
    flat, unravel = ravel_pytree(theta)
    return unravel(sigma * jax.random.normal(key, flat.shape, flat.dtype))


class Pair(NamedTuple):
    """Two systems, at theta + eps and theta - eps, after a window: states with a leading axis 2, mean losses
    `[steps]`, and how much more the weighted sum of the first is."""

    inner: Any
    losses: Array
    difference: Array


def pair(unroll: Unroll, theta: Params, eps: Params, inner: Any, taken: Array, keys: Keys) -> Pair:
    """A window of two systems that differ in theta alone: the same beginning and the same batches.

    `inner` has a leading axis 2.
    """

    def one(sign: Array, inner: Any) -> tuple[Any, Array, Array]:
        moved = jax.tree.map(lambda p, e: p + sign.astype(p.dtype) * e, theta, eps)
        now = begun(unroll, moved, inner, taken, len(keys.steps), keys.begin)
        return window(unroll, moved, now, jnp.where(taken == unroll.horizon, 0, taken), keys.steps)

    after, losses, totals = jax.vmap(one)(jnp.array([1.0, -1.0]), inner)
    return Pair(after, jnp.mean(losses, axis=0), totals[0] - totals[1])


def along(eps: Params, difference: Array, sigma: float) -> Params:
    """`eps (L+ - L-) / (2 sigma^2)`."""
    return jax.tree.map(lambda e: e * (difference / (2.0 * sigma**2)).astype(e.dtype), eps)


def twice(tree: Any) -> Any:
    """The same state for both of a pair."""
    return jax.tree.map(lambda a: jnp.stack([a, a]), tree)


def after(unroll: Unroll, taken: Array, steps: int) -> Array:
    """Steps taken since the beginning, after one more window."""
    return jnp.where(taken == unroll.horizon, 0, taken) + steps
