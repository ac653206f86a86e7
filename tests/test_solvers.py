"""Solvers, against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmeta

RNG = np.random.default_rng(0)
ROOT = RNG.normal(size=(6, 6))
A = np.eye(6) + ROOT @ ROOT.T / 6
B = RNG.normal(size=6)


def split(v):
    return {"matrix": v[:4].reshape(2, 2), "vector": v[4:]}


def join(tree):
    return jnp.concatenate([tree["matrix"].reshape(-1), tree["vector"]])


def solved(solver, a=A, b=B):
    """In float64, with x and b in two parts."""
    with jax.enable_x64(True):
        matrix = jnp.asarray(a)
        found = jax.jit(lambda b: solver(lambda v: split(matrix @ join(v)), b))(split(jnp.asarray(b)))
        return np.asarray(join(found))


def by_hand(steps):
    x, r = np.zeros(6), B.copy()
    p = r.copy()
    for _ in range(steps):
        length = (r @ r) / (p @ A @ p)
        x, smaller = x + length * p, r - length * A @ p
        p = smaller + (smaller @ smaller) / (r @ r) * p
        r = smaller
    return x


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_conjugate_gradients_written_out(steps):
    np.testing.assert_allclose(solved(jmeta.solvers.conjugate_gradient(steps)), by_hand(steps), rtol=1e-10)


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_conjugate_gradients_are_the_best_of_their_krylov_space(steps):
    basis = np.stack([np.linalg.matrix_power(A, j) @ B for j in range(steps)], axis=1)
    best = basis @ np.linalg.solve(basis.T @ A @ basis, basis.T @ B)
    np.testing.assert_allclose(solved(jmeta.solvers.conjugate_gradient(steps)), best, rtol=1e-8)


@pytest.mark.parametrize("steps", [6, 50])
def test_conjugate_gradients_solve_in_as_many_steps_as_dimensions_and_more_do_no_harm(steps):
    np.testing.assert_allclose(solved(jmeta.solvers.conjugate_gradient(steps)), np.linalg.solve(A, B), rtol=1e-9)


def test_nothing_is_left_to_solve():
    """The identity takes one step; a right side of zeros takes none. Neither divides by zero."""
    np.testing.assert_array_equal(solved(jmeta.solvers.conjugate_gradient(9), np.eye(6)), B)
    np.testing.assert_array_equal(solved(jmeta.solvers.conjugate_gradient(3), b=0 * B), 0 * B)
    np.testing.assert_array_equal(solved(jmeta.solvers.neumann(3), b=0 * B), 0 * B)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_neumann_series_written_out(steps):
    terms = [np.linalg.matrix_power(np.eye(6) - 0.2 * A, j) @ B for j in range(steps)]
    np.testing.assert_allclose(solved(jmeta.solvers.neumann(steps, rate=0.2)), 0.2 * sum(terms), rtol=1e-10)


def test_neumann_series_converges_to_the_solution():
    rate = 1 / np.linalg.eigvalsh(A)[-1]
    errors = [np.abs(solved(jmeta.solvers.neumann(k, rate)) - np.linalg.solve(A, B)).max() for k in (1, 10, 300)]
    assert errors[0] > 10 * errors[1] / 9 > errors[2]
    assert errors[2] < 1e-8


@pytest.mark.parametrize("make", [lambda: jmeta.solvers.conjugate_gradient(3), lambda: jmeta.solvers.neumann(3, 0.2)])
def test_float32_stays_float32_and_many_systems_are_solved_at_once(make):
    a = jnp.asarray(A, jnp.float32)
    many = jnp.asarray(RNG.normal(size=(5, 6)), jnp.float32)
    one = lambda b: make()(lambda v: a @ v, b)
    together = jax.vmap(one)(many)
    assert together.dtype == jnp.float32
    np.testing.assert_allclose(together, jnp.stack([one(b) for b in many]), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda: jmeta.solvers.conjugate_gradient(0),
        lambda: jmeta.solvers.neumann(0),
        lambda: jmeta.solvers.neumann(3, rate=0.0),
        lambda: jmeta.solvers.neumann(3, rate=float("nan")),
    ],
)
def test_numbers_out_of_range_are_refused(make):
    with pytest.raises(ValueError, match=r"must be .*, got "):
        make()
