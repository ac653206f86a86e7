"""Learned relatedness, beside float64 solutions of the same problems and a problem whose relatedness is known."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jmeta.mtl.relatedness import (
    correlations,
    covariance_of,
    explained_variance,
    fold_numbers,
    held_out_errors,
    pooled_ridge,
    related_ridge,
    task_covariance,
    task_ridge,
)
from scripts.mtl.related_tasks import block_omega, related_tasks

TASKS, EXAMPLES, FEATURES = 4, 12, 5
RIDGE, RELATION = 0.03, 0.01


@functools.cache
def problem():
    """Tasks of 12, 9, 4 and 7 examples, in float32, with numbers in the padding that must not matter."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(TASKS, EXAMPLES, FEATURES)).astype(np.float32)
    y = (x @ rng.normal(size=FEATURES) + rng.normal(size=(TASKS, EXAMPLES))).astype(np.float32)
    weight = (np.arange(EXAMPLES) < np.array([12, 9, 4, 7])[:, None]).astype(np.float32)
    return x, y, weight


def positive(rank=TASKS):
    root = np.random.default_rng(1).normal(size=(TASKS, rank))
    return root @ root.T / np.trace(root @ root.T)


def moments(x, y, weight):
    counts = weight.sum(axis=1)
    x, y, weight = (np.asarray(a, np.float64) for a in (x, y, weight))
    share = weight / counts[:, None]
    return np.einsum("in,ind,ine->ide", share, x, x), np.einsum("in,ind,in->id", share, x, y)


def dense(omega, ridge, relation):
    """All T * D unknowns as one system, with the weights as omega^(1/2) times others, so that omega may be singular."""
    gram, cross = moments(*problem())
    sizes, vectors = np.linalg.eigh(omega)
    root = (vectors * np.sqrt(np.maximum(sizes, 0))) @ vectors.T
    blocks = np.einsum("ia,ib,ide->adbe", root, root, gram + ridge * np.eye(FEATURES))
    system = blocks.reshape(TASKS * FEATURES, -1) + relation * np.eye(TASKS * FEATURES)
    return root @ np.linalg.solve(system, (root @ cross).ravel()).reshape(TASKS, FEATURES)


def root_of(weights):
    u, s, _ = np.linalg.svd(weights, full_matrices=False)
    return (u * s) @ u.T / s.sum()


def objective(weights, omega, ridge, relation):
    x, y, weight = problem()
    wrong = y - np.einsum("ind,id->in", x.astype(np.float64), weights)
    fit = np.sum(np.sum(weight * wrong**2, axis=1) / weight.sum(axis=1))
    return fit + ridge * np.sum(weights**2) + relation * np.trace(weights.T @ np.linalg.pinv(omega) @ weights)


@functools.cache
def solve():
    x, y, weight = problem()
    return jax.jit(
        lambda omega, ridge, relation: related_ridge(x, y, omega, ridge=ridge, relation=relation, weight=weight)
    )


@functools.cache
def learn():
    x, y, weight = problem()
    return jax.jit(
        lambda ridge, relation: task_covariance(x, y, ridge=ridge, relation=relation, weight=weight, iterations=6)
    )


@pytest.mark.parametrize("rank", [1, 2, TASKS])
@pytest.mark.parametrize(("ridge", "relation"), [(RIDGE, RELATION), (0.0, 1.0), (0.1, 1e-4)])
def test_weights_for_a_given_omega_are_those_of_the_dense_system(rank, ridge, relation):
    omega = positive(rank)
    found = solve()(jnp.asarray(omega, jnp.float32), ridge, relation)
    np.testing.assert_allclose(found, dense(omega, ridge, relation), atol=1e-4)


def test_the_objective_falls_at_every_half_step_down_to_the_minimum():
    omega, values = np.eye(TASKS) / TASKS, []
    for _ in range(7):
        weights = np.asarray(solve()(jnp.asarray(omega, jnp.float32), RIDGE, RELATION), np.float64)
        values.append(objective(weights, omega, RIDGE, RELATION))
        omega = np.asarray(covariance_of(jnp.asarray(weights, jnp.float32)), np.float64)
        values.append(objective(weights, omega, RIDGE, RELATION))
    assert np.all(np.diff(values) < 1e-6)
    assert values[-1] < values[0] - 1e-3
    found = learn()(RIDGE, RELATION)
    np.testing.assert_allclose(found.objective, values[1::2], rtol=1e-5)
    np.testing.assert_allclose(found.weights, weights, atol=1e-5)
    np.testing.assert_allclose(found.omega, omega, atol=1e-5)


def test_it_is_what_the_same_steps_come_to_in_float64():
    omega = np.eye(TASKS) / TASKS
    for _ in range(7):
        weights = dense(omega, RIDGE, RELATION)
        omega = root_of(weights)
    found = learn()(RIDGE, RELATION)
    np.testing.assert_allclose(found.weights, weights, atol=1e-4)
    np.testing.assert_allclose(found.omega, omega, atol=1e-4)
    assert abs(np.trace(found.omega) - 1) < 1e-6


def test_padding_changes_nothing():
    x, y, weight = problem()
    fit = jax.jit(
        lambda x, y, weight: task_covariance(x, y, ridge=RIDGE, relation=RELATION, weight=weight, iterations=6)
    )
    found = fit(x, y, weight)
    rows = weight[..., None] > 0
    for a, b in zip(found, fit(np.where(rows, x, 7), np.where(weight > 0, y, -9), weight), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    # More of it changes the order of sums, and with that the last digits.
    more = np.full((TASKS, 5, FEATURES), 3.0, np.float32)
    longer = [np.concatenate(pair, axis=1) for pair in ((x, more), (y, more[..., 0]), (weight, 0 * more[..., 0]))]
    with jax.enable_x64(True):
        in_float64 = [fit(*(jnp.asarray(a, jnp.float64) for a in data)) for data in ((x, y, weight), longer)]
        assert in_float64[0].weights.dtype == jnp.float64
    for a, b, c in zip(*in_float64, found, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
        np.testing.assert_allclose(a, c, atol=1e-4)


def test_equal_and_unrelated_tasks_are_ridge_regressions_of_each():
    x, y, weight = problem()
    alone = jax.jit(lambda ridge: task_ridge(x, y, ridge=ridge, weight=weight))
    gram, cross = moments(x, y, weight)
    exact = np.linalg.solve(gram + 0.07 * np.eye(FEATURES), cross[..., None])[..., 0]
    np.testing.assert_allclose(alone(0.07), exact, atol=1e-4)
    np.testing.assert_allclose(solve()(jnp.eye(TASKS) / TASKS, 0.03, 0.01), exact, atol=1e-4)  # 0.03 + 4 * 0.01
    np.testing.assert_allclose(learn()(0.07, 1e-7).weights, exact, atol=1e-3)


def test_tasks_with_one_weight_vector_are_one_regression():
    """With omega of equal entries, and examples of all tasks alike in number, tasks are pooled."""
    x, y, _ = problem()
    together = jax.jit(lambda omega: related_ridge(x, y, omega, ridge=RIDGE, relation=RELATION))
    # The penalty of T equal rows is T * ridge + relation * T^2 / T, beside a sum of T mean errors.
    pooled = jax.jit(lambda ridge: pooled_ridge(x, y, ridge=ridge))(RIDGE + RELATION)
    equal = together(jnp.full((TASKS, TASKS), 1 / TASKS))
    np.testing.assert_allclose(equal, np.broadcast_to(pooled, (TASKS, FEATURES)), atol=1e-4)
    flat = x.reshape(-1, FEATURES).astype(np.float64)
    system = flat.T @ flat / len(flat) + (RIDGE + RELATION) * np.eye(FEATURES)
    np.testing.assert_allclose(pooled, np.linalg.solve(system, flat.T @ y.ravel() / len(flat)), atol=1e-5)


def test_pooled_examples_count_alike_whatever_their_task():
    x, y, weight = problem()
    rows = weight.ravel() > 0
    flat, targets = x.reshape(-1, FEATURES)[rows].astype(np.float64), y.ravel()[rows]
    system = flat.T @ flat / len(flat) + RIDGE * np.eye(FEATURES)
    exact = np.linalg.solve(system, flat.T @ targets / len(flat))
    np.testing.assert_allclose(pooled_ridge(x, y, ridge=RIDGE, weight=weight), exact, atol=1e-5)


def test_a_grid_of_penalties_is_one_vmap():
    ridges, relations = jnp.array([0.0, 0.1]), jnp.array([0.01, 0.3])
    grid = jax.jit(jax.vmap(learn()))(ridges, relations)
    for i in range(2):
        one = learn()(ridges[i], relations[i])
        np.testing.assert_allclose(grid.weights[i], one.weights, atol=1e-5)


def test_the_closed_form_of_omega():
    weights = np.random.default_rng(3).normal(size=(6, 3)).astype(np.float32)  # more tasks than features: rank 3
    omega = covariance_of(jnp.asarray(weights))
    np.testing.assert_allclose(omega, root_of(weights.astype(np.float64)), atol=1e-6)
    np.testing.assert_allclose(omega @ omega * np.linalg.svd(weights)[1].sum() ** 2, weights @ weights.T, atol=1e-4)
    assert covariance_of(jnp.zeros((2, 3))).tolist() == [[0.5, 0.0], [0.0, 0.5]]


def test_relatedness_that_is_known():
    """100 features, 60 examples, four tasks in an opposite and a like pair."""
    given = block_omega() / 4

    def measure(seed):
        tasks = related_tasks(jax.random.key(seed))
        error = lambda weights: jnp.sum(jnp.square(weights - tasks.weights)) / jnp.sum(jnp.square(tasks.weights))
        found = task_covariance(tasks.x, tasks.y, ridge=0.0, relation=0.003)
        alone = error(task_ridge(tasks.x, tasks.y, ridge=0.01))
        told = error(related_ridge(tasks.x, tasks.y, given, ridge=0.0, relation=0.001))
        return alone, error(found.weights), told, correlations(found.omega)

    # One after another: batches of different decompositions at the same time can lock up CPUs of two cores.
    alone, learned, told, alike = jax.jit(lambda seeds: lax.map(measure, seeds))(jnp.arange(8))
    assert 0.36 < np.mean(alone) < 0.44  # 1 - 60 / 100 of the weights can't be seen
    assert np.mean(learned) < 0.24
    assert np.mean(told) < 0.18
    assert np.all(learned < 0.75 * alone)
    alike = np.mean(alike, axis=0)
    # Those of the root of omega, and not -0.95 and 0.8 of omega itself.
    assert abs(alike[0, 1] + 0.724) < 0.1
    assert abs(alike[2, 3] - 0.5) < 0.08
    assert np.abs(alike[:2, 2:]).max() < 0.08


def test_weights_are_drawn_with_their_covariance():
    omega = block_omega((-0.9, 0.5))
    tasks = related_tasks(jax.random.key(0), omega=omega, features=4000, examples=2, noise=0.0)
    np.testing.assert_allclose(tasks.weights @ tasks.weights.T / 4000, omega, atol=0.06)
    np.testing.assert_allclose(tasks.y, np.einsum("ind,id->in", tasks.x, tasks.weights), rtol=1e-4, atol=1e-3)


def test_folds_are_even_in_each_task_and_leave_out_padding():
    _, _, weight = problem()
    numbers = fold_numbers(np.random.default_rng(0), weight, 3)
    assert np.array_equal(numbers >= 0, weight > 0)
    for row in numbers:
        counts = np.bincount(row[row >= 0], minlength=3)
        assert counts.max() - counts.min() <= 1
    with pytest.raises(ValueError, match="folds must be 2 or more, got 1"):
        fold_numbers(np.random.default_rng(0), weight, 1)


def test_errors_are_of_what_was_held_out():
    x, y, weight = problem()
    held_out = weight * (np.arange(EXAMPLES) < 2)
    train = weight - held_out
    errors = held_out_errors(task_ridge, {"ridge": jnp.array([0.1, 1.0])}, x, y, train=train, held_out=held_out)
    weights = np.asarray(task_ridge(x, y, ridge=1.0, weight=train))
    wrong = (y - np.einsum("ind,id->in", x, weights))[held_out > 0]
    assert errors.shape == (2,)
    np.testing.assert_allclose(errors[1], np.mean(wrong**2), rtol=1e-5)


def test_explained_variance_has_one_mean_for_all_tasks():
    _, y, weight = problem()
    constant = jnp.ones((TASKS, EXAMPLES, 1))
    mean = np.sum(y * weight) / np.sum(weight)
    found = explained_variance(jnp.full((TASKS, 1), mean), constant, jnp.asarray(y), weight=weight)
    assert abs(found) < 1e-6
    assert explained_variance(jnp.full((TASKS, 1), mean + 1), constant, jnp.asarray(y), weight=weight) < -0.01


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ridge": -1.0}, "ridge must be a finite number of 0 or more, got -1.0"),
        ({"relation": 0.0}, "relation must be a finite number above 0, got 0.0"),
        ({"iterations": 0}, "iterations must be 1 or more, got 0"),
        ({"x": np.zeros((2, 3, 4), np.uint8)}, "x must be of floating point, got uint8: cast it"),
        (
            {"y": np.zeros((2, 4), np.float32)},
            r"x must be \[T, N, D\], with y and weight \[T, N\], got \[2, 3, 4\], \[2, 4\]",
        ),
        ({"weight": np.zeros((2, 2), np.float32)}, r"got \[2, 3, 4\], \[2, 3\] and \[2, 2\]"),
    ],
)
def test_bad_input_is_refused(change, message):
    data = {"x": np.zeros((2, 3, 4), np.float32), "y": np.zeros((2, 3), np.float32), "ridge": 0.1, "relation": 0.1}
    options = {**data, **change}
    with pytest.raises(ValueError, match=message):
        task_covariance(options.pop("x"), options.pop("y"), **options)


def test_bad_omegas_and_correlations_are_refused():
    x, y, _ = problem()
    with pytest.raises(ValueError, match=r"omega must be \[T, T\] for the 4 tasks of x, got \[3, 3\]"):
        related_ridge(x, y, jnp.eye(3), ridge=0.1, relation=0.1)
    with pytest.raises(ValueError, match="correlations of pairs must be between -1 and 1"):
        block_omega((1.0,))
    with pytest.raises(ValueError, match=r"omega must be a square matrix, got \[2, 3\]"):
        related_tasks(jax.random.key(0), omega=jnp.zeros((2, 3)))
