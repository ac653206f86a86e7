"""Deep kernels beside Bayesian linear regression and an exact Gaussian process, both by NumPy in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from jmeta import nets
from jmeta.bayes import deep_kernel, linear, matern, rbf, spectral_mixture
from jmeta.bayes.algorithms import joint_sampler, predictive
from jmeta.bayes.gaussian_process import cholesky, condition
from jmeta.distributions import Normal, nats
from jmeta.types import Batch, Episode

IDENTITY, NOISE = nets.MLPEncoder(()), 0.3
RNG = np.random.default_rng(1)
X, Y, ASKED = RNG.normal(size=(6, 2)), RNG.normal(size=(6, 1)), RNG.normal(size=(4, 2))
f32 = functools.partial(jnp.asarray, dtype=jnp.float32)
SUPPORT = Batch(f32(X), f32(Y))
GP = deep_kernel(IDENTITY, rbf(length=0.8, variance=1.5), noise=NOISE)
MADE = GP.init(jax.random.key(0), SUPPORT.x)
KEY = jax.random.key(0)


def exact_rbf(a, b):
    return 1.5 * np.exp(-((a[:, None] - b[None]) ** 2).sum(-1) / (2 * 0.8**2))


def exact(x, y, noise=NOISE**2, kernel=exact_rbf, asked=ASKED):
    """Mean and variance of targets, by inverting matrices."""
    inverse = np.linalg.inv(kernel(x, x) + noise * np.eye(len(x)))
    cross = kernel(x, asked)
    left = np.diag(kernel(asked, asked) - cross.T @ inverse @ cross)
    return cross.T @ inverse @ y, (left + noise)[:, None]


@functools.cache
def predicting(learner=GP):
    return jax.jit(lambda params, support, x: learner.predict(learner.adapt(params, support), x))


def close(found, mean, variance, atol=1e-5):
    np.testing.assert_allclose(found.mean, mean, atol=atol)
    np.testing.assert_allclose(found.variance, variance, atol=atol)


def test_an_identity_and_a_linear_kernel_are_bayesian_linear_regression():
    """By the posterior of weights, which knows nothing of kernels. Catches a bias without a prior, and a variance of
    the function in place of the target's."""
    learner = deep_kernel(IDENTITY, linear(slope=2.0, constant=0.5), noise=NOISE)
    with jax.enable_x64(True):
        found = predicting(learner)(learner.init(KEY, jnp.asarray(X)), Batch(X, Y), jnp.asarray(ASKED))
    one = lambda x: np.concatenate([x, np.ones((len(x), 1))], axis=1)
    covariance = np.linalg.inv(np.diag([0.5, 0.5, 2.0]) + one(X).T @ one(X) / NOISE**2)
    mean = one(ASKED) @ covariance @ one(X).T @ Y / NOISE**2
    close(found, mean, np.diag(one(ASKED) @ covariance @ one(ASKED).T)[:, None] + NOISE**2, atol=1e-9)


def test_an_rbf_kernel_is_the_exact_process_whatever_the_order_and_the_padding():
    """Catches a row of weight 0 that counts, and NaN in it that spreads."""
    close(predicting()(MADE, SUPPORT, f32(ASKED)), *exact(X, Y))
    order = [3, 0, 5, 1, 4, 2]
    close(predicting()(MADE, Batch(f32(X[order]), f32(Y[order])), f32(ASKED)), *exact(X, Y))
    junk = lambda a: f32(np.concatenate([np.full_like(a[:2], np.nan), a]))
    weight = jnp.array([0.0, 0.0, 1, 1, 1, 1, 1, 1])
    close(predicting()(MADE, Batch(junk(X), junk(Y), weight), f32(ASKED)), *exact(X, Y))


def test_a_weight_of_two_is_an_example_twice():
    weighted = SUPPORT._replace(weight=jnp.array([2.0, 1, 1, 1, 1, 1]))
    both = predicting()(MADE, weighted, f32(ASKED))
    close(both, *exact(np.concatenate([X, X[:1]]), np.concatenate([Y, Y[:1]])))


def test_without_examples_it_is_the_prior():
    """With a mean that is learned; catches a division by no weight."""
    params = MADE._replace(mean=jnp.float32(0.7))
    found = predicting()(params, SUPPORT._replace(weight=jnp.zeros(6)), f32(ASKED))
    close(found, 0.7, 1.5 + NOISE**2)
    far = predicting()(params, SUPPORT, f32(ASKED + 100))
    close(far, 0.7, 1.5 + NOISE**2)


def test_the_losses_are_the_joint_density_and_that_of_the_queries():
    """Catches a likelihood of the support set alone, and a sum in place of a mean."""
    asked = Batch(f32(ASKED), f32(RNG.normal(size=(4, 1))), jnp.array([1.0, 1, 0, 1]))
    episode = Episode(SUPPORT, asked)
    x, y = np.concatenate([X, ASKED[[0, 1, 3]]]), np.concatenate([Y, asked.y[np.array([0, 1, 3])]])[:, 0]
    logs = multivariate_normal.logpdf(y, np.zeros(9), exact_rbf(x, x) + NOISE**2 * np.eye(9))
    value, metrics = GP.loss(MADE, episode)
    assert value == pytest.approx(-logs / 9, abs=1e-5)
    of_queries = nats(Normal(*map(f32, exact(X, Y))), asked)[0]
    assert metrics.loss == pytest.approx(float(of_queries), abs=1e-5)
    other = deep_kernel(IDENTITY, rbf(length=0.8, variance=1.5), noise=NOISE, objective=predictive)
    assert other.loss(MADE, episode)[0] == pytest.approx(float(of_queries), abs=1e-5)


def test_equal_and_near_examples_without_noise_give_no_nan():
    """LAPACK's factor of such a matrix is NaN."""
    x = jnp.concatenate([jnp.zeros((3, 1)), jnp.linspace(0, 0.1, 40)[:, None]])
    learner = deep_kernel(IDENTITY, rbf(), noise=1e-6)
    params, batch = learner.init(KEY, x), Batch(x, jnp.sin(x))
    value, grads = jax.jit(jax.value_and_grad(lambda p: learner.loss(p, Episode(batch, batch))[0]))(params)
    assert jnp.isfinite(value) and all(jnp.isfinite(g).all() for g in jax.tree.leaves(grads))
    close(predicting(learner)(params, batch, x), np.sin(x), 0, atol=5e-3)
    assert not jnp.isfinite(jnp.linalg.cholesky(rbf().matrix(params.kernel, x, x))).all()


def test_the_factor_is_numpys_and_finite_for_any_matrix():
    a = RNG.normal(size=(7, 7))
    with jax.enable_x64(True):
        found = cholesky(jnp.asarray(a @ a.T), jnp.full(7, 1e-12))
        np.testing.assert_allclose(found, np.linalg.cholesky(a @ a.T), atol=1e-9)
    assert jnp.isfinite(cholesky(-jnp.eye(3), jnp.full(3, 1e-6))).all()
    known = condition(jnp.zeros((2, 2)), jnp.ones((2, 1)), jnp.float32(0.25))
    assert known.log_evidence.item() == pytest.approx(2 * multivariate_normal.logpdf(1, 0, 0.25), rel=1e-4)


def test_functions_of_the_posterior_have_its_mean_and_covariance():
    """Catches values that are drawn one by one, which have no covariance, and noise in them."""
    sample = joint_sampler(IDENTITY, rbf(length=0.8, variance=1.5))
    adapted = GP.adapt(MADE, SUPPORT)
    drawn = jax.jit(jax.vmap(lambda key: sample(adapted, f32(ASKED), key)))(jax.random.split(KEY, 20_000))[..., 0]
    mean, _ = exact(X, Y)
    inverse, cross = np.linalg.inv(exact_rbf(X, X) + NOISE**2 * np.eye(6)), exact_rbf(X, ASKED)
    np.testing.assert_allclose(drawn.mean(0), mean[:, 0], atol=0.03)
    np.testing.assert_allclose(np.cov(drawn.T), exact_rbf(ASKED, ASKED) - cross.T @ inverse @ cross, atol=0.04)


def test_kernels_are_their_formulas_and_have_derivatives_at_no_distance():
    """The root of 0 has none: by a naive Matern all gradients were NaN."""
    a, r = f32([[0.0, 0.0], [3.0, 4.0]]), np.sqrt(5) * 5 / 2
    for kernel, far in (
        (matern(length=2.0, variance=3.0), 3 * (1 + r + r**2 / 3) * np.exp(-r)),
        (rbf(length=2.0, variance=3.0), 3 * np.exp(-25 / 8)),
    ):
        params = kernel.init(a)
        np.testing.assert_allclose(kernel.matrix(params, a, a), [[3, far], [far, 3]], rtol=1e-5)
        np.testing.assert_allclose(kernel.variance(params, a), [3, 3], rtol=1e-6)
        total = lambda params, a, kernel=kernel: kernel.matrix(params, a, a).sum()
        assert all(jnp.isfinite(g).all() for g in jax.tree.leaves(jax.grad(total, (0, 1))(params, a)))
    kernel = spectral_mixture(components=1, spread=0.1, highest=0.2, variance=3.0)  # apart by 3 and by 4
    fade, waves = np.exp(-2 * np.pi**2 * 0.01 * 25), np.cos(1.2 * np.pi) * np.cos(1.6 * np.pi)
    np.testing.assert_allclose(
        kernel.matrix(kernel.init(a), a, a), 3 * np.array([[1, fade * waves], [fade * waves, 1]]), rtol=1e-4
    )
    np.testing.assert_allclose(kernel.variance(kernel.init(a), a), [3, 3], rtol=1e-6)
    kernel = linear(slope=2.0, constant=0.5)
    np.testing.assert_allclose(kernel.matrix(kernel.init(a), a, a), [[0.5, 0.5], [0.5, 50.5]], rtol=1e-6)
    np.testing.assert_allclose(kernel.variance(kernel.init(a), a), [0.5, 50.5], rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: rbf(length=0.0), "length"), (lambda: matern(variance=-1.0), "variance"),
        (lambda: linear(slope=float("nan")), "slope"), (lambda: linear(constant=0.0), "constant"),
        (lambda: deep_kernel(IDENTITY, rbf(), noise=0.0), "noise"), (lambda: spectral_mixture(spread=0.0), "spread"),
    ],
)  # fmt: skip
def test_hyper_parameters_out_of_range_are_refused(make, says):
    with pytest.raises(ValueError, match=f"{says} must be a finite number above 0"):
        make()
