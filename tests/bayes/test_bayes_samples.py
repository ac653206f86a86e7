"""Learners that predict by samples of a task's posterior: their reductions, their noise and what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from algorithms_table import difference, mlp_net, random_episode

import jmeta
from jmeta import noise
from jmeta.bayes.algorithms import abml, each, platipus
from jmeta.bayes.algorithms.abml import MeanField, divergence

pytestmark = pytest.mark.standard_promotion
NET = mlp_net(3, (4,))
RULE = optax.sgd(0.3)
MAML = jmeta.maml(NET.model, inner_optimizer=RULE, inner_steps=2)


@pytest.fixture(scope="module")
def episode():
    return random_episode(0)


@pytest.fixture(scope="module")
def expected(episode):
    """MAML's parameters and its meta-gradient."""
    params = jax.jit(MAML.init)(jax.random.key(0), episode.support.x)
    return params, jax.jit(jax.grad(MAML.loss, has_aux=True))(params, episode)[0]


def test_platipus_without_noise_is_maml(episode, expected):
    """Catches a gradient that stops at the start, and a mean over samples that is a sum."""
    learner = platipus(NET.model, inner_optimizer=RULE, inner_steps=2, samples=2, spread=1e-7, rate=1e-7, kl_weight=0.0)
    params = jax.jit(learner.init)(jax.random.key(0), episode.support.x)
    assert difference(params.mean, expected[0]) == 0
    found = jax.jit(jax.grad(learner.loss, has_aux=True))(params, episode)[0]
    assert difference(found.mean, expected[1]) < 1e-4


def test_abml_that_is_narrow_and_held_by_nothing_is_maml(episode, expected):
    learner = abml(NET.model, inner_optimizer=RULE, inner_steps=2, samples=1, spread=1e-7, examples=1e30)
    params = jax.jit(learner.init)(jax.random.key(0), episode.support.x)
    found = jax.jit(jax.grad(learner.loss, has_aux=True))(params, episode)[0]
    assert difference(found.mean, expected[1]) < 1e-4


def test_abml_without_steps_samples_its_prior(episode):
    """Catches noise that is the same for all samples, or has another spread."""
    learner = abml(NET.model, inner_optimizer=RULE, inner_steps=0, samples=400, spread=0.3, combine=each)
    params = jax.jit(learner.init)(jax.random.key(0), episode.support.x)
    samples = learner.adapt(params, episode.support).params
    for one, mean in zip(jax.tree.leaves(samples), jax.tree.leaves(params.mean), strict=True):
        one, mean = np.asarray(one), np.asarray(mean)
        np.testing.assert_allclose(np.std(one - mean, axis=0), 0.3, rtol=0.25)
        np.testing.assert_allclose(np.mean(one, axis=0), mean, atol=0.08)
    assert learner.predict(learner.adapt(params, episode.support), episode.query.x).shape == (400, 6, 3)


def test_the_divergence_of_normals_is_that_of_the_formula():
    """Against the numbers of N(1, 4) and N(0, 1): 1/2 (4 + 1 - 1 - log 4), and none of a distribution from itself."""
    one, zero = jnp.ones(2), jnp.zeros(2)
    q, p = MeanField(one, one * np.log(2)), MeanField(zero, zero)
    np.testing.assert_allclose(divergence(q, p), 2 * (4 - np.log(4)) / 2, rtol=1e-6)
    assert divergence(q, q) == 0


def test_noise_is_of_the_examples_whatever_their_order(episode):
    """Catches noise that is the same for all tasks, changes with the order, or reads padding."""
    support = episode.support
    key = jax.random.key_data(noise.key_of(support))
    order = np.array([3, 0, 5, 1, 4, 2])
    shuffled = jax.tree.map(lambda a: a[order], support)
    np.testing.assert_array_equal(jax.random.key_data(noise.key_of(shuffled)), key)
    padded = jax.tree.map(lambda a: jnp.concatenate([a, a[:2] + 1]), support)
    padded = padded._replace(weight=(jnp.arange(8) < 6).astype(float))
    np.testing.assert_array_equal(jax.random.key_data(noise.key_of(padded)), key)
    others = {tuple(jax.random.key_data(noise.key_of(random_episode(seed).support)).tolist()) for seed in range(5)}
    assert len(others) == 5


@pytest.mark.parametrize("make", [abml, platipus])
@pytest.mark.parametrize("told", [{"samples": 0}, {"spread": 0.0}, {"inner_steps": -1}])
def test_what_makes_no_posterior_is_refused(make, told):
    with pytest.raises(ValueError, match="must be"):
        make(NET.model, inner_optimizer=RULE, **{"inner_steps": 1, **told})
