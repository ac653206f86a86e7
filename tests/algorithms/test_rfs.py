"""Logistic regression on features that are of length 1, beside scikit-learn's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from algorithms_table import assert_close, mlp_net
from sklearn.linear_model import LogisticRegression

import jmeta
from jmeta import nets

IDENTITY = nets.MLPEncoder(())
PARAMS = jmeta.algorithms.BaselineParams({}, {})


def support_of(seed, way, shot, size):
    rng = np.random.default_rng(seed)
    y = np.repeat(np.eye(way, dtype=np.float32), shot, axis=0)
    x = (2 * y @ rng.normal(size=(way, size)) + rng.normal(size=(way * shot, size))).astype(np.float32)
    return jmeta.Batch(jnp.asarray(x), jnp.asarray(y))


@pytest.mark.parametrize(("way", "shot", "size", "strength"), [(5, 1, 8, 1.0), (5, 5, 64, 1.0), (3, 20, 4, 10.0)])
def test_it_is_the_minimum_that_scikit_learn_finds(way, shot, size, strength):
    """A penalty of another size, raw features, or a solver that stops too early would show."""
    support, query = support_of(0, way, shot, size), support_of(1, way, 4, size)
    learner = jmeta.rfs(IDENTITY, nets.Head(way), strength=strength)
    logits = learner.predict(learner.adapt(PARAMS, support), query.x)
    unit = lambda x: np.asarray(x) / np.linalg.norm(x, axis=1, keepdims=True)
    theirs = LogisticRegression(C=strength, fit_intercept=False, tol=1e-10, max_iter=5000)
    theirs.fit(unit(support.x).astype(np.float64), np.asarray(support.y).argmax(1))
    expected = theirs.predict_proba(unit(query.x).astype(np.float64))
    np.testing.assert_allclose(jax.nn.softmax(logits), expected, atol=2e-5)


def test_it_trains_as_the_baseline_does():
    net = mlp_net(4, (8,))
    one, other = jmeta.rfs(net.encoder, nets.Head(4)), jmeta.baseline(net.encoder, nets.Head(4))
    episode = jmeta.Episode(support_of(0, 4, 2, 6), support_of(1, 4, 3, 6))
    params = one.init(jax.random.key(0), episode.support.x)
    assert_close(params, other.init(jax.random.key(0), episode.support.x), rtol=0, atol=0)
    assert_close(one.loss(params, episode), other.loss(params, episode), rtol=0, atol=0)


def test_many_examples_are_solved_in_the_steps_that_there_are():
    """The rate of convergence is that of the docstring: without the momentum it would still be far off."""
    support = support_of(0, 5, 100, 16)
    weights = lambda steps: jmeta.rfs(IDENTITY, nets.Head(5), solver_steps=steps).adapt(PARAMS, support).weights
    best = weights(2000)
    assert float(jnp.abs(weights(200) - best).max() / jnp.abs(best).max()) < 1e-4
