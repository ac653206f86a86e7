"""Linear regressions whose weights are drawn with a covariance between tasks that is known."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jmeta.distances import product


class RelatedTasks(NamedTuple):
    """A draw of T linear tasks.

    Attributes:
        x: `[T, N, D]`, standard normal.
        y: `[T, N]`.
        weights: `[T, D]`, the true ones.
        omega: `[T, T]`, the covariance between tasks that they were drawn with.
    """

    x: Array
    y: Array
    weights: Array
    omega: Array


def block_omega(correlations: tuple[float, ...] = (-0.95, 0.8)) -> Array:
    """Pairs of tasks of variance 1, correlated within each pair and not between them.

    Args:
        correlations: of each pair, above -1 and below 1.

    Returns:
        `[T, T]`, with two tasks a pair.

    Raises:
        ValueError: for a correlation that is not between -1 and 1.

    Example:
        >>> block_omega((-0.5,)).tolist()
        [[1.0, -0.5], [-0.5, 1.0]]
    """
    if not correlations or not all(-1 < rho < 1 for rho in correlations):
        raise ValueError(f"correlations of pairs must be between -1 and 1, got {correlations}")
    blocks = [jnp.array([[1.0, rho], [rho, 1.0]]) for rho in correlations]
    return jax.scipy.linalg.block_diag(*blocks)


def related_tasks(
    key: Array, *, omega: Array | None = None, features: int = 100, examples: int = 60, noise: Any = 0.5
) -> RelatedTasks:
    """Draw weights with a covariance between tasks, and noisy examples of each task.

        each column of W ~ N(0, omega),   x ~ N(0, I),   y_i = x.w_i + noise * N(0, 1)

    With fewer examples than features a task by itself can't be known; another that is like it, or its opposite, helps.

    Args:
        key: decides everything.
        omega: `[T, T]`, positive definite; None for `block_omega()`, four tasks.
        features: D.
        examples: N of each task.
        noise: standard deviation, 0 or more.

    Returns:
        `RelatedTasks`.

    Raises:
        ValueError: if omega is not a square matrix.

    Example:
        >>> related_tasks(jax.random.key(0), features=3, examples=5).x.shape
        (4, 5, 3)
    """
    omega = block_omega() if omega is None else omega
    if omega.ndim != 2 or omega.shape[0] != omega.shape[1]:
        raise ValueError(f"omega must be a square matrix, got {list(omega.shape)}")
    tasks, dtype = len(omega), omega.dtype
    weights_key, x_key, noise_key = jax.random.split(key, 3)
    weights = product(jnp.linalg.cholesky(omega), jax.random.normal(weights_key, (tasks, features), dtype))
    x = jax.random.normal(x_key, (tasks, examples, features), dtype)
    y = jnp.einsum("ind,id->in", x, weights, precision="highest")
    y = y + noise * jax.random.normal(noise_key, y.shape, dtype)
    return RelatedTasks(x, y, weights, omega)
