"""Linear regressions of tasks whose covariance, and noise, are those under which the examples are most probable."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array, lax
from jax.scipy.linalg import cho_factor, cho_solve

from jmeta.distances import product
from jmeta.mtl.relatedness.moments import counted, moments


class TaskEvidence(NamedTuple):
    """What the examples of T linear tasks make probable.

    Attributes:
        weights: `[T, D]`, the mean of the regression of each task given all examples.
        omega: `[T, T]`, the covariance between tasks that every column of the weights was drawn with.
        noise: `[]`, the variance of y around its regression.
        evidence: `[iterations + 1]`, the logarithm of the density of all y at each covariance and noise, in nats; the
            last is that of what is returned. But for rounding it never falls.
    """

    weights: Array
    omega: Array
    noise: Array
    evidence: Array


def task_evidence(x: Array, y: Array, *, iterations: int = 100, weight: Array | None = None) -> TaskEvidence:
    """Learn regressions and how the tasks are related, with nothing to tune, by maximum likelihood of the second kind.

        y_in ~ N(x_in . w_i, v),   each column of W ~ N(0, Omega)
        max over Omega and v of   log p(y | X, Omega, v),   with W integrated out

    Expectation maximization, from unrelated tasks which halve the mean square of y with the noise. M and C are the mean
    and the covariance of W given all examples:

        Omega <- 1/D sum_d (M_:d M_:d' + C_:d,:d)
        v     <- 1/n sum_in ((y_in - x_in . m_i)^2 + x_in' C_i:,i: x_in)

    `task_covariance` shrinks singular values of W by penalties chosen on examples held out, and estimates the root of
    the covariance; this estimates the covariance itself and the penalties with it, and on tasks drawn with a known one
    it is the better. It assumes that the weights of all features are of one size, and solves a dense system of T * D
    unknowns, up to a few thousand, in each iteration.

    Args:
        x: `[T, N, D]`, floating point, padded to N examples of each task. A constant feature has a weight like others.
        y: `[T, N]`.
        iterations: of expectation maximization, 1 or more.
        weight: `[T, N]`, how often each example counts, 0 for padding; None means once.

    Returns:
        A `TaskEvidence`, in float32 or better.

    Raises:
        ValueError: for shapes that do not fit, examples that are not of floating point, or no iterations.

    Example:
        Two tasks with opposite weights, five examples of eight features each: together they tell all.

        >>> x = jnp.cos(jnp.arange(80.0) ** 2).reshape(2, 5, 8)
        >>> y = jnp.array([1.0, -1.0])[:, None] * jnp.sum(x, axis=2)
        >>> task_evidence(x, y).omega.round(2).tolist()
        [[1.0, -1.0], [-1.0, 1.0]]

    Differs from the paper: a linear kernel, one variance of the noise for all tasks, and no gradients beside the
    closed forms.

    Source: Bonilla, Chai and Williams 2007, Multi-task Gaussian Process Prediction.
    https://papers.nips.cc/paper/3189-multi-task-gaussian-process-prediction; for expectation maximization on one task,
    MacKay 1992, Bayesian Interpolation. https://doi.org/10.1162/neco.1992.4.3.415
    """
    if iterations < 1:
        raise ValueError(f"iterations must be 1 or more, got {iterations}")
    found = moments(x, y, weight)
    gram, cross = found.gram * found.counts[:, None, None], found.cross * found.counts[:, None]
    x, y, often = counted(x, y, weight)
    (tasks, features), number = cross.shape, jnp.maximum(jnp.sum(often), 1)
    identity = jnp.eye(tasks * features, dtype=cross.dtype)

    def expect(omega: Array, noise: Array) -> _Expected:
        # W = root U with U ~ N(0, 1), so that the system has no eigenvalue below 1 even where omega is singular.
        root = _root(omega)
        system = jnp.einsum("is,it,ide->sdte", root, root, gram, precision="highest") / noise
        factor = cho_factor(system.reshape(tasks * features, -1) + identity)
        inverse = cho_solve(factor, identity).reshape(tasks, features, tasks, features)
        u = cho_solve(factor, (product(root.T, cross) / noise).ravel()).reshape(tasks, features)
        mean = product(root, u)
        spread = product(product(root, jnp.einsum("sdtd->st", inverse)), root.T)
        wrong = jnp.sum(often * jnp.square(y - jnp.einsum("ind,id->in", x, mean, precision="highest")))
        known = jnp.sum(1 - jnp.einsum("sdsd->sd", inverse))
        volume = number * jnp.log(2 * jnp.pi * noise) + 2 * jnp.sum(jnp.log(jnp.diagonal(factor[0])))
        evidence = -(volume + wrong / noise + jnp.sum(u * u)) / 2
        return _Expected(mean, product(mean, mean.T) + spread, wrong + noise * known, evidence)

    def step(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], Array]:
        expected = expect(*carry)
        noise = jnp.maximum(expected.wrong / number, least)
        return (expected.second / features, noise), expected.evidence

    half = _or_one(jnp.sum(often * y * y) / (2 * number))
    least = 100 * jnp.finfo(half.dtype).eps * half  # below, rounding decides
    size = _or_one(jnp.einsum("idd->", gram) / number)
    (omega, noise), path = lax.scan(step, (half / size * jnp.eye(tasks, dtype=y.dtype), half), None, length=iterations)
    last = expect(omega, noise)
    return TaskEvidence(last.mean, omega, noise, jnp.append(path, last.evidence))


class _Expected(NamedTuple):
    """Given covariance, noise and examples, of W: its mean `[T, D]`, the sum of its columns' second moments `[T, T]`,
    and the square of its error on all examples; and the evidence."""

    mean: Array
    second: Array
    wrong: Array
    evidence: Array


def _or_one(value: Array) -> Array:
    return jnp.where(value > 0, value, 1)


def _root(omega: Array) -> Array:
    sizes, directions = jnp.linalg.eigh(omega)
    return product(directions * jnp.sqrt(jnp.maximum(sizes, 0))[None, :], directions.T)
