"""Learners of streams beside what they must give: closed forms, and the same after any order."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jmeta
from jmeta import nets
from jmeta.continual import algorithms
from jmeta.continual.algorithms import moments
from jmeta.continual.algorithms.gemcl import Prior, posterior, predictive
from jmeta.nets import PureModel


def linear(start):
    """`x theta`, with theta of one entry for each class."""
    return PureModel(lambda key, x: {"w": jnp.full((1, 1), start)}, lambda params, x: x @ params["w"])


def half_squares(prediction, y):
    return jnp.sum(jnp.square(prediction - y), axis=-1) / 2


ONE = jmeta.Batch(jnp.ones((1, 1)), jnp.ones((1, 1)))


@pytest.mark.parametrize(("first_order", "expected"), [(False, -0.18), (True, -0.09)])
def test_the_meta_gradient_of_oml(first_order, expected):
    """f = theta x, W_0 = 0, one step of 0.1 on (1, 1), query (1, 1), theta = 1: a gradient that does not go through
    the step is half as large, which public code has by mistake."""
    rule = optax.sgd(0.1)
    learner = algorithms.oml(
        linear(1.0), linear(5.0), inner_optimizer=rule, first_order=first_order, loss_fn=half_squares
    )
    params = learner.init(jax.random.key(0), ONE.x)
    grads = jax.grad(learner.loss, has_aux=True)(params, jmeta.Episode(ONE, ONE))[0]
    np.testing.assert_allclose(grads.encoder["w"], expected, rtol=1e-5)
    assert grads.head["w"] == 0  # 5 is the row of a class that the stream has, and so has no part


def stream(seed=0, shot=4, way=3, size=5):
    rng = np.random.default_rng(seed)
    y = np.repeat(np.eye(way), shot, axis=0)
    x = 2 * y @ rng.normal(size=(way, size)) + rng.normal(size=(way * shot, size))
    return jmeta.Batch(*map(jnp.asarray, (x, y, np.ones(way * shot))))


IDENTITY = nets.MLPEncoder(())
CLOSED = {
    "class means": algorithms.class_means(IDENTITY),
    "GeMCL": algorithms.gemcl(IDENTITY),
    "GeMCL, most likely": algorithms.gemcl(IDENTITY, density=algorithms.most_likely),
    "ridge": algorithms.running_ridge(IDENTITY),
}


@functools.cache
def ran(name, seed=None):
    """Logits after a stream in class order, or in another one."""
    learner, known, query = CLOSED[name], stream(), stream(1)
    order = slice(None) if seed is None else np.random.default_rng(seed).permutation(len(known.x))
    params = learner.init(jax.random.key(0), known.x)
    return learner.predict(learner.adapt(params, jax.tree.map(lambda a: a[order], known)), query.x)


@pytest.fixture
def wide():
    with jax.enable_x64(True):
        yield


@pytest.mark.standard_promotion
@pytest.mark.parametrize("name", CLOSED)
def test_no_order_changes_what_closed_forms_have_learned(name, wide):
    for seed in (1, 2):
        np.testing.assert_allclose(ran(name, seed), ran(name), rtol=1e-6, atol=1e-9)


@pytest.mark.standard_promotion
def test_order_does_change_what_gradient_steps_have_learned():
    learner = algorithms.oml(IDENTITY, nets.Head(3), inner_optimizer=optax.sgd(0.3))
    known = jax.tree.map(jnp.float32, stream())
    params = learner.init(jax.random.key(0), known.x)
    turned = jax.tree.map(lambda a: a[::-1], known)
    straight, other = (learner.predict(learner.adapt(params, s), known.x) for s in (known, turned))
    assert np.abs(straight - other).max() > 0.05


@pytest.mark.standard_promotion
@pytest.mark.parametrize("rows", [1, 5])
def test_a_running_ridge_is_that_of_the_whole_stream(rows, wide):
    """Five examples a step of twelve: the last step has padding."""
    known, l2 = stream(), 0.7
    z = np.concatenate([known.x, np.ones((len(known.x), 1))], axis=1)
    exact = np.linalg.solve(z.T @ z + l2 * np.eye(6), z.T @ known.y)
    learner = algorithms.running_ridge(IDENTITY, l2=l2, scale=1.0, rows=rows)
    found = learner.adapt(learner.init(jax.random.key(0), known.x), known).regression
    np.testing.assert_allclose(found.weights, exact, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.inverse, np.linalg.inv(z.T @ z + l2 * np.eye(6)), rtol=1e-6, atol=1e-9)


@pytest.mark.standard_promotion
def test_an_example_at_a_time_leads_to_what_all_at_once_do(wide):
    known = stream()
    weight = jnp.arange(len(known.x)) % 3 / 2  # of which some are 0
    running, _ = jax.lax.scan(
        lambda kept, one: (moments.updated(kept, *one), None), moments.nothing(3, 5), (known.x, known.y, weight)
    )
    whole = moments.moments(known.x, known._replace(weight=weight))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-12), running, whole)


def test_class_means_are_prototypical_networks():
    known, query = (jax.tree.map(jnp.float32, stream(seed)) for seed in (0, 1))
    one, other = CLOSED["class means"], jmeta.prototypical(IDENTITY)
    out = [learner.predict(learner.adapt({}, known), query.x) for learner in (one, other)]
    np.testing.assert_allclose(*out, rtol=1e-5, atol=1e-5)


def student_t(z, degrees, mean, scale):
    """Log density by its definition, in NumPy."""
    from math import lgamma, log, pi

    return (
        lgamma((degrees + 1) / 2) - lgamma(degrees / 2) - log(degrees * pi) / 2 - np.log(scale)
        - (degrees + 1) / 2 * np.log(1 + ((z - mean) / scale) ** 2 / degrees)
    )  # fmt: skip


@pytest.mark.standard_promotion
def test_the_predictive_is_a_product_of_student_ts(wide):
    """All of the logarithm of the variance in place of half, as in public code, would give other classes."""
    known, query = stream(), stream(1)
    a0, b0, k0, m0 = 1.3, 0.4, 0.2, 0.5
    learner = algorithms.gemcl(IDENTITY, shape=a0, scale=b0, strength=k0)
    params = learner.init(jax.random.key(0), known.x)
    params = params._replace(prior=params.prior._replace(mean=np.full(5, m0)))
    found = learner.predict(learner.adapt(params, known), query.x)
    x, y, asked = (np.asarray(a) for a in (known.x, known.y, query.x))
    for k in range(3):
        own = x[y[:, k] > 0]
        n, mean = len(own), own.mean(0)
        strength, shape = k0 + n, a0 + n / 2
        center = (k0 * m0 + own.sum(0)) / strength
        scale = b0 + ((own - mean) ** 2).sum(0) / 2 + k0 * n * (mean - m0) ** 2 / (2 * strength)
        spread = np.sqrt(scale / shape * (1 + 1 / strength))
        expected = student_t(asked, 2 * shape, center, spread).sum(1)
        np.testing.assert_allclose(found[:, k], expected, rtol=1e-6)


def test_the_density_in_numpy_is_that_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    z = np.linspace(-3, 3, 7)
    np.testing.assert_allclose(student_t(z, 3.4, 0.5, 0.8), stats.t.logpdf(z, 3.4, 0.5, 0.8), rtol=1e-10)


def test_the_posterior_predictive_is_the_evidence_with_one_example_more():
    """log p(z | stream) = log p(stream, z) - log p(stream), of which the second side needs no predictive."""
    prior = Prior(jnp.log(1.3), jnp.log(jnp.full(1, 0.4)), jnp.log(0.2), jnp.full(1, 0.5))
    known = jmeta.Batch(jnp.array([[0.3], [1.1], [0.2]]), jnp.ones((3, 1)))
    more = jmeta.Batch(jnp.append(known.x, 0.9)[:, None], jnp.ones((4, 1)))

    def evidence(batch):
        post, a0, k0 = posterior(prior, moments.moments(batch.x, batch)), jnp.exp(prior[0]), jnp.exp(prior[2])
        ratio = jax.scipy.special.gammaln(post.shape) - jax.scipy.special.gammaln(a0)
        ratio += a0 * prior.log_scale[None] - post.shape * jnp.log(post.scale)
        return ratio + (jnp.log(k0) - jnp.log(post.strength) - len(batch.x) * jnp.log(2 * jnp.pi)) / 2

    expected = (evidence(more) - evidence(known))[0]
    found = predictive(posterior(prior, moments.moments(known.x, known)), jnp.array([0.9]))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_queries_of_classes_that_a_stream_lacks_meet_the_heads_that_they_had():
    """Fresh rows are for classes of the stream alone."""
    learner = algorithms.oml(linear(1.0), nets.Head(3), inner_optimizer=optax.sgd(0.1))
    known = jmeta.Batch(jnp.ones((2, 1)), jnp.eye(3)[jnp.array([0, 0])])
    params = learner.init(jax.random.key(0), known.x)
    kernel = jnp.array([[7.0, 8.0, 9.0]])
    params = params._replace(head={"params": {"head": {"kernel": kernel, "bias": jnp.zeros(3)}}})
    none = learner.adapt(params, known._replace(weight=jnp.zeros(2)))
    np.testing.assert_allclose(none.head["params"]["head"]["kernel"], kernel)  # no steps, and no class of the stream
    some = learner.adapt(params, known).head["params"]["head"]["kernel"][0]
    assert abs(some[0]) < 1 and abs(some[1] - 8) < 0.2 and abs(some[2] - 9) < 0.2


def test_a_head_whose_parameters_have_classes_elsewhere_is_refused():
    learner = algorithms.oml(IDENTITY, nets.CosineHead(3), inner_optimizer=optax.sgd(0.1))
    with pytest.raises(ValueError, match=r"must have its 3 classes last, .* got params/scale \[\]"):
        learner.init(jax.random.key(0), jnp.ones((2, 4)))


def test_a_gate_of_another_shape_is_refused():
    learner = algorithms.anml(nets.MLPEncoder((4,)), nets.MLPEncoder((5,)), nets.Head(2), inner_optimizer=optax.sgd(1))
    with pytest.raises(ValueError, match=r"shape of the features, \[2, 4\], got \[2, 5\]"):
        learner.init(jax.random.key(0), jnp.ones((2, 3)))


def test_a_closed_gate_lets_nothing_through():
    gate = PureModel(lambda key, x: {}, lambda params, x: jnp.array([[-100.0, 100.0]]))
    z = algorithms.gated(IDENTITY, gate)
    params = z.init(jax.random.key(0), jnp.ones((1, 2)))
    np.testing.assert_allclose(z.apply(params, jnp.array([[3.0, 4.0]])), [[0.0, 4.0]], atol=1e-6)


@pytest.mark.parametrize("make", [
    lambda: algorithms.gemcl(IDENTITY, shape=0.0), lambda: algorithms.running_ridge(IDENTITY, l2=-1.0),
    lambda: algorithms.running_ridge(IDENTITY, scale=0.0), lambda: algorithms.gemcl(IDENTITY, strength=float("nan")),
])  # fmt: skip
def test_numbers_that_must_be_positive_are(make):
    with pytest.raises(ValueError, match="must be a finite number above 0, got"):
        make()
