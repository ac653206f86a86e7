"""Affinities of a look-ahead step, and cosines of gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jmeta.mtl.relatedness import add_affinity, gradient_cosines, no_affinity, task_affinity

TARGETS = np.array([[1.0, 2.0], [1.5, 1.0], [-1.0, 0.5]])
START, LR = np.array([0.2, -0.4]), 0.3


def half_square(params, targets):
    """The loss |theta + own_j - target_j|^2 / 2 of each task, which is a quadratic in the shared theta."""
    return 0.5 * jnp.sum(jnp.square(params["theta"] + params["own"] - targets), axis=1)


PARAMS = {"theta": jnp.asarray([START], jnp.float32), "own": jnp.asarray([[0.1, 0.0], [0.0, 0.2], [0.3, 0.0]])}


def exact(params, targets):
    """`theta - lr (theta + own_i - target_i)`, and what is left of each loss there."""
    theta, own = (np.asarray(params[name], np.float64) for name in ("theta", "own"))
    away = theta + own - targets
    left = away[None, :, :] - LR * away[:, None, :]
    return 1 - np.sum(left**2, axis=2) / np.sum(away**2, axis=1)[None]


def test_affinity_of_a_quadratic():
    affinity = jax.jit(lambda params, lr: task_affinity(
        half_square, params, jnp.asarray(TARGETS, jnp.float32), lr=lr, shared=lambda params: params["theta"]
    ))  # fmt: skip
    found = affinity(PARAMS, LR)
    np.testing.assert_allclose(found, exact(PARAMS, TARGETS), atol=1e-6)
    np.testing.assert_allclose(np.diagonal(found), 1 - (1 - LR) ** 2, atol=1e-6)
    assert not np.allclose(found, found.T, atol=1e-3)


def test_only_what_is_shared_moves_unless_all_does():
    targets = jnp.asarray(TARGETS, jnp.float32)
    found = {
        name: task_affinity(half_square, PARAMS, targets, lr=LR, shared=shared)
        for name, shared in {"all": None, "theta": lambda p: [p["theta"]], "own": lambda p: {"own": p["own"]}}.items()
    }
    off = ~np.eye(3, dtype=bool)
    # A task's own parameters do nothing for others; in all, they add to what its own loss loses.
    assert np.abs(found["own"][off]).max() == 0
    np.testing.assert_allclose(found["all"][off], found["theta"][off], atol=1e-6)
    np.testing.assert_allclose(np.diagonal(found["all"]), 1 - (1 - 2 * LR) ** 2, atol=1e-6)


def test_vmap_is_a_loop():
    targets = jnp.asarray(TARGETS, jnp.float32)
    before = half_square(PARAMS, targets)
    found = task_affinity(half_square, PARAMS, targets, lr=LR)
    for i in range(3):
        gradient = jax.grad(lambda params, i=i: half_square(params, targets)[i])(PARAMS)
        after = half_square(jax.tree.map(lambda p, g: p - LR * g, PARAMS, gradient), targets)
        np.testing.assert_allclose(found[i], 1 - after / before, atol=1e-6)


def test_small_steps_are_products_of_gradients():
    targets, lr = jnp.asarray(TARGETS, jnp.float32), 1e-3
    jacobian = jax.jacrev(lambda theta: half_square({**PARAMS, "theta": theta}, targets))(PARAMS["theta"])[:, 0]
    found = task_affinity(half_square, PARAMS, targets, lr=lr, shared=lambda params: params["theta"])
    expected = lr * jacobian @ jacobian.T / half_square(PARAMS, targets)[None, :]
    np.testing.assert_allclose(found, expected, rtol=0.02, atol=2e-6)


def test_a_loss_of_0_has_no_affinity():
    targets = jnp.asarray([[0.2, -0.4], [1.0, 1.0]])
    params = {"theta": PARAMS["theta"], "own": jnp.zeros((2, 2))}
    found = task_affinity(half_square, params, targets, lr=LR)
    assert found[:, 0].tolist() == [0.0, 0.0]
    assert np.isfinite(found).all() and found[1, 1] > 0
    with pytest.raises(ValueError, match="lr must be a finite number above 0, got 0"):
        task_affinity(half_square, params, targets, lr=0)


def test_the_running_mean_is_the_mean():
    each = np.random.default_rng(0).normal(size=(7, 3, 3)).astype(np.float32)
    mean, _ = jax.lax.scan(lambda mean, z: (add_affinity(mean, z), None), no_affinity(3), jnp.asarray(each))
    np.testing.assert_allclose(mean.affinity, each.mean(axis=0), atol=1e-6)
    assert (mean.count == 7).all()


def test_the_running_mean_is_over_steps_in_which_both_tasks_were_there():
    """Of one that counts the zeros of a step in which a task had no rows."""
    rng = np.random.default_rng(1)
    each, there = rng.normal(size=(9, 3, 3)).astype(np.float32), rng.random((9, 3)) < 0.6
    there[:, 2] &= ~there[:, 1]  # these two never meet
    met = there[:, :, None] & there[:, None, :]
    each[~met] = 0
    mean = no_affinity(3)
    for z, present in zip(each, there, strict=True):
        mean = add_affinity(mean, jnp.asarray(z), jnp.asarray(present))
    np.testing.assert_array_equal(mean.count, met.sum(axis=0))
    np.testing.assert_allclose(mean.affinity, each.sum(axis=0) / np.maximum(met.sum(axis=0), 1), atol=1e-6)
    assert mean.count[1, 2] == 0 and mean.affinity[1, 2] == 0


def test_cosines_of_gradients():
    gradients = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    gradients[2] = 0
    lengths = np.linalg.norm(gradients, axis=1)
    lengths[2] = 1
    found = gradient_cosines(jnp.asarray(gradients @ gradients.T))
    np.testing.assert_allclose(found, gradients @ gradients.T / np.outer(lengths, lengths), atol=1e-6)
    # Squares of which the product is too large, or too small, for float32.
    for scale in (1e30, 1e-30):
        np.testing.assert_allclose(gradient_cosines(jnp.array([[4.0, 2.0], [2.0, 4.0]]) * scale)[0, 1], 0.5, rtol=1e-6)
