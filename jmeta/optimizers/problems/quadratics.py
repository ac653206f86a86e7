"""Quadratics to minimize, whose best rules are known: diagonal ones of two spectra, and random least squares."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jmeta.checks import check_sizes
from jmeta.optimizers.types import Problem


class Quadratic(NamedTuple):
    """A diagonal quadratic: `curvature [d]`."""

    curvature: Array


class LeastSquares(NamedTuple):
    """`|W x - y|^2`, with W `[d, d]` and y `[d]`."""

    w: Array
    y: Array


def quadratic(*, dimension: int = 10, kappa: float | None = None) -> Problem:
    """Diagonal quadratics.

        loss = sum_i lambda_i p_i^2 / 2,   lambda_i ~ U(0, 1),   p ~ N(0, I / d) to begin with

    On average the loss of the start is 1/4, and the least after t steps is `exact.uniform_optimum(t)`, whatever d.

    Args:
        dimension: d.
        kappa: log lambda_i is uniform on (-log kappa, 0) instead, so that the largest is at most kappa times the least.

    Raises:
        ValueError: if d is below 1, or kappa is not finite and above 1.
    """
    check_sizes(dimension=dimension)
    if kappa is not None and not 1 < kappa < math.inf:
        raise ValueError(f"kappa must be a finite number above 1, got {kappa}: choose another")

    def init(key: Array) -> tuple[Array, Quadratic]:
        one, other = jax.random.split(key)
        u = jax.random.uniform(one, (dimension,))
        curvature = u if kappa is None else jnp.exp(-math.log(kappa) * u)
        return jax.random.normal(other, (dimension,)) / math.sqrt(dimension), Quadratic(curvature)

    return Problem(init, _sum)


def _sum(p: Array, task: Quadratic, key: Array) -> Array:
    return 0.5 * jnp.sum(task.curvature * jnp.square(p))


def least_squares(*, dimension: int = 10) -> Problem:
    """Random least squares as Andrychowicz et al. describe them.

        loss = |W x - y|^2,   W, y ~ N(0, 1),   x ~ N(0, 1) to begin with

    Raises:
        ValueError: if `dimension` is below 1.

    Differs from the paper: it does not say how x begins.

    Source: Andrychowicz et al. 2016, section 3.1. https://arxiv.org/abs/1606.04474
    """
    check_sizes(dimension=dimension)

    def init(key: Array) -> tuple[Array, LeastSquares]:
        w, y, x = jax.random.split(key, 3)
        task = LeastSquares(jax.random.normal(w, (dimension, dimension)), jax.random.normal(y, (dimension,)))
        return jax.random.normal(x, (dimension,)), task

    return Problem(init, _squares)


def released_least_squares(*, dimension: int = 10) -> Problem:
    """Random least squares as the released code of Andrychowicz et al. draws them.

        loss = |W x - y|^2,   W, y ~ U(0, 1),   x ~ N(0, 0.01^2) to begin with

    Raises:
        ValueError: if `dimension` is below 1.

    Source: `problems.py` of https://github.com/google-deepmind/learning-to-learn.
    """
    check_sizes(dimension=dimension)

    def init(key: Array) -> tuple[Array, LeastSquares]:
        w, y, x = jax.random.split(key, 3)
        task = LeastSquares(jax.random.uniform(w, (dimension, dimension)), jax.random.uniform(y, (dimension,)))
        return 0.01 * jax.random.normal(x, (dimension,)), task

    return Problem(init, _squares)


def _squares(x: Array, task: LeastSquares, key: Array) -> Array:
    return jnp.sum(jnp.square(task.w @ x - task.y))
