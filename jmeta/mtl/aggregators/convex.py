"""Convex problems in the weights of T tasks, solved by interior points in a fixed number of Newton steps.

All follow a point x above 0, and prices z above 0 of its bounds, along which `x_i z_i = gap` while the gap is cut to
nothing. They are made for single precision: the matrices are expected to have a trace of about 1, T is up to about 50.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.scipy.linalg import cho_factor, cho_solve

from jmeta.distances import product
from jmeta.types import Params

STEPS = 30
"""Newton steps. The gap falls to `_CUT` of itself in each that meets no bound, so that half of them would mostly do."""

_CUT, _TO_BOUND = 0.15, 0.99


class _Point(NamedTuple):
    """Where the path is: x and z `[T]`, and the price `[]` of the equation `normal . x = const`."""

    x: Array
    z: Array
    price: Array


def least_above(matrix: Array, bounds: Array) -> Array:
    """The point `[T]` above given bounds `[T]` at which a quadratic form, of a positive definite M `[T, T]`, is least.

        argmin_v  v' M v   subject to   v_i >= bounds_i

    Example:
        >>> [round(a, 4) for a in least_above(jnp.array([[1.0, -1.0], [-1.0, 2.0]]), jnp.array([1.0, 0.0])).tolist()]
        [1.0, 0.5]
    """
    x = jnp.ones_like(bounds)
    start = _Point(x, jnp.full_like(x, jnp.trace(matrix) / len(matrix)), jnp.zeros_like(x[0]))
    return bounds + _end(start, matrix, jnp.zeros_like(x), lambda x: product(matrix, bounds + x))


def least_on_simplex(matrix: Array) -> Array:
    """The weights `[T]` with which a quadratic form, of a positive semi-definite M `[T, T]`, is least.

        argmin_w  w' M w   subject to   w_i >= 0,  sum_i w_i = 1

    Where several w are equally good, one of them is found.

    Example:
        >>> [round(a, 4) for a in least_on_simplex(jnp.array([[1.0, 0.0], [0.0, 3.0]])).tolist()]
        [0.75, 0.25]
    """
    middle = jnp.full_like(matrix[0], 1 / len(matrix))
    start = _on_simplex(middle, product(matrix, middle))
    return _end(start, matrix, jnp.ones_like(middle), lambda x: product(matrix, x))


def least_with_norm(matrix: Array, linear: Array, factor: Array | float) -> tuple[Array, Array]:
    """The weights w `[T]` with which a linear function and a norm are least together, and the norm's direction v `[T]`.

        argmin_w  b.w + c sqrt(w' M w)   subject to   w_i >= 0,  sum_i w_i = 1
        argmax_v  min_i (b + c M v)_i    subject to   v' M v <= 1,   v = w / sqrt(w' M w) where that is not 0

    with a positive semi-definite `matrix` M `[T, T]`, `linear` b `[T]` of size about 1, and `factor` c of 0 or more.
    The two have the same value. v has Newton steps of its own, since where the norm comes to 0 its direction cannot be
    found by dividing by it.

    Example:
        >>> w, v = least_with_norm(jnp.eye(2), jnp.array([0.0, 0.0]), 1.0)
        >>> round(w[0].item(), 4), round(v[0].item(), 4)
        (0.5, 0.7071)

    Source: Andersen et al. 2000, An Efficient Primal-Dual Interior-Point Method for Minimizing a Sum of Euclidean
    Norms, for the steps of v. https://doi.org/10.1137/S1064827598343954
    """
    eps = jnp.finfo(matrix.dtype).eps
    middle = jnp.full_like(linear, 1 / len(linear))

    def body(_: Array, carry: tuple[_Point, Array]) -> tuple[_Point, Array]:
        at, v = carry
        gap = _CUT * jnp.mean(at.x * at.z)
        along = product(matrix, at.x)
        # Below the root of eps rounding errors of the products are all that there is of a norm.
        smooth = jnp.maximum(len(linear) * gap, jnp.sqrt(eps))
        norm = jnp.hypot(jnp.sqrt(jnp.maximum(jnp.sum(at.x * along), 0)), smooth)
        mixed = product(matrix, v)[:, None] * along[None] / norm
        hessian = factor / norm * (matrix - (mixed + mixed.T) / 2)
        size = factor / norm * jnp.trace(matrix)
        move, length = _newton(at, linear + factor * along / norm, hessian, jnp.ones_like(at.x), gap, size)
        turn = (at.x + move.x - v * jnp.sum(along * move.x) / norm) / norm - v
        at, v = _moved((at, v), (move, turn), length)
        # With what rounding errors of the product may hide.
        square = jnp.sum(v * product(matrix, v)) + eps * jnp.sum(v * v * jnp.diagonal(matrix))
        return at, v / jnp.sqrt(jnp.maximum(square, 1))

    at, v = lax.fori_loop(0, STEPS, body, (_on_simplex(middle, linear), jnp.zeros_like(linear)))
    return at.x, v


def center(matrix: Array) -> Array:
    """The point a `[T]` whose coordinates are one over its product with a positive definite matrix M `[T, T]`.

        M a = 1 / a,   a > 0,   which is where  a' M a / 2 - sum_i log a_i  is least

    Example:
        >>> [round(a, 4) for a in center(jnp.array([[1.0, 0.0], [0.0, 4.0]])).tolist()]
        [1.0, 0.5]
    """
    size = len(matrix)
    # Where the function is least of all points whose coordinates are equal.
    x = jnp.full_like(matrix[0], jnp.sqrt(size / jnp.sum(matrix)))
    start = _Point(x, 1 / x, jnp.zeros_like(x[0]))
    return _end(start, matrix, jnp.zeros_like(x), lambda x: product(matrix, x), cut=False)


def _end(start: _Point, matrix: Array, normal: Array, gradient: Callable[[Array], Array], *, cut: bool = True) -> Array:
    """Where the path ends, along which the gap is cut or stays 1."""

    def body(_: Array, at: _Point) -> _Point:
        gap = _CUT * jnp.mean(at.x * at.z) if cut else jnp.ones_like(at.price)
        move, length = _newton(at, gradient(at.x), matrix, normal, gap, jnp.trace(matrix))
        return _moved(at, move, length)

    return lax.fori_loop(0, STEPS, body, start).x


def _on_simplex(x: Array, gradient: Array) -> _Point:
    """The start at x, with prices that are away from 0 and, for a linear function, right."""
    above = gradient - jnp.min(gradient)
    away = jnp.maximum(jnp.maximum(jnp.max(above), jnp.mean(jnp.abs(gradient))), jnp.finfo(x.dtype).eps)
    return _Point(x, above + away, jnp.zeros_like(x[0]))


def _newton(
    at: _Point, gradient: Array, hessian: Array, normal: Array, gap: Array, size: Array
) -> tuple[_Point, Array]:
    """The Newton step `[T], [T], []` toward `gradient - z = price normal, x z = gap`, and how much of it stays inside.

    With `normal = 1` the sum of x is 1; with 0 nothing is asked of it. `size` is the Hessian's, its trace or more.
    """
    x, z, price = at
    # Of matrices without full rank the factors exist with a ridge alone. It slows steps, and does not move their end.
    ridge = jnp.finfo(x.dtype).eps * size
    right = jnp.stack([price * normal - gradient + gap / x, normal], axis=1)
    first, second = _solve(hessian + jnp.diag(z / x + ridge), right).T
    slope = jnp.sum(normal * second)
    missing = jnp.max(normal) - jnp.sum(normal * (x + first))
    rise = jnp.where(slope > 0, missing / jnp.where(slope > 0, slope, 1), 0)
    dx = first + rise * second
    dz = gap / x - z - z / x * dx
    fastest = jnp.maximum(jnp.max(-dx / x), jnp.max(-dz / z))
    return _Point(dx, dz, rise), _TO_BOUND / jnp.maximum(fastest, _TO_BOUND)


def _moved(at: Params, move: Params, length: Array) -> Params:
    """After a step; as it was where rounding errors left none."""
    new = jax.tree.map(lambda a, d: a + length * d, at, move)
    sound = functools.reduce(jnp.logical_and, (jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(new)))
    return jax.tree.map(lambda new, old: jnp.where(sound, new, old), new, at)


def _solve(matrix: Array, right: Array) -> Array:
    size = len(matrix)
    if size > 4:
        return cho_solve(cho_factor(matrix), right)
    # For two to four tasks, calls of LAPACK would take four times as long as all the rest.
    rows = jnp.concatenate([matrix, right], axis=1)
    for i in range(size):
        pivot = rows[i] / rows[i, i]
        rows = (rows - rows[:, i : i + 1] * pivot[None]).at[i].set(pivot)
    return rows[:, size:]
