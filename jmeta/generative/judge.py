"""A judge of drawings: a classifier of real ones, and how far new drawings are from what was seen."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from jmeta.augment import Augment
from jmeta.losses import cross_entropy
from jmeta.types import Model, Params


def fitted(
    model: Model, drawings: np.ndarray, *, steps: int, augment: Augment, key: Array, batch_size: int = 128
) -> Params:
    """Parameters of a classifier of real drawings `[classes, n, H, W, 1]`, by Adam on changed copies of them.

    Args:
        model: mapping drawings `[N, H, W, 1]` to logits `[N, classes]`.
        drawings: 0 or 1.
        steps: of Adam, from 1e-3 along a cosine to 0.
        augment: `(key, drawing) -> drawing`, which changes each drawing of a step.
        key: decides the parameters, and the order.
        batch_size: drawings of a step.
    """
    classes, number = drawings.shape[:2]
    x = jnp.asarray(drawings.reshape(classes * number, *drawings.shape[2:]))
    y = jnp.repeat(jnp.arange(classes), number)
    begin, own = jax.random.split(key)
    params, optimizer = model.init(begin, x[:1]), optax.adam(optax.cosine_decay_schedule(1e-3, steps))

    def step(state: tuple[Params, Any], number: Array) -> tuple[tuple[Params, Any], None]:
        params, opt_state = state
        which, change = jax.random.split(jax.random.fold_in(own, number))
        rows = jax.random.randint(which, (batch_size,), 0, len(x))
        shown = jax.vmap(augment)(jax.random.split(change, batch_size), x[rows])
        labels = jax.nn.one_hot(y[rows], classes)
        grads = jax.grad(lambda params: jnp.mean(cross_entropy(model.apply(params, shown), labels)))(params)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), None

    run = jax.jit(lambda state: jax.lax.scan(step, state, jnp.arange(steps))[0][0])
    return run((params, optimizer.init(params)))


def named(model: Model, params: Params) -> Callable[[np.ndarray], np.ndarray]:
    """`drawings [classes, n, H, W, 1] -> [classes]`: the share of each class's that the classifier takes for it."""
    logits = jax.jit(partial(model.apply, params))

    def right(drawings: np.ndarray) -> np.ndarray:
        return np.array([np.mean(np.argmax(logits(jnp.asarray(d)), axis=1) == k) for k, d in enumerate(drawings)])

    return right


def distance(new: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """How many pixels of each new drawing `[classes, n, H, W, 1]` are other than those of the nearest of what was seen,
    `[classes, k, H, W, 1]`; the mean of each class, `[classes]`. A copy has 0.

    Example:
        >>> drawing = np.zeros((1, 1, 2, 2, 1))
        >>> distance(drawing + 1, drawing).tolist()
        [4.0]
    """
    far = np.abs(new[:, :, None] - seen[:, None]).sum(axis=(3, 4, 5))
    return far.min(axis=2).mean(axis=1)
