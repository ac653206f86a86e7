"""Kernels: how alike the values of a function are at two places, with parameters that are learned as logarithms."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jmeta.checks import check_above_zero, check_sizes
from jmeta.distances import product
from jmeta.types import Params


class Kernel(NamedTuple):
    """A covariance function, as two pure functions.

    Attributes:
        init: `(z [N, D]) -> params`, with numbers of the dtype of z. They are logarithms, so that any will do.
        matrix: `(params, a [N, D], b [M, D]) -> [N, M]`, covariances.
        variance: `(params, a [N, D]) -> [N]`, the diagonal of `matrix(params, a, a)`.
    """

    init: Callable[[Array], Params]
    matrix: Callable[[Params, Array, Array], Array]
    variance: Callable[[Params, Array], Array]


class LinearKernel(NamedTuple):
    """Logarithms `[]` of the variances of slopes and of the constant."""

    log_slope: Array
    log_constant: Array


class Stationary(NamedTuple):
    """Logarithms `[]` of the distance at which values have little in common, in units of z, and of the variance."""

    log_length: Array
    log_variance: Array


def linear(*, slope: float = 1.0, constant: float = 1.0) -> Kernel:
    """Of linear functions `f(z) = w . z + b`, with `w ~ N(0, slope I)` and `b ~ N(0, constant)`.

        k(a, b) = slope a . b + constant

    Args:
        slope: the variance that is learned starts here, above 0.
        constant: likewise.

    Raises:
        ValueError: if one is not above 0 or not finite.
    """
    check_above_zero("slope", slope)
    check_above_zero("constant", constant)

    def matrix(params: LinearKernel, a: Array, b: Array) -> Array:
        return jnp.exp(params.log_slope) * product(a, b.T) + jnp.exp(params.log_constant)

    def variance(params: LinearKernel, a: Array) -> Array:
        return jnp.exp(params.log_slope) * jnp.sum(jnp.square(a), axis=-1) + jnp.exp(params.log_constant)

    return Kernel(lambda z: LinearKernel(*_logarithms(z, slope, constant)), matrix, variance)


def rbf(*, length: float = 1.0, variance: float = 1.0) -> Kernel:
    """Of functions with all derivatives.

        k(a, b) = variance exp(-|a - b|^2 / (2 length^2))

    Args:
        length: where the learned length starts, above 0.
        variance: where the learned variance starts, above 0.

    Raises:
        ValueError: if one is not above 0 or not finite.

    Source: Rasmussen and Williams 2006, Gaussian Processes for Machine Learning, eq. 4.9.
    """
    return _stationary(lambda square: jnp.exp(-square / 2), length, variance)


def matern(*, length: float = 1.0, variance: float = 1.0) -> Kernel:
    """Of functions with two derivatives: Matern's with 5/2.

        k(a, b) = variance (1 + r + r^2 / 3) exp(-r),   r = sqrt(5) |a - b| / length

    Args and errors are those of `rbf`. Source: Rasmussen and Williams 2006, eq. 4.17.
    """

    def shape(square: Array) -> Array:
        away = square > 0  # where the root has a derivative
        r = jnp.where(away, jnp.sqrt(5 * jnp.where(away, square, 1)), 0)
        return (1 + r + jnp.square(r) / 3) * jnp.exp(-r)

    return _stationary(shape, length, variance)


class Mixture(NamedTuple):
    """Logarithms of the weights `[Q]`, of the spreads `[Q, D]` of frequencies, and their means `[Q, D]`."""

    log_weight: Array
    log_spread: Array
    mean: Array


def spectral_mixture(
    *, components: int = 4, spread: float = 0.05, highest: float = 0.5, variance: float = 1.0
) -> Kernel:
    """Of functions whose spectrum is a mixture of normal distributions: waves of any lengths, more or less regular.

        k(a, b) = sum_q w_q prod_d exp(-2 pi^2 t_d^2 s_qd^2) cos(2 pi t_d m_qd),   t = a - b

    Args:
        components: Q, 1 or more.
        spread: where s starts, above 0, in cycles a unit of z; near 0 waves go on for ever.
        highest: means m start evenly from 0 to this, above 0.
        variance: where `sum_q w_q`, the variance of a value, starts, above 0.

    Raises:
        ValueError: if a number is out of its range.

    Source: Wilson and Adams 2013, Gaussian Process Kernels for Pattern Discovery and Extrapolation, eq. 12.
    https://arxiv.org/abs/1302.4245
    """
    check_sizes(components=components)
    for name, value in (("spread", spread), ("highest", highest), ("variance", variance)):
        check_above_zero(name, value)

    def init(z: Array) -> Mixture:
        each = lambda number: jnp.full((components, z.shape[1]), number, z.dtype)
        places = jnp.linspace(0, highest, components + 1, dtype=z.dtype)[1:, None]
        weight = jnp.full(components, math.log(variance / components), z.dtype)
        return Mixture(weight, each(math.log(spread)), jnp.broadcast_to(places, (components, z.shape[1])))

    def matrix(params: Mixture, a: Array, b: Array) -> Array:
        apart = a[:, None] - b[None]

        def component(log_weight: Array, log_spread: Array, mean: Array) -> Array:
            fade = -2 * jnp.square(jnp.pi * apart * jnp.exp(log_spread)[None, None])
            waves = jnp.cos(2 * jnp.pi * apart * mean[None, None])
            return jnp.exp(log_weight + jnp.sum(fade, axis=-1)) * jnp.prod(waves, axis=-1)

        return jnp.sum(jax.vmap(component)(*params), axis=0)

    def diagonal(params: Mixture, a: Array) -> Array:
        return jnp.broadcast_to(jnp.sum(jnp.exp(params.log_weight)), a.shape[:1])

    return Kernel(init, matrix, diagonal)


def added(*kernels: Kernel) -> Kernel:
    """Of sums of independent functions, one of each kernel: a trend and what goes up and down about it.

        k(a, b) = sum_i k_i(a, b)

    Its parameters are a tuple of theirs.

    Raises:
        ValueError: for no kernels.
    """
    if not kernels:
        raise ValueError("a sum needs kernels, got none: give one or more")

    def total(parts: list[Array]) -> Array:
        return sum(parts[1:], parts[0])

    return Kernel(
        lambda z: tuple(kernel.init(z) for kernel in kernels),
        lambda params, a, b: total([k.matrix(p, a, b) for k, p in zip(kernels, params, strict=True)]),
        lambda params, a: total([k.variance(p, a) for k, p in zip(kernels, params, strict=True)]),
    )


def _stationary(shape: Callable[[Array], Array], length: float, variance: float) -> Kernel:
    """Of a function of the squared distance in lengths."""
    check_above_zero("length", length)
    check_above_zero("variance", variance)

    def matrix(params: Stationary, a: Array, b: Array) -> Array:
        # By differences: |a|^2 - 2 a.b + |b|^2 would cost near points the digits that their covariance lives by.
        apart = (a[:, None] - b[None]) * jnp.exp(-params.log_length)
        return jnp.exp(params.log_variance) * shape(jnp.sum(jnp.square(apart), axis=-1))

    def diagonal(params: Stationary, a: Array) -> Array:
        return jnp.broadcast_to(jnp.exp(params.log_variance), a.shape[:1])

    return Kernel(lambda z: Stationary(*_logarithms(z, length, variance)), matrix, diagonal)


def _logarithms(z: Array, *numbers: float) -> tuple[Array, ...]:
    return tuple(jnp.asarray(math.log(number), z.dtype) for number in numbers)
