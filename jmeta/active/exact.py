"""Problems of asking with known answers: a threshold to find, and designs for a Gaussian posterior."""

import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jmeta.active.types import View
from jmeta.types import Batch, Episode, Learner, Metrics, Params


class Between(NamedTuple):
    """What is known of a threshold: it lies from `low` to `high`."""

    low: Array
    high: Array


def _loss(predict: Callable[..., Array], adapt: Callable[..., Any], measure: Callable[..., Array]) -> Any:
    def loss(params: Params, episode: Episode) -> tuple[Array, Metrics]:
        value = measure(predict(adapt(params, episode.support), episode.query.x), episode.query)
        return value, Metrics(value)

    return loss


def distance(prediction: Array, query: Batch) -> Array:
    """`|prediction - y|` of the one query."""
    return jnp.mean(jnp.abs(prediction - query.y))


def threshold() -> Learner:
    """Estimate a threshold in 0 to 1 by the middle of where it can be; labels `[N, 1]` say if x is above it."""

    def adapt(params: Params, support: Batch) -> Between:
        x, y = support.x[:, 0], support.y[:, 0]
        known = jnp.ones(len(x)) if support.weight is None else support.weight
        low = jnp.max(jnp.where((known > 0) & (y < 0.5), x, 0.0))
        return Between(low, jnp.min(jnp.where((known > 0) & (y > 0.5), x, 1.0)))

    def predict(adapted: Between, x: Array, weight: Array | None = None) -> Array:
        return jnp.broadcast_to((adapted.low + adapted.high) / 2, (len(x), 1))

    return Learner(lambda key, x: {}, adapt, predict, _loss(predict, adapt, distance))


def threshold_pool(theta: Array, points: int = 127) -> Episode:
    """The points i / (points + 1), which a threshold divides, and the threshold as the one query."""
    x = (jnp.arange(points)[:, None] + 1) / (points + 1)
    query = Batch(jnp.zeros((1, 1)), jnp.reshape(theta, (1, 1)))
    return Episode(Batch(x, (x > theta).astype(float)), query)


def bisection(view: View) -> Array:
    """The point nearest to the middle of where the threshold can be."""
    return -jnp.abs(view.pool.x[:, 0] - (view.adapted.low + view.adapted.high) / 2)


def threshold_statistics(view: View) -> Array:
    """Of each point `[N, 4]`: its place between the bounds, -1 below and 2 above; whether it is between them; and how
    wide they are, as a logarithm, and the share of labels that is used."""
    low, high = view.adapted
    place = (view.pool.x[:, 0] - low) / (high - low)
    inside = ((place > 0) & (place < 1)).astype(float)
    width = jnp.broadcast_to(jnp.log2(high - low) / 8, place.shape)
    return jnp.stack([jnp.clip(place, -1, 2), inside, width, jnp.full(place.shape, view.step / view.labels)], axis=1)


def bisection_error(labels: int) -> float:
    """`E|error| = 2^-(k + 2)` of bisection, for a threshold U(0, 1)."""
    return 2.0 ** -(labels + 2)


def random_error(labels: int) -> float:
    """`E|error| = 1 / (2 (k + 2))` of labels at random places."""
    return 1 / (2 * (labels + 2))


class Posterior(NamedTuple):
    """Covariance `[N, N]` of a function on the pool, and its mean `[N]`."""

    mean: Array
    covariance: Array


Kernel = Callable[[Array, Array], Array]
"""`([N, D], [M, D]) -> [N, M]`."""


def line_kernel(a: Array, b: Array) -> Array:
    """Of the function `w_0 + w_1 x` with w ~ N(0, I)."""
    return 1 + a @ b.T


def rbf(scale: float) -> Kernel:
    """`exp(-|a - b|^2 / (2 scale^2))`."""
    return lambda a, b: jnp.exp(-jnp.sum((a[:, None] - b[None]) ** 2, axis=-1) / (2 * scale**2))


def gaussian(kernel: Kernel, noise: float) -> Learner:
    """The exact posterior of a Gaussian process on a pool, by one example after another, each of weight w labels.

        gain = w C_n / (noise + w C_nn),   m <- m + gain (y_n - m_n),   C <- C - gain C_n^T

    It has a derivative in weights of 0 too. `predict` takes the x of the pool in order, and returns mean and variance
    `[N, 2]`; the loss is `mean_variance`.
    """

    def adapt(params: Params, support: Batch) -> Posterior:
        k = kernel(support.x, support.x)
        weight = jnp.ones(len(k)) if support.weight is None else support.weight

        def learn(known: Posterior, row: tuple[Array, Array, Array]) -> tuple[Posterior, None]:
            n, w, y = row
            column = known.covariance[n]
            gain = w * column / (noise + w * column[n])
            return Posterior(known.mean + gain * (y - known.mean[n]), known.covariance - jnp.outer(gain, column)), None

        rows = jnp.arange(len(k)), weight, support.y[:, 0]
        return jax.lax.scan(learn, Posterior(jnp.zeros_like(weight), k), rows)[0]

    def predict(adapted: Posterior, x: Array, weight: Array | None = None) -> Array:
        return jnp.stack([adapted.mean, jnp.diagonal(adapted.covariance)], axis=1)

    return Learner(lambda key, x: {}, adapt, predict, _loss(predict, adapt, mean_variance))


def mean_variance(prediction: Array, query: Batch) -> Array:
    """Of the function, over the pool."""
    return jnp.mean(prediction[:, 1])


def design_pool(points: int, low: float, high: float, *, copies: int = 1) -> Episode:
    """Points from low to high, each so many times as it may be asked for. Their labels do not matter: the covariance
    does not depend on them."""
    x = jnp.tile(jnp.linspace(low, high, points), copies)[:, None]
    batch = Batch(x, jnp.zeros((len(x), 1)))
    return Episode(batch, batch)


def max_variance(view: View) -> Array:
    """The variance of the function."""
    return view.logits[:, 1]


def reduction(noise: float) -> Callable[[View], Array]:
    """By how much a label would lower the mean variance: `mean_m cov(m, n)^2 / (var_n + noise)`."""

    def rule(view: View) -> Array:
        gain = jnp.mean(view.adapted.covariance**2, axis=0) / (view.logits[:, 1] + noise)
        return gain

    return rule


def design_statistics(noise: float) -> Callable[[View], Array]:
    """Of each point `[N, 8]`: where it is, by cosines of it; its variance, its `reduction` and whether it is known; the
    share of labels that is used, twice."""

    def read(view: View) -> Array:
        x = view.pool.x[:, 0]
        place = (x - x[0]) / (x[-1] - x[0])
        used = jnp.full(x.shape, view.step / view.labels)
        gain = jnp.mean(view.adapted.covariance**2, axis=0) / (view.logits[:, 1] + noise)
        scale = jnp.mean(view.logits[:, 1])
        waves = [jnp.cos(math.pi * n * place) for n in (1, 2, 4)]
        each = [*waves, view.logits[:, 1] / scale, gain / scale, view.known, used, used**2]
        return jax.lax.stop_gradient(jnp.stack(each, axis=1))

    return read


DESIGN_STATISTICS = 8


class Designs(NamedTuple):
    """Of all designs of some size: the least mean variance, a design that has it, and the mean, of a random design."""

    least: float
    best: np.ndarray
    mean: float


def designs(kernel: Kernel, x: np.ndarray, noise: float, labels: int, *, repeated: bool = False) -> Designs:
    """Every design of so many labels, in float64.

    Args:
        kernel: of the function.
        x: the pool, `[N]`.
        noise: variance of a label.
        labels: of a design.
        repeated: whether a point may be asked for more than once.
    """
    with jax.enable_x64(True):
        wide = jnp.asarray(x, jnp.float64)[:, None]
        k = np.asarray(kernel(wide, wide))
    each = (
        itertools.product(range(len(x)), repeat=labels) if repeated else itertools.combinations(range(len(x)), labels)
    )
    rows = np.array(list(each))
    values = np.concatenate([_mean_variances(k, part, noise) for part in np.array_split(rows, len(rows) // 4096 + 1)])
    least = int(values.argmin())
    return Designs(float(values[least]), np.sort(np.asarray(x)[rows[least]]), float(values.mean()))


def _mean_variances(k: np.ndarray, designs: np.ndarray, noise: float) -> np.ndarray:
    """Mean variance `[M]` of designs `[M, labels]`."""
    among = k[designs[:, :, None], designs[:, None, :]] + noise * np.eye(designs.shape[1])
    outer = (k @ k)[designs[:, :, None], designs[:, None, :]]
    return (np.trace(k) - np.trace(np.linalg.solve(among, outer), axis1=1, axis2=2)) / len(k)
