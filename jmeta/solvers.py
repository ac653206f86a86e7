"""Solvers of linear systems `A x = b` on pytrees, for a matrix that is known by its products alone."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array, lax

from jmeta.checks import check_above_zero, check_sizes
from jmeta.types import Params

Solver = Callable[[Callable[[Params], Params], Params], Params]
"""`(matvec, b) -> x`, with `matvec` the product of A with a pytree like b."""


def conjugate_gradient(steps: int) -> Solver:
    """Conjugate gradients: exact after as many steps as A has different eigenvalues, and close long before.

        x_j = the minimizer of x.A x / 2 - b.x over the span of b, A b, ..., A^(j-1) b

    A is symmetric, with eigenvalues above 0. Each of the `steps` is a product with it; once b is solved, the rest
    change nothing.

    Raises:
        ValueError: if `steps` is below 1.

    Example:
        Two eigenvalues, two steps.

        >>> solve = conjugate_gradient(2)
        >>> [x.round(4).item() for x in solve(lambda v: [2.0 * v[0], 4.0 * v[1]], [jnp.array(1.0), jnp.array(1.0)])]
        [0.5, 0.25]

    Source: Hestenes and Stiefel 1952, Methods of Conjugate Gradients for Solving Linear Systems, section 3.
    https://doi.org/10.6028/jres.049.044
    """
    check_sizes(steps=steps)

    def solve(matvec: Callable[[Params], Params], b: Params) -> Params:
        def body(_: Array, carry: tuple[Params, Params, Params, Array]) -> tuple[Params, Params, Params, Array]:
            x, residual, along, size = carry
            product = matvec(along)
            length = _ratio(size, _dot(along, product))
            x, residual = _add(x, length, along), _add(residual, -length, product)
            smaller = _dot(residual, residual)
            return x, residual, _add(residual, _ratio(smaller, size), along), smaller

        start = jax.tree.map(jnp.zeros_like, b), b, b, _dot(b, b)
        return lax.fori_loop(0, steps, body, start)[0]

    return solve


def neumann(steps: int, rate: float = 1.0) -> Solver:
    """The first terms of a Neumann series, which is as many steps of gradient descent on `x.A x / 2 - b.x` from 0.

        x = rate * sum_{j < steps} (I - rate A)^j b

    A is symmetric, with eigenvalues above 0, and each term is a product with it. The series converges for a `rate`
    below 2 over A's largest eigenvalue.

    Raises:
        ValueError: if `steps` is below 1, or `rate` is not above 0 or not finite.

    Example:
        >>> [neumann(steps, rate=0.25)(lambda v: 2.0 * v, jnp.array(1.0)).item() for steps in (1, 2, 30)]
        [0.25, 0.375, 0.5]

    Source: Lorraine et al. 2020, Optimizing Millions of Hyperparameters by Implicit Differentiation.
    https://arxiv.org/abs/1911.02590
    """
    check_sizes(steps=steps)
    check_above_zero("rate", rate)

    def solve(matvec: Callable[[Params], Params], b: Params) -> Params:
        def body(_: Array, x: Params) -> Params:
            return jax.tree.map(lambda x, b, product: x + rate * (b - product), x, b, matvec(x))

        # The first term needs no product.
        return lax.fori_loop(1, steps, body, jax.tree.map(lambda b: rate * b, b))

    return solve


def _dot(a: Params, b: Params) -> Array:
    return functools.reduce(jnp.add, jax.tree.leaves(jax.tree.map(lambda a, b: jnp.sum(a * b), a, b)))


def _add(a: Params, scale: Array, b: Params) -> Params:
    return jax.tree.map(lambda a, b: a + scale * b, a, b)


def _ratio(a: Array, b: Array) -> Array:
    """`a / b`, and 0 where nothing is left to divide."""
    return jnp.where(b == 0, 0, a / jnp.where(b == 0, 1, b))
