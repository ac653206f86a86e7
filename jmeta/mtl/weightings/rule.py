"""A step of an Optax rule on the numbers that weights are made of, of the tasks that have a part in it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jmeta.mtl.types import View


class LogitsState(NamedTuple):
    """Logits `[T]` of the weights, and their optimizer's state."""

    logits: Array
    opt_state: optax.OptState


def start(rule: optax.GradientTransformation, tasks: int) -> LogitsState:
    """Logits of 0."""
    logits = jnp.zeros(tasks, jnp.float32)
    return LogitsState(logits, rule.init(logits))


def or_adam(rule: optax.GradientTransformation | None) -> optax.GradientTransformation:
    """The rule of weights where none is given: Adam at 0.025."""
    return optax.adam(0.025) if rule is None else rule


def there(view: View) -> Array:
    """Which tasks `[T]` have rows in this step."""
    return jnp.ones(view.losses.shape, bool) if view.present is None else view.present


def mean_over(values: Array, which: Array) -> Array:
    """The mean `[]` of those values `[T]` that count; 0 of none."""
    return jnp.sum(jnp.where(which, values, 0)) / jnp.maximum(jnp.sum(which), 1).astype(values.dtype)


def stepped(
    rule: optax.GradientTransformation, grads: Array, state: optax.OptState, numbers: Array, moving: Array
) -> tuple[Array, optax.OptState]:
    """Numbers `[T]` and the rule's state after a step along the gradient `[T]`, of the tasks `[T]` that move."""
    updates, new = rule.update(jnp.where(moving, grads, 0), state, numbers)
    return held(moving, (numbers + updates, new), (numbers, state))  # type: ignore[operator]


def held(moving: Array, new: Any, old: Any) -> Any:
    """The new state, but of tasks that don't move `[T]` the old one: leaves `[T, ...]` have a row for each task."""

    def one(new: Array, old: Array) -> Array:
        if old.shape[:1] != moving.shape:
            return new
        return jnp.where(moving.reshape(-1, *(1,) * (old.ndim - 1)), new, old)

    return jax.tree.map(one, new, old)
