"""The convex problems inside aggregators, beside SciPy and certificates of optimality."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize, nnls

from jmeta.mtl.aggregators.convex import center, least_above, least_on_simplex, least_with_norm

KINDS = ("random", "scales from 1 to 1e-3", "nearly parallel", "opposite", "dependent")
SIZES = (2, 3, 7)  # those up to 4 are solved without LAPACK


def gram_of(size, kind, seed=0):
    """The products of gradients over their trace, in single precision."""
    rng = np.random.default_rng([seed, size, KINDS.index(kind)])
    rows = rng.normal(size=(size, 2 if kind == "dependent" else 2 * size))
    if kind == "scales from 1 to 1e-3":
        rows *= np.logspace(0, -3, size)[:, None]
    if kind == "nearly parallel":
        rows = rows[:1] + 0.01 * rows
    if kind == "opposite":
        half = size // 2
        rows[half : 2 * half] = -rows[:half] + 0.1 * rows[half : 2 * half]
    gram = rows @ rows.T
    return (gram / np.trace(gram)).astype(np.float32)


def root(matrix):
    """R with `R' R` the matrix."""
    values, vectors = np.linalg.eigh(np.asarray(matrix, float))
    return np.sqrt(np.maximum(values, 0))[:, None] * vectors.T


def many(solve, *arguments):
    """A solver on a stack of problems."""
    return jax.jit(jax.vmap(solve))(*(jnp.asarray(np.stack(a), jnp.float32) for a in arguments))


@pytest.mark.parametrize("size", SIZES)
def test_least_above_is_that_of_non_negative_least_squares(size):
    matrices = [gram_of(size, kind) + np.float32(1e-4) * np.eye(size, dtype=np.float32) for kind in KINDS]
    bounds = np.random.default_rng(0).uniform(-0.2, 1, (len(KINDS), size)).astype(np.float32)
    found = np.asarray(many(least_above, matrices, bounds), float)
    for matrix, bound, point in zip(matrices, bounds.astype(float), found, strict=True):
        r = root(matrix)
        expected = bound + nnls(r, -r @ bound)[0]
        assert np.all(point >= bound)
        np.testing.assert_allclose(point, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", SIZES)
def test_least_on_simplex_is_the_shortest_combination(size):
    matrices = [gram_of(size, kind) for kind in KINDS]
    found = np.asarray(many(least_on_simplex, matrices), float)
    for kind, matrix, weights in zip(KINDS, np.asarray(matrices, float), found, strict=True):
        r, heavy = root(matrix), 100.0
        expected = nnls(np.vstack([r, np.full(size, heavy)]), np.append(np.zeros(size), heavy))[0]
        expected /= expected.sum()
        assert np.all(weights >= 0)
        assert weights.sum() == pytest.approx(1, abs=1e-6)
        assert weights @ matrix @ weights <= expected @ matrix @ expected + 1e-7
        if kind in ("random", "nearly parallel"):  # of the others several may be as good to seven digits
            np.testing.assert_allclose(weights, expected, atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
def test_least_with_norm_closes_its_duality_gap(size):
    """Any w bounds the least value from above, any v from below, so that a small gap proves both."""
    matrices = [gram_of(size, kind) for kind in KINDS for _ in (0.1, 0.9, 3.0)]
    factors = np.asarray([c for _ in KINDS for c in (0.1, 0.9, 3.0)], np.float32)
    linear = np.stack([m.mean(1) / np.sqrt(m.mean()) for m in matrices])
    w, v = (np.asarray(a, float) for a in many(least_with_norm, matrices, linear, factors))
    for i, matrix in enumerate(np.asarray(matrices, float)):
        norm = lambda a, matrix=matrix: np.sqrt(a @ matrix @ a)
        above = linear[i] @ w[i] + factors[i] * norm(w[i])
        below = np.min(linear[i] + factors[i] * matrix @ v[i] / max(norm(v[i]), 1))
        assert norm(v[i]) < 1 + 1e-3
        assert w[i].sum() == pytest.approx(1, abs=1e-6)
        assert -1e-6 < above - below < 5e-4


def test_least_with_norm_is_that_of_slsqp():
    matrix = gram_of(3, "random").astype(float)
    linear = matrix.mean(1) / np.sqrt(matrix.mean())
    value = lambda w: linear @ w + 0.5 * np.sqrt(w @ matrix @ w)
    one = {"type": "eq", "fun": lambda w: w.sum() - 1}
    expected = minimize(value, np.full(3, 1 / 3), bounds=[(0, 1)] * 3, constraints=one, tol=1e-12)
    w, v = least_with_norm(jnp.asarray(matrix, jnp.float32), jnp.asarray(linear, jnp.float32), 0.5)
    np.testing.assert_allclose(w, expected.x, atol=1e-4)
    np.testing.assert_allclose(v, expected.x / np.sqrt(expected.x @ matrix @ expected.x), rtol=1e-3, atol=1e-3)


def test_where_the_norm_comes_to_nothing_its_direction_is_still_the_best():
    """Of gradients (1, 0), (-1, 1) and (-1, -1), with b = 0, no direction helps all, and v = 0 is as good as any."""
    rows = np.asarray([[1.0, 0.0], [-1.0, 1.0], [-1.0, -1.0]])
    matrix = jnp.asarray(rows @ rows.T / 5, jnp.float32)
    w, v = least_with_norm(matrix, jnp.zeros(3), 1.0)
    np.testing.assert_allclose(w, [0.5, 0.25, 0.25], atol=1e-3)
    assert np.min(np.asarray(matrix) @ np.asarray(v)) > -1e-3


@pytest.mark.parametrize("size", SIZES)
def test_center_solves_its_equation(size):
    matrices = [gram_of(size, kind) for kind in KINDS]
    scales = [np.sqrt(np.diagonal(m)) for m in matrices]
    cosines = [m / np.outer(s, s) + 1e-3 * np.eye(size) for m, s in zip(matrices, scales, strict=True)]
    found = np.asarray(many(center, cosines), float)
    assert np.all(found > 0)
    for matrix, point in zip(cosines, found, strict=True):
        np.testing.assert_allclose(point * (matrix @ point), 1, atol=2e-3)


def test_fifty_tasks_in_a_few_dimensions():
    matrix = gram_of(50, "dependent")
    ridged = (matrix + 1e-4 * np.eye(50)).astype(np.float32)
    own = np.eye(50, dtype=np.float32)[0]
    above, inside, (w, v) = jax.jit(
        lambda matrix, ridged, own: (
            least_above(ridged, own),
            least_on_simplex(matrix),
            least_with_norm(matrix, jnp.mean(matrix, axis=1) / jnp.sqrt(jnp.mean(matrix)), 0.5),
        )
    )(matrix, ridged, own)
    r = root(ridged)
    np.testing.assert_allclose(above, own + nnls(r, -r @ own)[0], atol=1e-3)
    assert np.asarray(inside) @ matrix @ np.asarray(inside) < 1e-7
    w, v = np.asarray(w, float), np.asarray(v, float)
    linear = matrix.mean(1) / np.sqrt(matrix.mean())
    assert linear @ w + 0.5 * np.sqrt(max(w @ matrix @ w, 0)) - np.min(linear + 0.5 * matrix @ v) < 1e-5
