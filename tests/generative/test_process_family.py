"""Each process beside what it must be in a case that is known: another process, a closed form, or NumPy's loops."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from algorithms_table import relaxed
from scipy.stats import multivariate_normal, norm

from jmeta import nets, training
from jmeta.bayes import deep_kernel, rbf
from jmeta.distributions import Normal, nats
from jmeta.generative import (
    JointNormal,
    attentive_process,
    autoregressive,
    autoregressive_sampler,
    conditional_parts,
    conditional_process,
    convolutional_process,
    elbo,
    exact,
    importance_weighted,
    joint_log_density,
    joint_process,
    latent_process,
    likelihood,
    tnp,
)
from jmeta.generative.algorithms.latent_process import drawn, spread_evenly
from jmeta.types import Batch, Episode

ENCODER, PAIRS, DECODER = nets.MLPEncoder(()), nets.MLP((5,), 4), nets.MLP((6,), 2)
RNG = np.random.default_rng(0)
KEY = jax.random.key(0)


class Plain(NamedTuple):
    """A model that learns nothing."""

    apply: Any
    init: Any = lambda key, x: {}


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


SUPPORT = Batch(normal(5, 2), normal(5, 3), np.array([1, 0, 1, 2, 1], np.float32))
QUERY = Batch(normal(4, 2), normal(4, 3), np.array([1, 1, 0, 1], np.float32))
ASKED = QUERY.x


@pytest.fixture(scope="module")
def conditional():
    """A conditional process, its parameters, and what it predicts."""
    learner = conditional_process(ENCODER, PAIRS, DECODER)
    params = jax.tree.map(lambda p: p + 0.1, learner.init(KEY, SUPPORT.x))
    return params, learner.predict(learner.adapt(params, SUPPORT), ASKED)


def close(found, expected, tolerance=1e-5):
    np.testing.assert_allclose(found.mean, expected.mean, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(found.variance, expected.variance, rtol=tolerance, atol=tolerance)


# -- Attention ---------------------------------------------------------------------------------------------------------


def test_attention_to_all_alike_is_a_mean(conditional):
    """Catches weights that are left out, parts of another order, and attention to padding where nothing is there."""
    params, expected = conditional
    learner = attentive_process(ENCODER, PAIRS, nets.CrossShares(4, 2), DECODER)
    made = learner.init(KEY, SUPPORT.x)
    blind = jax.tree.map(jnp.zeros_like, made.attention)
    made = made._replace(encoder=params.encoder, pairs=params.pairs, decoder=params.decoder, attention=blind)
    close(learner.predict(learner.adapt(made, SUPPORT), ASKED), expected)
    other, nothing = conditional_process(ENCODER, PAIRS, DECODER), SUPPORT._replace(weight=np.zeros(5, np.float32))
    prior = other.predict(other.adapt(params, nothing), ASKED)
    close(learner.predict(learner.adapt(made, nothing), ASKED), prior)


def test_each_head_takes_its_part():
    """Catches one head for all, and shares of a query that go to another: shares that are given, by loops."""
    shares = RNG.dirichlet(np.ones(5), (2, 4)).astype(np.float32)
    taken = {}
    decoder = Plain(lambda params, x: taken.setdefault("x", x)[:, :2])
    attention = Plain(lambda params, x: jnp.asarray(shares))
    learner = attentive_process(ENCODER, Plain(lambda params, x: jnp.tile(x, (1, 2))[:, :4]), attention, decoder)
    with jax.disable_jit():
        params = learner.init(KEY, SUPPORT.x)
        adapted = learner.adapt(params, SUPPORT._replace(weight=None))
        taken.clear()
        learner.predict(adapted, ASKED)
    rows = np.asarray(taken["x"]).reshape(-1, 6)
    for m in range(4):
        for t in range(3):
            e = np.concatenate([SUPPORT.x, SUPPORT.y[:, t : t + 1], SUPPORT.x[:, :1]], axis=1)
            both = [shares[h, m] @ e[:, 2 * h : 2 * h + 2] for h in range(2)]
            expected = np.concatenate([ASKED[m], *both])
            assert np.abs(rows - expected[None]).max(axis=1).min() < 1e-5


def test_heads_that_do_not_fit_are_refused():
    learner = attentive_process(ENCODER, PAIRS, nets.CrossShares(6, 3), DECODER)
    params = learner.init(KEY, SUPPORT.x)
    with pytest.raises(ValueError, match="heads must be a divisor of the 4 outputs of pairs, got 3"):
        learner.predict(learner.adapt(params, SUPPORT), ASKED)
    with pytest.raises(ValueError, match="heads must be a divisor of the 8 features, got 3"):
        nets.CrossShares(8, 3).init(KEY, (ASKED, ASKED))


# -- The latent variable -----------------------------------------------------------------------------------------------


def test_a_latent_variable_without_spread_is_a_conditional_process(conditional):
    """Catches another order of means and spreads, and functions that are mixed before they are decoded."""
    params, expected = conditional
    known = Plain(lambda params, r: jnp.concatenate([r, jnp.full_like(r, -20.0)], axis=1))
    learner = latent_process(ENCODER, PAIRS, known, DECODER, latent=4, samples=3)
    made = learner.init(KEY, SUPPORT.x)._replace(encoder=params.encoder, pairs=params.pairs, decoder=params.decoder)
    close(learner.predict(learner.adapt(made, SUPPORT), ASKED), expected)


def test_the_prediction_has_the_moments_of_the_mixture():
    """Of `y ~ N(z, 1)` with `z ~ N(a, v)` it is N(a, v + 1): catches a variance without that of the means."""
    posterior = Plain(lambda params, r: jnp.stack([jnp.full(len(r), 0.7), jnp.full(len(r), 0.5)], axis=1))
    decoder = Plain(lambda params, x: jnp.concatenate([x[:, 2:], jnp.zeros_like(x[:, 2:])], axis=1))
    learner = latent_process(ENCODER, PAIRS, posterior, decoder, latent=1, samples=256)
    found = learner.predict(learner.adapt(learner.init(KEY, SUPPORT.x), SUPPORT), ASKED)
    np.testing.assert_allclose(found.mean, 0.7, atol=1e-4)
    np.testing.assert_allclose(found.variance, 1 + np.exp(1.0), rtol=5e-3)
    episode = Episode(SUPPORT, QUERY)
    _, metrics = learner.loss(learner.init(KEY, SUPPORT.x), episode)
    there = QUERY.y[QUERY.weight > 0]
    joint = multivariate_normal(np.full(3, 0.7), np.eye(3) + np.e)
    assert float(metrics.loss) == pytest.approx(-np.mean([joint.logpdf(y) for y in there.T]) / 3, abs=5e-3)


@pytest.mark.parametrize("objective", [elbo, importance_weighted, likelihood])
def test_bounds_are_tight_where_the_posterior_is_exact(objective):
    """`z ~ N(m, v)`, `y ~ N(z, 1)` twice: all bounds are log p(y). Catches a KL or weights the wrong way round, and
    sums for means."""
    m, v, y = 0.4, 1.7, np.array([1.5, -0.2])
    after = 1 / (1 / v + 2)
    one = lambda mean, variance: Normal(jnp.full((1, 1), mean), jnp.full((1, 1), variance))
    seen, whole = one(m, v), one(after * (m / v + y.sum()), after)
    log_likelihood = lambda z: sum(-jnp.square(z[..., 0] - a) / 2 - jnp.log(2 * jnp.pi) / 2 for a in y.tolist())
    noise = jnp.asarray(spread_evenly(512, 1, 0))
    exactly = multivariate_normal(np.full(2, m), np.eye(2) + v).logpdf(y)
    assert objective(seen, whole, log_likelihood, noise).item() == pytest.approx(exactly, abs=3e-3)
    few = noise[:3]
    if objective is importance_weighted:  # of which all weights are the same
        assert objective(seen, whole, log_likelihood, few).item() == pytest.approx(exactly, abs=1e-4)
    if objective is elbo:  # of a posterior that is too wide, lower by the divergence between both
        wide = one(after * (m / v + y.sum()), 4 * after)
        lower = objective(seen, wide, log_likelihood, noise).item()
        assert exactly - lower == pytest.approx((4 - 1 - np.log(4)) / 2, abs=2e-2)


def test_noise_is_normal_in_each_column_and_the_same_for_a_seed():
    noise = spread_evenly(64, 5, 3)
    assert noise.shape == (64, 5) and np.array_equal(noise, spread_evenly(64, 5, 3))
    np.testing.assert_allclose(np.sort(noise, axis=0)[:, 0], norm.ppf((np.arange(64) + 0.5) / 64), rtol=1e-4)
    assert np.abs(np.corrcoef(noise.T) - np.eye(5)).max() < 0.5
    values = drawn(Normal(jnp.ones((2, 5)), jnp.full((2, 5), 4.0)), jnp.asarray(noise))
    np.testing.assert_allclose(values[:, 1], 1 + 2 * noise, rtol=1e-5, atol=1e-6)


def test_a_posterior_of_another_size_is_refused():
    with pytest.raises(ValueError, match="samples must be 1 or more, got 0"):
        latent_process(ENCODER, PAIRS, PAIRS, DECODER, latent=4, samples=0)
    learner = latent_process(ENCODER, PAIRS, nets.MLP((3,), 5), DECODER, latent=3)
    with pytest.raises(ValueError, match="posterior must have 6 outputs, two for each of latent, got 5"):
        learner.adapt(learner.init(KEY, SUPPORT.x), SUPPORT)


# -- Convolutions ------------------------------------------------------------------------------------------------------


def test_what_is_moved_by_steps_of_the_grid_is_predicted_the_same():
    """Catches a grid or a network that knows where it is, but for its ends."""
    learner = convolutional_process(nets.DilatedConvNet(8, dilations=(1, 2)), low=-4.0, high=4.0, points_per_unit=8)
    x, y, asked = (RNG.uniform(-0.5, 0.5, (n, 1)).astype(np.float32) for n in (6, 6, 9))
    params = jax.tree.map(lambda p: p + 0.05, learner.init(KEY, x))
    predict = lambda moved: learner.predict(learner.adapt(params, Batch(x + moved, y)), asked + moved)
    here = predict(np.float32(0))
    for steps in (3, -11):
        close(predict(np.float32(steps / 8)), here)
    assert np.abs(here.mean - predict(np.float32(4))[0]).max() > 1e-3  # half of which is beyond the end
    assert np.abs(np.diff(here.mean[:, 0])).max() > 1e-3


def test_density_and_signal_are_those_of_loops():
    """Catches lengths that are no logarithms, a signal that is a sum, and weights that are left out."""
    learner = convolutional_process(Plain(lambda params, x: x), low=-1.0, high=1.0, points_per_unit=2)
    x, y, w = RNG.uniform(-1, 1, (4, 1)), normal(4, 2), np.array([1.0, 0, 2, 1])
    params = learner.init(KEY, jnp.asarray(x, jnp.float32))._replace(
        log_length_out=jnp.asarray(np.log(0.3), jnp.float32)
    )
    adapted = learner.adapt(params, Batch(*(jnp.asarray(a, jnp.float32) for a in (x, y, w))))
    grid = np.linspace(-1, 1, 5)
    near = w[:, None] * np.exp(-((x - grid) ** 2) / 2)  # two steps of a half are 1
    np.testing.assert_allclose(adapted.h[1, :, 0], near.sum(axis=0), rtol=1e-5)
    np.testing.assert_allclose(adapted.h[1, :, 1], (near * y[:, 1:]).sum(axis=0) / near.sum(axis=0), rtol=1e-4)
    back = np.exp(-((0.2 - grid) ** 2) / (2 * 0.3**2))
    found = learner.predict(adapted, jnp.full((1, 1), 0.2))
    np.testing.assert_allclose(found.mean[0, 0], back @ np.asarray(adapted.h[0, :, 0]) / back.sum(), rtol=1e-4)
    with pytest.raises(ValueError, match=r"x must be places on a line, \[N, 1\], got \[4, 2\]"):
        learner.predict(adapted, ASKED)


def test_a_dilated_network_is_numpys():
    """Catches a kernel that is turned round, a dilation that is not, and padding on one side."""
    net = nets.DilatedConvNet(3, 2, dilations=(1, 3))
    x = normal(2, 9, 4)
    params = jax.tree.map(lambda p: p + 0.1, net.init(KEY, x))
    layers = {name: jax.tree.map(np.asarray, layer) for name, layer in params["params"].items()}
    dense = lambda name, x: x @ layers[name]["kernel"] + layers[name]["bias"]
    h = dense("Dense_0", x)
    for number, d in ((1, 1), (2, 3)):
        kernel, new = layers[f"Dense_{number}"]["kernel"].reshape(5, 3, 3), h + layers[f"Dense_{number}"]["bias"]
        for g in range(9):
            for k in range(5):
                at = g + (k - 2) * d
                if 0 <= at < 9:
                    new[:, g] += np.maximum(h[:, at], 0) @ kernel[k]
        h = new
    np.testing.assert_allclose(net.apply(params, x), dense("head", np.maximum(h, 0)), rtol=1e-4, atol=1e-5)


# -- Jointly -----------------------------------------------------------------------------------------------------------


def test_the_joint_density_is_scipys_and_padding_is_not_there():
    """Catches a determinant without its half, noise that is a deviation, and rows of weight 0 that count."""
    mean, factor, y = normal(4, 2), normal(4, 2, 3), normal(4, 2)
    noise = np.exp(normal(4, 2))
    weight = np.array([1, 0, 2, 1], np.float32)
    rows = weight > 0
    for w, kept in ((None, slice(None)), (weight, rows)):
        found = joint_log_density(JointNormal(*map(jnp.asarray, (mean, factor, noise))), jnp.asarray(y), w)
        for t in range(2):
            f = factor[kept, t].astype(float)
            law = multivariate_normal(mean[kept, t], f @ f.T + np.diag(noise[kept, t]))
            assert found[t].item() == pytest.approx(law.logpdf(y[kept, t]), abs=1e-4)
    variance = JointNormal(*map(jnp.asarray, (mean, factor, noise))).variance
    np.testing.assert_allclose(variance[1, 0], factor[1, 0] @ factor[1, 0] + noise[1, 0], rtol=1e-5)


def test_without_a_factor_targets_are_independent(conditional):
    """Catches a loss that is not of a target, and outputs of another order."""
    parts = conditional_parts(ENCODER, PAIRS, Plain(lambda params, x: jnp.stack([x[:, 0], x[:, 3], 0 * x[:, 1]], 1)))
    alone = conditional_process(ENCODER, PAIRS, Plain(lambda params, x: jnp.stack([x[:, 0], x[:, 3]], 1)))
    learner = joint_process(parts)
    params, episode = learner.init(KEY, SUPPORT.x), Episode(SUPPORT, QUERY)
    found = learner.loss(params, episode)[0]
    expected = nats(alone.predict(alone.adapt(params, SUPPORT), ASKED, QUERY.weight), QUERY)[0]
    assert float(found) == pytest.approx(float(expected), rel=1e-5)
    few = joint_process(conditional_parts(ENCODER, PAIRS, DECODER))
    with pytest.raises(ValueError, match=r"parts must have three outputs or more, .* got 2"):
        few.loss(few.init(KEY, SUPPORT.x), episode)


@pytest.fixture(scope="module")
def gp():
    """A Gaussian process whose kernel is right, and an episode with padding on both sides."""
    learner = deep_kernel(nets.MLPEncoder(()), rbf(length=0.5), noise=0.3)
    params = jax.jit(learner.init)(KEY, jnp.zeros((4, 1)))
    rng = np.random.default_rng(5)
    draw = lambda n, w: Batch(*rng.uniform(-1, 1, (2, n, 1)).astype(np.float32), np.array(w, np.float32))
    return learner, params, Episode(draw(4, [1, 1, 0, 1]), draw(6, [1, 1, 1, 0, 1, 1]))


def known(batch):
    return tuple(np.asarray(a)[batch.weight > 0, 0] for a in (batch.x, batch.y))


def test_one_by_one_is_jointly_for_an_exact_process(gp):
    """Catches queries that are not learned from, or before they are asked for, and padding that is."""
    learner, params, episode = gp
    found = jax.jit(autoregressive(learner))(params, episode)
    (x, y), (asked, new) = map(known, episode)
    mean, covariance = exact.rbf_posterior(x, y, asked, length=0.5, scale=1.0, noise=0.3)
    assert found.shape == (6, 1) and found[3, 0] == 0
    assert float(found.sum()) == pytest.approx(multivariate_normal(mean, covariance).logpdf(new), abs=1e-4)
    assert found[0, 0].item() == pytest.approx(norm(mean[0], covariance[0, 0] ** 0.5).logpdf(new[0]), abs=1e-4)


def test_functions_that_are_drawn_one_by_one_have_the_joint_moments(gp):
    """Catches values that are drawn each by itself, with another spread, or not learned from."""
    learner, params, episode = gp
    x = jnp.array([[0.0], [0.1], [0.8]])
    draw = autoregressive_sampler(learner)
    keys = jax.random.split(jax.random.key(1), 3000)
    found = np.asarray(jax.jit(jax.vmap(lambda key: draw(params, episode.support, x, key)))(keys))[..., 0]
    mean, covariance = exact.rbf_posterior(
        *known(episode.support), np.asarray(x)[:, 0], length=0.5, scale=1.0, noise=0.3
    )
    np.testing.assert_allclose(found.mean(axis=0), mean, atol=4 * covariance.max() ** 0.5 / 3000**0.5)
    np.testing.assert_allclose(np.cov(found.T), covariance, atol=6 * covariance.max() / 3000**0.5)


# -- The posterior of a mean -------------------------------------------------------------------------------------------


def values(key):
    """`mu ~ N(0, 1)`, `y ~ N(mu, 1)`, of which 0 to 5 are seen and 8 are asked for."""
    keys = jax.random.split(key, 3)
    y = jax.random.normal(keys[0], (1, 1)) + jax.random.normal(keys[1], (13, 1))
    seen = (jnp.arange(5) < jax.random.randint(keys[2], (), 0, 6)).astype(y.dtype)
    return Episode(Batch(jnp.zeros((5, 1)), y[:5], seen), Batch(jnp.zeros((8, 1)), y[5:]))


@pytest.mark.long
@pytest.mark.optimized
def test_a_learned_process_is_within_a_hundredth_of_a_nat_of_the_posterior():
    """Of the same values, so that what they happen to be is in neither. Catches a spread that can't be learned."""
    learner = tnp(ENCODER, nets.ProcessTransformer(16, 2, 2))
    rate = optax.cosine_decay_schedule(3e-3, 3000)
    rule = relaxed(optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate)))
    state = training.init_state(learner, rule, KEY, jnp.zeros((5, 1)))
    state, _ = training.make_run(learner, rule, values, meta_batch_size=64)(state, 3000)

    def excess(key):
        support, query = values(key)
        assert support.weight is not None
        number = jnp.sum(support.weight)
        mean = jnp.sum(support.y * support.weight[:, None]) / (number + 1)
        law = Normal(jnp.broadcast_to(mean, query.y.shape), jnp.broadcast_to(1 + 1 / (number + 1), query.y.shape))
        return learner.loss(state.params, Episode(support, query))[0] - nats(law, query)[0]

    found = np.asarray(jax.jit(jax.vmap(excess))(jax.random.split(jax.random.key(1), 20_000)))
    assert 0 < found.mean() < 0.01
