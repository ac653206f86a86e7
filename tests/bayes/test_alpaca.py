"""ALPaCA against Bayesian linear regression in its other form, and deep kernels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmeta
from jmeta import nets
from jmeta.bayes import kernels
from jmeta.bayes.algorithms import alpaca, deep_kernel

pytestmark = pytest.mark.standard_promotion
IDENTITY = nets.MLPEncoder(())


def task(seed=0, n=6, targets=2, weight=None):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, 3)), rng.normal(size=(n, targets))
    return jmeta.Batch(jnp.asarray(x), jnp.asarray(y), weight)


@pytest.fixture(autouse=True)
def wide():
    with jax.enable_x64(True):
        yield


def test_the_posterior_is_that_of_the_weights():
    """Against the form with L_n, of any prior. Catches noise that scales one of mean and variance alone."""
    learner, rng = alpaca(IDENTITY), np.random.default_rng(1)
    support, x = task(), task(2).x
    params = learner.init(jax.random.key(0), support.x)
    mean, factor, noise = rng.normal(size=(4, 2)), rng.normal(size=(4, 4)), np.array([0.3, 0.7])
    params = params._replace(
        mean=jnp.asarray(mean), factor=jnp.asarray(factor), log_noise=jnp.asarray(2 * np.log(noise)[None])
    )
    found = learner.predict(learner.adapt(params, support), x)
    z, ahead = (np.concatenate([a, np.ones((len(a), 1))], axis=1) for a in (support.x, x))
    before = np.linalg.inv(factor @ factor.T)
    after = before + z.T @ z
    weights = np.linalg.solve(after, before @ mean + z.T @ np.asarray(support.y))
    np.testing.assert_allclose(found.mean, ahead @ weights, rtol=1e-4, atol=1e-4)
    spread = 1 + np.sum(ahead * np.linalg.solve(after, ahead.T).T, axis=1)
    np.testing.assert_allclose(found.variance, spread[:, None] * noise**2, rtol=1e-4)


def test_it_is_a_deep_kernel_with_a_linear_one():
    support, x = task(targets=1), task(2).x
    one, other = (
        alpaca(IDENTITY, spread=1.5, noise=0.2),
        deep_kernel(IDENTITY, kernels.linear(slope=2.25, constant=2.25), noise=0.2),
    )
    found, expected = (
        each.predict(each.adapt(each.init(jax.random.key(0), support.x), support), x) for each in (one, other)
    )
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.variance, expected.variance, rtol=1e-4)


def test_without_support_it_is_the_prior_and_padding_is_not_there():
    learner, support = alpaca(IDENTITY, spread=2.0, noise=0.5), task()
    params = learner.init(jax.random.key(0), support.x)
    none = learner.predict(learner.adapt(params, support._replace(weight=jnp.zeros(6))), support.x)
    expected = 0.25 + 4 * (1 + np.sum(np.asarray(support.x) ** 2, axis=1))
    np.testing.assert_allclose(none.variance[:, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(none.mean, 0, atol=1e-9)
    few = jax.tree.map(lambda a: a[:4], support)
    padded = jmeta.Batch(support.x.at[4:].set(np.nan), support.y, (jnp.arange(6) < 4).astype(float))
    for a, b in zip(*(learner.predict(learner.adapt(params, s), task(2).x) for s in (few, padded)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    with pytest.raises(ValueError, match="spread must be"):
        alpaca(IDENTITY, spread=0.0)
