"""What the best process can reach where it can be computed: curves of Gaussian processes whose kernel is told, and the
mean of a normal distribution."""

from typing import NamedTuple

import numpy as np

from jmeta.checks import check_above_zero


class Oracle(NamedTuple):
    """Log-likelihoods of the queries of some tasks, in nats a target, `[tasks]` each.

    Attributes:
        diagonal: of each query by itself, given the support set: the most that independent predictions reach.
        floored: the same, with standard deviations of `floor` at the least.
        joint: of all queries jointly, divided by their number: the most that any prediction reaches.
    """

    diagonal: np.ndarray
    floored: np.ndarray
    joint: np.ndarray


def rbf_posterior(
    x: np.ndarray, y: np.ndarray, asked: np.ndarray, *, length: float, scale: float, noise: float
) -> tuple[np.ndarray, np.ndarray]:
    """Mean `[M]` and covariance `[M, M]`, noise included, of new targets of a Gaussian process that has seen N.

        k(a, b) = scale^2 exp(-(a - b)^2 / (2 length^2)),   K = k(x, x) + noise^2 I
        mean = k(asked, x) K^-1 y,   covariance = k(asked, asked) - k(asked, x) K^-1 k(x, asked) + noise^2 I

    Args:
        x: places `[N]`, 0 or more of them.
        y: targets `[N]`.
        asked: places `[M]`.
        length: of the kernel, in units of x.
        scale: the standard deviation of a function's value.
        noise: the standard deviation of a target, above 0.

    Raises:
        ValueError: if a number is not above 0.

    Source: Rasmussen and Williams 2006, Gaussian Processes for Machine Learning, eq. 2.23 and 2.24.
    """
    for name, value in (("length", length), ("scale", scale), ("noise", noise)):
        check_above_zero(name, value)
    k = lambda a, b: scale**2 * np.exp(-((a[:, None] - b[None]) ** 2) / (2 * length**2))
    x, y, asked = (np.asarray(a, np.float64) for a in (x, y, asked))
    root = np.linalg.cholesky(k(x, x) + noise**2 * np.eye(len(x)))
    part, whitened = np.linalg.solve(root, k(x, asked)), np.linalg.solve(root, y)
    return part.T @ whitened, k(asked, asked) - part.T @ part + noise**2 * np.eye(len(asked))


def rbf_oracle(
    support: tuple[np.ndarray, np.ndarray, np.ndarray],
    query: tuple[np.ndarray, np.ndarray, np.ndarray],
    *,
    length: np.ndarray,
    scale: np.ndarray,
    noise: float,
    floor: float = 0.1,
) -> Oracle:
    """What the process that curves are drawn from says of them, in float64.

    Args:
        support: x, y and weights, `[tasks, N]` each; rows of weight 0 are not there.
        query: the same, `[tasks, M]` each, of which one or more of each task are there.
        length: of the kernel of each task, `[tasks]`.
        scale: the standard deviation of each function's values, `[tasks]`.
        noise: the standard deviation of a target.
        floor: standard deviations of `Oracle.floored` are this at the least.
    """
    found = []
    for (x, y, w), (asked, new, there), own_length, own_scale in zip(
        zip(*support, strict=True), zip(*query, strict=True), length, scale, strict=True
    ):
        asked, new = asked[there > 0], np.asarray(new[there > 0], np.float64)
        mean, covariance = rbf_posterior(
            x[w > 0], y[w > 0], asked, length=float(own_length), scale=float(own_scale), noise=noise
        )
        variance = np.diag(covariance)
        diagonal, floored = (
            np.mean(normal_log_density(new, mean, v)) for v in (variance, np.maximum(variance, floor**2))
        )
        root = np.linalg.cholesky(covariance)
        whitened = np.linalg.solve(root, new - mean)
        joint = np.mean(normal_log_density(whitened, 0.0, 1.0) - np.log(np.diag(root)))
        found.append((diagonal, floored, joint))
    return Oracle(*np.array(found).T)


def normal_log_density(y: np.ndarray, mean: np.ndarray | float, variance: np.ndarray | float) -> np.ndarray:
    """Of each value by itself, in nats."""
    return -((y - mean) ** 2) / (2 * variance) - np.log(2 * np.pi * variance) / 2


def mean_log_likelihood(seen: int) -> float:
    """The expected log-likelihood, in nats, of a new value by the exact posterior of a mean, after so many values.

    mu ~ N(0, 1),   y ~ N(mu, 1):   -log(2 pi e (1 + 1 / (seen + 1))) / 2
    """
    if seen < 0:
        raise ValueError(f"seen must be 0 or more, got {seen}")
    return float(-np.log(2 * np.pi * np.e * (1 + 1 / (seen + 1))) / 2)
