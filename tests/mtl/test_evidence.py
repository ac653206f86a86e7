"""Relatedness by evidence, beside the Gaussian density of all examples, a ridge, and a fit of scikit-learn's."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.linear_model import BayesianRidge

from jmeta.mtl.relatedness import correlations, related_ridge, task_evidence
from scripts.mtl.related_tasks import block_omega, related_tasks

TASKS, EXAMPLES, FEATURES = 3, 9, 4


@functools.cache
def problem():
    """Tasks of 9, 6 and 3 examples, with numbers in the padding that must not matter."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(TASKS, EXAMPLES, FEATURES))
    y = x @ rng.normal(size=FEATURES) + 0.5 * rng.normal(size=(TASKS, EXAMPLES))
    weight = (np.arange(EXAMPLES) < np.array([9, 6, 3])[:, None]).astype(float)
    return x, y, weight


def density(x, y, omega, noise):
    """The logarithm of the density of all y, with a row of x and y for each task."""
    task = np.repeat(np.arange(len(x)), [len(rows) for rows in x])
    rows = np.concatenate(x)
    covariance = (rows @ rows.T) * omega[np.ix_(task, task)] + noise * np.eye(len(rows))
    return multivariate_normal(np.zeros(len(rows)), covariance).logpdf(np.concatenate(y))


def test_evidence_is_the_density_of_the_examples_and_never_falls():
    x, y, weight = problem()
    rows = [mask > 0 for mask in weight]
    with jax.enable_x64(True):
        found = jax.jit(functools.partial(task_evidence, iterations=40))(x, y, weight=weight)
    expected = density([a[r] for a, r in zip(x, rows, strict=True)], [a[r] for a, r in zip(y, rows, strict=True)],
                       np.asarray(found.omega), float(found.noise))  # fmt: skip
    assert np.asarray(found.evidence)[-1] == pytest.approx(expected, rel=1e-9)
    path = np.asarray(found.evidence)
    assert path.shape == (41,)
    assert np.diff(path).min() > -1e-9
    assert path[-1] > path[0] + 1


def test_weights_are_the_ridge_regressions_for_that_covariance():
    x, y, _ = problem()
    with jax.enable_x64(True):
        found = task_evidence(x, y, iterations=5)
        size = jnp.trace(found.omega)
        ridge = related_ridge(x, y, found.omega / size, ridge=0.0, relation=found.noise / (EXAMPLES * size))
    np.testing.assert_allclose(found.weights, ridge, rtol=1e-7, atol=1e-9)


def test_of_one_task_it_is_the_evidence_maximum_of_bayesian_ridge():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(40, 6))
    y = x @ rng.normal(size=6) + rng.normal(size=40)
    theirs = BayesianRidge(
        fit_intercept=False, alpha_1=0, alpha_2=0, lambda_1=0, lambda_2=0, max_iter=1000, tol=1e-12
    ).fit(x, y)
    with jax.enable_x64(True):
        found = jax.jit(functools.partial(task_evidence, iterations=1000))(x[None], y[None])
    assert float(found.noise) == pytest.approx(1 / theirs.alpha_, rel=1e-5)
    assert np.asarray(found.omega)[0, 0] == pytest.approx(1 / theirs.lambda_, rel=1e-5)
    np.testing.assert_allclose(found.weights[0], theirs.coef_, rtol=1e-5)


def test_on_tasks_with_a_known_covariance_it_is_found():
    """Mean relative error of five draws at most 0.22, where a ridge of each task has about 0.4."""
    fit = jax.jit(functools.partial(task_evidence, iterations=30))
    errors, found = [], []
    for seed in range(5):
        tasks = related_tasks(jax.random.key(seed))
        evidence = fit(tasks.x, tasks.y)
        errors.append(float(jnp.sum((evidence.weights - tasks.weights) ** 2) / jnp.sum(tasks.weights**2)))
        found.append(np.asarray(correlations(evidence.omega)))
    assert np.mean(errors) < 0.22
    np.testing.assert_allclose(np.mean(found, axis=0), block_omega(), atol=0.1)


@pytest.mark.parametrize("size", [0.0, 1.0])
def test_examples_without_noise_give_finite_numbers(size):
    x = jax.random.normal(jax.random.key(0), (2, 8, 3))
    found = jax.jit(functools.partial(task_evidence, iterations=400))(x, size * jnp.sum(x, axis=2))
    for name, array in found._asdict().items():
        assert np.all(np.isfinite(array)), name
    np.testing.assert_allclose(found.weights, np.full((2, 3), size), atol=1e-3)


def test_refusals():
    x, y = jnp.ones((2, 3, 4)), jnp.ones((2, 3))
    with pytest.raises(ValueError, match="iterations must be 1 or more, got 0"):
        task_evidence(x, y, iterations=0)
    with pytest.raises(ValueError, match=r"x must be \[T, N, D\], with y and weight \[T, N\], got \[2, 3, 4\], \[2\]"):
        task_evidence(x, y[:, 0])
