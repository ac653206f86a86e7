"""Convolutional conditional neural processes on a line (Gordon et al. 2020)."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jmeta.checks import check_intervals, check_sizes
from jmeta.distances import product
from jmeta.generative.heads import Parts, independent
from jmeta.types import Batch, Learner, Model, Params


class ConvolutionalParams(NamedTuple):
    """Parameters of the network, and the logarithms `[]` of the lengths onto the grid and from it, in units of x."""

    network: Params
    log_length_in: Array
    log_length_out: Array


class ConvolutionalAdapted(NamedTuple):
    """The length from the grid `[]`, and the network's outputs on it, `[targets, G, numbers]`."""

    log_length_out: Array
    h: Array


def convolutional_parts(network: Model, *, low: float, high: float, points_per_unit: int) -> Parts:
    """The parts of `convolutional_process`; the network may have more outputs."""
    check_intervals(grid=(low, high))
    check_sizes(points_per_unit=points_per_unit)
    places = math.ceil((high - low) * points_per_unit) + 1

    def nearness(x: Array, log_length: Array) -> Array:
        """`exp(-(x - t_g)^2 / (2 l^2))`, as logarithms `[N, G]`."""
        if x.ndim != 2 or x.shape[1] != 1:
            raise ValueError(f"x must be places on a line, [N, 1], got {list(x.shape)}")
        grid = low + jnp.arange(places, dtype=x.dtype) / points_per_unit
        return -jnp.square((x - grid[None]) * jnp.exp(-log_length)) / 2

    def init(key: Array, x: Any) -> ConvolutionalParams:
        length = jnp.asarray(math.log(2 / points_per_unit), x.dtype)
        return ConvolutionalParams(network.init(key, jnp.zeros((1, places, 2), x.dtype)), length, length)

    def adapt(params: ConvolutionalParams, support: Batch) -> ConvolutionalAdapted:
        near = jnp.exp(nearness(support.x, params.log_length_in))
        near = near if support.weight is None else near * support.weight[:, None]
        density = jnp.sum(near, axis=0)
        signal = product(near.T, support.y).T / (density + 1e-6)[None]
        seen = jnp.stack([jnp.broadcast_to(density, signal.shape), signal], axis=-1)
        return ConvolutionalAdapted(params.log_length_out, network.apply(params.network, seen))

    def outputs(adapted: ConvolutionalAdapted, x: Any, weight: Array | None = None) -> Array:
        shares = jax.nn.softmax(nearness(x, adapted.log_length_out), axis=1)
        return jnp.einsum("mg,tgc->mtc", shares, adapted.h, precision=jax.lax.Precision.HIGHEST)

    return Parts(init, adapt, outputs)


def convolutional_process(network: Model, *, low: float, high: float, points_per_unit: int) -> Learner:
    """A convolutional neural process to regress functions of a line: what is moved is predicted the same, moved.

        k(x, t) = exp(-(x - t)^2 / (2 l^2)),   t_g on the grid
        h0_g = sum_n w_n k(x_n, t_g),   h1_g = sum_n w_n k(x_n, t_g) y_n / (h0_g + 1e-6)       density and signal
        m, s = sum_g k'(x, t_g) network(h0, h1)_g / sum_g k'(x, t_g),   y ~ N(m, exp(2 s))

    Moving all x by whole steps of the grid moves the prediction, where neither data nor what the network sees around
    them meet an end of the grid.

    Args:
        network: model mapping `[B, G, 2]` to `[B, G, 2]`, such as `nets.DilatedConvNet()`.
        low: the grid's first point; take it beyond the smallest x by what the network sees.
        high: the grid ends here, or at the next point.
        points_per_unit: of x; the lengths l that are learned start at two steps.

    Returns:
        A `Learner` whose `predict` returns a `Normal`; x is `[N, 1]`. Several targets are independent functions. With
        no example both channels are 0, and the prediction is the learned prior.

    Raises:
        ValueError: if the grid is not of finite numbers, the smaller first, or has no points; from the learner, if x is
            not `[N, 1]`, or the network has not two outputs.

    Differs from the paper: the way back from the grid is a weighted mean and not a sum, and the network's convolutions
    are dilated and not separable.
    Source: Gordon et al. 2020, Convolutional Conditional Neural Processes, section 4. https://arxiv.org/abs/1910.13556
    """
    return independent(convolutional_parts(network, low=low, high=high, points_per_unit=points_per_unit))
