"""What processes say of all queries jointly, beside the chain of predictions and normal numbers by NumPy; and what else
a deep kernel has: a mean by a network, sums of kernels, and classes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from jmeta import losses, nets
from jmeta.bayes import added, alpaca, deep_kernel, deep_kernel_classifier, linear, moments, rbf
from jmeta.bayes.catalog import EVIDENCE
from jmeta.bayes.joint import joint_log_likelihood
from jmeta.distributions import nats
from jmeta.types import Batch, Episode

RNG = np.random.default_rng(2)
X, Y = RNG.normal(size=(7, 2)), RNG.normal(size=(7, 1))
KERNEL = added(linear(slope=2.0, constant=0.5), rbf(length=0.8, variance=1.5))
MEAN = nets.MLP((3,), 1)
LEARNERS = {
    "deep-kernel": deep_kernel(nets.MLPEncoder(()), KERNEL, mean=MEAN, noise=0.3),
    "alpaca": alpaca(nets.MLPEncoder((4,)), noise=0.3),
}
f32 = lambda a: jnp.asarray(a, jnp.float32)
EPISODE = Episode(Batch(f32(X[:4]), f32(Y[:4])), Batch(f32(X[4:]), f32(Y[4:])))


def made(name):
    params = LEARNERS[name].init(jax.random.key(0), EPISODE.support.x)
    return jax.tree.map(lambda a: a + 0.1, params)


@pytest.mark.parametrize("name", LEARNERS)
def test_joint_is_the_chain_of_predictions(name):
    """Catches ALPaCA's evidence in units of its noise, a support set that is counted, and a mean of one part alone:
    each query is predicted by the support set and the queries before it."""
    learner, params, total = LEARNERS[name], made(name), 0.0
    predict = jax.jit(lambda p, support, x: learner.predict(learner.adapt(p, support), x))
    for n in range(4, 7):
        weight = f32(np.arange(7) < n)
        found = predict(params, Batch(f32(X), f32(Y), weight), f32(X[n : n + 1]))
        total += norm(found.mean.item(), found.variance.item() ** 0.5).logpdf(Y[n, 0])
    joint = jax.jit(lambda p, e: joint_log_likelihood(learner, EVIDENCE[name], p, e))
    assert float(joint(params, EPISODE)) == pytest.approx(total / 3, rel=1e-3)
    junk = lambda a: f32(np.concatenate([a, np.full_like(a[:2], np.nan)]))
    padded = Batch(junk(X[4:]), junk(Y[4:]), f32([1, 1, 1, 0, 0]))
    assert float(joint(params, EPISODE._replace(query=padded))) == pytest.approx(total / 3, rel=1e-3)


def test_a_mean_by_a_network_and_a_sum_of_kernels():
    """Catches a mean that the process is not told of, or that is not added back; and a kernel that is left out."""
    params = made("deep-kernel")
    m = np.asarray(MEAN.apply(params.mean, f32(X)), np.float64)
    of = lambda log: float(np.exp(log))
    line, bend = params.kernel
    apart = ((X[:, None] - X[None]) ** 2).sum(-1) / of(line.log_slope * 0 + bend.log_length) ** 2
    k = of(line.log_slope) * X @ X.T + of(line.log_constant) + of(bend.log_variance) * np.exp(-apart / 2)
    noise = of(params.log_noise) * np.eye(7)
    whole, seen = (multivariate_normal(m[:n, 0], (k + noise)[:n, :n]).logpdf(Y[:n, 0]) for n in (7, 4))
    learner = LEARNERS["deep-kernel"]
    found = joint_log_likelihood(learner, EVIDENCE["deep-kernel"], params, EPISODE)
    assert float(found) == pytest.approx((whole - seen) / 3, rel=1e-3)
    np.testing.assert_allclose(KERNEL.variance(params.kernel, f32(X)), np.diagonal(k), rtol=1e-5)
    predicted = learner.predict(learner.adapt(params, EPISODE.support), EPISODE.query.x)
    cross = k[:4, 4:]
    mean = m[4:, 0] + cross.T @ np.linalg.solve((k + noise)[:4, :4], Y[:4, 0] - m[:4, 0])
    np.testing.assert_allclose(predicted.mean[:, 0], mean, rtol=1e-3, atol=1e-4)
    with pytest.raises(ValueError, match="a sum needs kernels, got none"):
        added()


def test_classes_are_processes_of_signs():
    """Catches labels of 0 and 1, a sigmoid in place of odds, and a class that nothing is known of being predicted. The
    softmax is the probability of each class given that one target alone is 1, by normal densities."""
    learner = deep_kernel_classifier(nets.MLPEncoder(()), rbf(), noise=0.5)
    labels = np.eye(4)[[0, 1, 2, 0]]
    support, x = Batch(f32(X[:4]), f32(labels)), f32(X[4:])
    params = learner.init(jax.random.key(0), support.x)
    logits = np.asarray(learner.predict(learner.adapt(params, support), x))
    assert (logits[:, 3] == losses.NEVER).all()
    process = deep_kernel(nets.MLPEncoder(()), rbf(), noise=0.5)
    found = process.predict(process.adapt(params, support._replace(y=f32(2 * labels[:, :3] - 1))), x)
    mean, spread = np.asarray(found.mean), np.sqrt(found.variance)
    densities = [
        np.prod([norm(mean[:, j], spread[:, j]).pdf(1 if j == k else -1) for j in range(3)], axis=0) for k in range(3)
    ]
    expected = np.stack(densities, axis=1) / np.sum(densities, axis=0)[:, None]
    np.testing.assert_allclose(jax.nn.softmax(logits[:, :3], axis=1), expected, rtol=1e-4)


def test_both_objectives_of_classes():
    """Catches a marginal likelihood of labels as they are, and cross-entropy where the marginal one is asked for."""
    labels = f32(np.eye(2)[[0, 1, 1, 0, 1, 0, 0]])
    episode = Episode(Batch(f32(X[:4]), labels[:4]), Batch(f32(X[4:]), labels[4:]))
    by = {of: deep_kernel_classifier(nets.MLPEncoder(()), rbf(), **of_) for of, of_ in
          {"marginal": {}, "label": {"objective": None}}.items()}  # fmt: skip
    params = by["label"].init(jax.random.key(0), episode.support.x)
    value, metrics = by["label"].loss(params, episode)
    assert float(value) == float(metrics.loss) and metrics.accuracy is not None
    k = np.exp(-((X[:, None] - X[None]) ** 2).sum(-1) / 2) + 0.01 * np.eye(7)
    signs = 2 * np.asarray(labels) - 1
    expected = -np.mean([multivariate_normal(np.zeros(7), k).logpdf(signs[:, c]) for c in range(2)]) / 7
    assert float(by["marginal"].loss(params, episode)[0]) == pytest.approx(expected, rel=1e-3)


def test_samples_of_numbers_are_a_normal():
    """Catches a spread of samples that is left out, or noise that is not squared."""
    samples = f32(RNG.normal(size=(3, 5, 1)))
    found = moments(0.5)(samples)
    np.testing.assert_allclose(found.mean, np.mean(samples, 0), rtol=1e-5)
    np.testing.assert_allclose(found.variance, np.var(samples, 0) + 0.25, rtol=1e-5)
    assert np.isfinite(nats(found, Batch(f32(X[:5]), f32(Y[:5])))[0])
    with pytest.raises(ValueError, match="noise"):
        moments(0.0)
