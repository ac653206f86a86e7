"""The closed form beside the normal equations in NumPy, and its gradient beside finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from algorithms_table import assert_close, mlp_net, random_episode, random_like

import jmeta
from jmeta import losses
from jmeta.nets import PureModel

IDENTITY = PureModel(lambda key, x: {}, lambda params, x: x)


def regression(z, y, weight, l2):
    """(Z'WZ / sum W + l2 I)^-1 Z'WY / sum W, row by row."""
    size = z.shape[1] + 1
    gram, right = np.zeros((size, size)), np.zeros((size, y.shape[1]))
    for row, label, w in zip(z, y, weight, strict=True):
        a = np.append(row, 1.0)
        gram += w / weight.sum() * np.outer(a, a)
        right += w / weight.sum() * np.outer(a, label)
    return np.linalg.solve(gram + l2 * np.eye(size), right)


def data(seed, n, d, way=3):
    rng = np.random.default_rng(seed)
    return (
        rng.normal(size=(n, d)),
        np.eye(way)[rng.integers(0, way, n)],
        rng.uniform(size=n) * (rng.uniform(size=n) > 0.3),
    )


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("n", "d"), [(4, 9), (9, 4), (5, 4), (6, 4)])  # rows beside D + 1
def test_weights_are_those_of_the_normal_equations(n, d, weighted):
    z, y, weight = data(n + d, n, d)
    l2, scale = 0.3, 2.0
    learner = jmeta.ridge(IDENTITY, l2=l2, scale=scale)
    with jax.enable_x64(True):
        support = jmeta.Batch(jnp.asarray(z), jnp.asarray(y), jnp.asarray(weight) if weighted else None)
        params = jax.jit(learner.init)(jax.random.key(0), support.x)._replace(offset=jnp.asarray(0.7))
        adapted = learner.adapt(params, support)
        out = learner.predict(adapted, support.x)
    expected = regression(z, y, weight if weighted else np.ones(n), l2)
    np.testing.assert_allclose(adapted.weights, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(out, scale * (z @ expected[:-1] + expected[-1]) + 0.7, rtol=1e-9, atol=1e-12)


def test_it_is_a_minimum():
    """No other W has a smaller penalized error."""
    z, y, weight = data(0, 7, 3)
    learner = jmeta.ridge(IDENTITY, l2=0.1)
    support = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), jmeta.Batch(z, y, weight))
    best = np.asarray(learner.adapt(jax.jit(learner.init)(jax.random.key(0), support.x), support).weights, np.float64)

    def error(w):
        return np.average(np.sum((z @ w[:-1] + w[-1] - y) ** 2, -1), weights=weight) + 0.1 * np.sum(w**2)

    rng = np.random.default_rng(1)
    for _ in range(20):
        assert error(best) < error(best + 0.01 * rng.normal(size=best.shape))


@pytest.mark.parametrize("shot", [1, 4])  # both systems, for eight features
@pytest.mark.parametrize("loss_fn", [losses.cross_entropy, losses.squared_error])
def test_the_meta_gradient_agrees_with_central_differences(shot, loss_fn):
    learner = jmeta.ridge(mlp_net(3, (8,)).encoder, l2=0.2, scale=3.0, loss_fn=loss_fn)
    small = random_episode(2, shot=shot)
    made = jax.jit(learner.init)(jax.random.key(0), small.support.x)
    with jax.enable_x64(True):
        at, episode = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), (made, small))
        loss = jax.jit(lambda p: learner.loss(p, episode)[0])
        grads = jax.jit(jax.grad(loss))(at)
        for seed in range(3):
            along = random_like(jax.random.key(seed), at)
            ahead, behind = (jax.tree.map(lambda p, d, s=s: p + s * d, at, along) for s in (1e-6, -1e-6))
            numeric = float(loss(ahead) - loss(behind)) / 2e-6
            exact = float(sum(jnp.vdot(g, d) for g, d in zip(*map(jax.tree.leaves, (grads, along)), strict=True)))
            np.testing.assert_allclose(exact, numeric, rtol=1e-5, atol=1e-8)
    grads = jax.tree.map(np.asarray, grads)
    assert grads.log_l2 != 0 and grads.scale != 0
    # The softmax does not see what all logits have in common.
    assert abs(float(grads.offset)) > 1e-3 if loss_fn is losses.squared_error else abs(float(grads.offset)) < 1e-12


def test_features_of_less_precision_are_solved_in_float32():
    z, y, _ = data(3, 6, 4)
    learner = jmeta.ridge(IDENTITY, l2=0.01)
    half = jmeta.Batch(jnp.asarray(z, jnp.bfloat16), jnp.asarray(y, jnp.bfloat16))
    params = jax.jit(learner.init)(jax.random.key(0), half.x)
    got = learner.adapt(params, half).weights
    full = jax.tree.map(lambda a: a.astype(jnp.float32), (params, half))
    assert got.dtype == jnp.float32
    assert_close(got, learner.adapt(*full).weights, rtol=0, atol=0)


def test_a_penalty_that_is_learned_away_leaves_a_solution():
    """Twice the same example, in both systems."""
    learner = jmeta.ridge(IDENTITY)
    for n, d in ((4, 9), (9, 4)):
        z, y, _ = data(n, n, d)
        z[1], z[:, 1] = z[0], z[:, 0]
        support = jmeta.Batch(jnp.asarray(z, jnp.float32), jnp.asarray(y, jnp.float32))
        params = jax.jit(learner.init)(jax.random.key(0), support.x)._replace(log_l2=jnp.float32(-80.0))
        grads = jax.grad(lambda p, s=support: learner.loss(p, jmeta.Episode(s, s))[0])(params)
        assert all(jnp.all(jnp.isfinite(a)) for a in jax.tree.leaves((learner.adapt(params, support), grads)))
