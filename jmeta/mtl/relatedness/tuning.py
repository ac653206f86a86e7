"""Folds of padded examples, the errors of linear tasks on what was held out, and the variance that they explain."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jmeta.losses import weighted_mean
from jmeta.mtl.relatedness.moments import counted

Fit = Callable[..., Array]
"""`(x [T, N, D], y [T, N], weight=[T, N], **penalties) -> weights [T, D]`, such as `task_ridge`."""


def fold_numbers(rng: np.random.Generator, weight: ArrayLike, folds: int) -> np.ndarray:
    """Deal the examples of each task into folds, as evenly as they go.

    Args:
        rng: draws the order of a task's examples, and the fold that is dealt to first.
        weight: `[T, N]`, 0 for padding.
        folds: 2 or more.

    Returns:
        `[T, N]` int32, from 0 to `folds` - 1; -1 for padding.

    Raises:
        ValueError: if there are fewer than 2 folds.
    """
    if folds < 2:
        raise ValueError(f"folds must be 2 or more, got {folds}")
    numbers = np.full(np.shape(weight), -1, np.int32)
    for row, real in zip(numbers, np.asarray(weight) > 0, strict=True):
        examples = rng.permutation(np.flatnonzero(real))
        row[examples] = (np.arange(len(examples)) + rng.integers(folds)) % folds
    return numbers


def held_out_errors(fit: Fit, penalties: Any, x: Array, y: Array, *, train: Array, held_out: Array) -> Array:
    """Mean square errors on examples that were held out, for each setting of the penalties.

        W_p     = fit(the examples in train, penalties p)
        error_p = weighted mean over all examples held out, of all tasks, of (y - x.w_task)^2

    Args:
        fit: a `Fit`.
        penalties: `{name: [P]}`, keyword arguments of `fit`.
        x, y: `[T, N, D]` and `[T, N]`.
        train, held_out: `[T, N]`, weights of the examples that are fitted, and of those that are judged by.

    Returns:
        `[P]`.
    """

    return jax.vmap(lambda penalties: _error(fit(x, y, weight=train, **penalties), x, y, held_out))(penalties)


def explained_variance(weights: Array, x: Array, y: Array, *, weight: Array | None = None) -> Array:
    """The share of the variance of all tasks' targets together that their regressions explain.

        1 - sum (y - x.w_task)^2 / sum (y - mean y)^2,    over all examples of all tasks, with one mean

    Args:
        weights, x: `[T, D]` and `[T, N, D]`.
        y: `[T, N]`.
        weight: `[T, N]`, 0 for padding and what is not judged by; None means all alike.

    Returns:
        `[]`, 1 at best, 0 for a constant at the mean, and where there is no variance.

    Example:
        >>> x, y = jnp.array([[[1.0], [2.0]]]), jnp.array([[1.0, 3.0]])
        >>> explained_variance(jnp.array([[1.0]]), x, y).item()
        0.5
    """
    x, y, weight = counted(x, y, weight)
    apart = y - weighted_mean(y.ravel(), weight.ravel())
    variance = weighted_mean((apart * apart).ravel(), weight.ravel())
    explained = 1 - _error(weights, x, y, weight) / jnp.where(variance > 0, variance, 1)
    return jnp.where(variance > 0, explained, 0)


def _error(weights: Array, x: Array, y: Array, weight: Array) -> Array:
    x, y, weight = counted(x, y, weight)
    wrong = y - jnp.einsum("ind,id->in", x, weights, precision="highest")
    return weighted_mean((wrong * wrong).ravel(), weight.ravel())
