"""A step of an Optax rule on the numbers that weights are made of."""

import optax
from jax import Array


def stepped(
    rule: optax.GradientTransformation, grads: Array, state: optax.OptState, numbers: Array
) -> tuple[Array, optax.OptState]:
    """Numbers `[T]` and the rule's state after a step along the gradient `[T]`."""
    updates, state = rule.update(grads, state, numbers)
    return numbers + updates, state  # type: ignore[operator]
