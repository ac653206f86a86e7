"""Cholesky factors and what they solve, row by row.

LAPACK's routines fail on what is not positive definite, and those of jaxlib 0.10 may wait for each other for good where
several are called at once on few cores.
"""

import jax
import jax.numpy as jnp
from jax import Array, lax


def cholesky(a: Array, jitter: Array) -> Array:
    """The lower factor L of a matrix `[N, N]` with a jitter, column by column, which is finite whatever the matrix is.

        L L' = a + diag(jitter),   l_n = left / sqrt(p),   left = a_n - L L_n,   p = its entry n

    Args:
        a: symmetric, of which the lower half is read.
        jitter: `[N]`, above 0. Where rounding leaves a pivot p below half of it, the column is 0 but for the root of
            the jitter: of what is like those before it, nothing is learned.
    """
    rows = jnp.arange(len(a))
    a = a + jnp.diag(jitter)

    def column(factor: Array, n: Array) -> tuple[Array, None]:
        left = a[:, n] - factor @ factor[n]
        sound = left[n] > jitter[n] / 2
        root = jnp.sqrt(jnp.where(sound, left[n], jitter[n]))
        below = jnp.where((rows > n) & sound, left / root, 0)
        return factor.at[:, n].set(jnp.where(rows == n, root, below)), None

    with jax.default_matmul_precision("highest"):
        return lax.scan(column, jnp.zeros_like(a), rows)[0]


def forward(factor: Array, b: Array) -> Array:
    """`L^-1 b` for a lower factor `[N, N]` and b `[N, M]`."""

    def row(solved: Array, n: Array) -> tuple[Array, None]:
        return solved.at[n].set((b[n] - factor[n] @ solved) / factor[n, n]), None

    with jax.default_matmul_precision("highest"):
        return lax.scan(row, jnp.zeros_like(b), jnp.arange(len(b)))[0]
