"""Bootstrapped meta-gradients: closed forms, what the target is, and what remains of it in the limit."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from algorithms_table import assert_close, conv_net, largest, mlp_net, random_episode, random_like
from hypothesis import given
from hypothesis import strategies as st

import jmeta
from jmeta import nets
from jmeta.algorithms import bootstrap
from jmeta.losses import cross_entropy, squared_error
from jmeta.nets import PureModel

EPISODE = random_episode(0)
NETS = {
    "none": mlp_net(3, (8,)).model,
    "batch": conv_net(3, nets.BatchNorm, (4,)).model,
    "support": conv_net(3, nets.SupportNorm, (4,)).model,
}
SGD = optax.sgd(0.3)
CONSTANT = PureModel(lambda key, x: jnp.zeros(()), lambda theta, x: jnp.broadcast_to(theta, (len(x), 1)))

numbers, rates = st.floats(-3, 3, width=32), st.floats(0, 1.5, width=32)


def gradient(learner, params, episode=EPISODE):
    (value, metrics), grads = jax.jit(jax.value_and_grad(learner.loss, has_aux=True))(params, episode)
    return value, metrics, grads


@functools.cache
def start(norm="none"):
    made = jax.jit(NETS[norm].init)(jax.random.key(0), EPISODE.support.x)
    return jax.tree.map(jnp.add, made, random_like(jax.random.key(1), made, 0.05))


@functools.cache
def on_a_constant(matching, steps, target_steps):
    def run(alpha, beta, theta, a, b):
        half_square = lambda prediction, y: 0.5 * jnp.sum(jnp.square(prediction - y), axis=-1)
        one = lambda value: jmeta.Batch(jnp.zeros((1, 1)), jnp.reshape(value, (1, 1)))
        learner = jmeta.bootstrapped(
            CONSTANT,
            inner_optimizer=optax.sgd(alpha),
            inner_steps=steps,
            target_steps=target_steps,
            target_optimizer=optax.sgd(beta),
            matching=matching,
            loss_fn=half_square,
        )
        (value, metrics), grad = jax.value_and_grad(learner.loss, has_aux=True)(theta, jmeta.Episode(one(a), one(b)))
        return value, metrics.loss, grad

    return jax.jit(run)


@pytest.mark.parametrize("matching", [bootstrap.prediction_distance, bootstrap.parameter_distance])
@given(rates, rates, numbers, numbers, numbers, st.sampled_from([(0, 1), (1, 1), (2, 1), (0, 2), (2, 3)]))
def test_closed_form(matching, alpha, beta, theta, a, b, steps):
    """phi = a + (1 - alpha)^K (theta - a) chases t = c - beta (c - b), with c = a + (1 - alpha)^(K + L - 1) (theta -
    a), so that the gradient is (1 - alpha)^K (phi - t)."""
    k, length = steps
    shrink = (1 - alpha) ** k
    phi, ahead = a + shrink * (theta - a), a + (1 - alpha) ** (k + length - 1) * (theta - a)
    target = ahead - beta * (ahead - b)
    got = on_a_constant(matching, k, length)(*(jnp.float32(v) for v in (alpha, beta, theta, a, b)))
    expected = (0.5 * (phi - target) ** 2, 0.5 * (phi - b) ** 2, shrink * (phi - target))
    np.testing.assert_allclose(got, expected, rtol=5e-5, atol=5e-5)


@pytest.mark.parametrize("norm", ["none", *(pytest.param(n, marks=pytest.mark.long) for n in ("batch", "support"))])
def test_one_target_step_and_the_distance_of_parameters_are_the_target_rate_times_maml(norm):
    options = dict(inner_optimizer=SGD, inner_steps=2)
    expected = gradient(jmeta.maml(NETS[norm], **options), start(norm))
    learner = jmeta.bootstrapped(
        NETS[norm],
        target_steps=1,
        target_optimizer=optax.sgd(0.25),
        matching=bootstrap.parameter_distance,
        **options,
    )
    _, metrics, grads = gradient(learner, start(norm))
    assert_close(jax.tree.map(lambda g: 4 * g, grads), expected[2], rtol=1e-4, atol=1e-5)
    assert_close(metrics, expected[1])


def by_hand(params, length, rate):
    """Both ends of the inner loop, step by step."""
    mean_loss = lambda params, batch: jnp.mean(cross_entropy(NETS["none"].apply(params, batch.x), batch.y))

    def descend(params, batch, rate, steps):
        for _ in range(steps):
            params = jax.tree.map(lambda p, g: p - rate * g, params, jax.grad(mean_loss)(params, batch))
        return params

    adapted = descend(params, EPISODE.support, 0.3, 2)
    return adapted, descend(descend(adapted, EPISODE.support, 0.3, length - 1), EPISODE.query, rate, 1)


@pytest.mark.parametrize(("length", "target_rate"), [(3, 0.1), pytest.param(1, None, marks=pytest.mark.long)])
def test_the_target_is_where_further_steps_lead_and_a_constant(length, target_rate):
    learner = jmeta.bootstrapped(
        NETS["none"],
        inner_optimizer=SGD,
        inner_steps=2,
        target_steps=length,
        target_optimizer=None if target_rate is None else optax.sgd(target_rate),
    )
    model, x = NETS["none"], EPISODE.query.x
    rate = 0.3 if target_rate is None else target_rate
    target = jax.jit(lambda params: model.apply(by_hand(params, length, rate)[1], x))(start())

    def expected(params):
        p, q = jax.nn.softmax(target), jax.nn.softmax(model.apply(by_hand(params, length, rate)[0], x))
        return jnp.mean(jnp.sum(p * jnp.log(p / q), axis=-1))

    value, _, grads = gradient(learner, start())
    assert_close((value, grads), jax.jit(jax.value_and_grad(expected))(start()), rtol=1e-4, atol=1e-6)
    assert largest(grads) > 1e-3


@pytest.mark.long
def test_the_kl_of_a_small_target_step_is_maml_seen_through_the_fisher_matrix():
    """grad / rate -> J_adapt^T F grad L_query at the adapted parameters, where MAML has J_adapt^T grad L_query: the
    divergence is half the square of the step in the metric F of the predictions."""
    model, rate = NETS["none"], 1e-6
    learner = jmeta.bootstrapped(
        model, inner_optimizer=SGD, inner_steps=2, target_steps=1, target_optimizer=optax.sgd(rate)
    )
    maml = jmeta.maml(model, inner_optimizer=SGD, inner_steps=2)
    made = start()
    with jax.enable_x64(True):
        episode, params = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), (EPISODE, made))
        grads = jax.tree.map(lambda g: g / rate, gradient(learner, params, episode)[2])
        adapted, pull = jax.vjp(lambda params: maml.adapt(params, episode.support), params)
        logits = lambda params: model.apply(params, episode.query.x)
        along = jax.grad(lambda params: jnp.mean(cross_entropy(logits(params), episode.query.y)))(adapted)
        z, dz = jax.jvp(logits, (adapted,), (along,))
        p = jax.nn.softmax(z)
        curved = p * (dz - jnp.sum(p * dz, axis=-1, keepdims=True)) / len(z)
        expected = pull(jax.vjp(logits, adapted)[1](curved)[0])[0]
        assert_close(grads, expected, rtol=1e-4, atol=1e-6)
        assert largest(expected) > 1e-3


def test_the_metrics_are_of_the_query_loss_and_adaptation_is_mamls():
    options = dict(inner_optimizer=SGD, inner_steps=2)
    learner, maml = jmeta.bootstrapped(NETS["batch"], target_steps=2, **options), jmeta.maml(NETS["batch"], **options)
    params = start("batch")
    value, metrics, _ = gradient(learner, params)
    assert_close(metrics, gradient(maml, params)[1])
    assert abs(float(value - metrics.loss)) > 1e-2
    assert_close(learner.adapt(params, EPISODE.support), maml.adapt(params, EPISODE.support))


def point(seed):
    rng = np.random.default_rng(seed)
    params = {"w": rng.normal(size=(2, 3)).astype(np.float32), "b": rng.normal(size=3).astype(np.float32)}
    return bootstrap.Point(jax.tree.map(jnp.asarray, params), jnp.asarray(rng.normal(size=(4, 5)).astype(np.float32)))


def softmax(z):
    return np.exp(z) / np.exp(z).sum()


def test_matchings_against_loops():
    target, adapted = point(0), point(1)
    weight, classes = np.array([1.0, 0.0, 1.0, 1.0]), np.array([1.0, 1.0, 0.0, 1.0, 0.0])
    t, a = (np.asarray(p.prediction, np.float64) for p in (target, adapted))
    kl = distance = 0.0
    for n in range(4):
        p, q = (softmax(z[n][classes > 0]) for z in (t, a))
        kl += weight[n] / 3 * sum(pi * np.log(pi / qi) for pi, qi in zip(p, q, strict=True))
        distance += weight[n] / 3 * 0.5 * np.mean((t[n] - a[n])[classes > 0] ** 2)
    apart = sum(0.5 * np.sum((np.asarray(target.params[k]) - adapted.params[k]) ** 2) for k in ("w", "b"))
    as32 = lambda a: jnp.asarray(a, jnp.float32)
    query = jmeta.Batch(jnp.zeros((4, 1)), jnp.zeros((4, 5)), as32(weight), as32(classes))
    np.testing.assert_allclose(bootstrap.prediction_kl(target, adapted, query), kl, rtol=1e-5)
    np.testing.assert_allclose(bootstrap.prediction_distance(target, adapted, query), distance, rtol=1e-5)
    np.testing.assert_allclose(bootstrap.parameter_distance(target, adapted, query), apart, rtol=1e-5)
    for matching in (bootstrap.prediction_kl, bootstrap.prediction_distance, bootstrap.parameter_distance):
        value, grads = jax.value_and_grad(lambda p, m=matching: m(target, p, query))(target)
        assert abs(float(value)) < 1e-6 and largest(grads) < 1e-6


def test_regression():
    learner = jmeta.bootstrapped(
        nets.MLP((8,), 1),
        inner_optimizer=optax.sgd(0.1),
        inner_steps=1,
        target_steps=2,
        matching=bootstrap.prediction_distance,
        loss_fn=squared_error,
    )
    episode = jmeta.sinusoid_sampler(shot=5, query_shot=5)(jax.random.key(0))
    value, metrics, grads = gradient(learner, learner.init(jax.random.key(1), episode.support.x), episode)
    assert metrics.accuracy is None and value > 0 and largest(grads) > 1e-3


def test_the_kl_of_a_single_output_is_refused():
    """It is 0 whatever the output, so that nothing would be learned."""
    learner = jmeta.bootstrapped(
        nets.MLP((8,), 1), inner_optimizer=SGD, inner_steps=1, target_steps=1, loss_fn=squared_error
    )
    episode = jmeta.sinusoid_sampler(shot=5, query_shot=5)(jax.random.key(0))
    params = learner.init(jax.random.key(1), episode.support.x)
    with pytest.raises(ValueError, match="matching=prediction_distance"):
        learner.loss(params, episode)
    assert jmeta.algorithms.prediction_distance is bootstrap.prediction_distance


@pytest.mark.parametrize("inner_grad", [jax.grad, jmeta.gradients.remat_grad, jmeta.gradients.mixed_grad])
@pytest.mark.long
def test_gradients_agree_with_central_differences_to_the_same_target(inner_grad):
    """In float64; a step too small to meet a kink of a ReLU."""
    options = dict(inner_optimizer=SGD, inner_steps=2, target_steps=2, inner_grad=inner_grad)
    learner = jmeta.bootstrapped(NETS["batch"], **options)
    made = start("batch")
    with jax.enable_x64(True):
        to64 = lambda tree: jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), tree)
        episode, params = to64(EPISODE), to64(made)

        @jax.jit
        def target_of(params):
            kept = []
            keep = lambda target, adapted, query: kept.append(target) or jnp.zeros(())
            with jax.disable_jit():  # so that what is kept is of this program
                jmeta.bootstrapped(NETS["batch"], matching=keep, **options).loss(params, episode)
            return kept[0]

        target = target_of(params)
        same = lambda _, adapted, query: bootstrap.prediction_kl(target, adapted, query)
        chase = jax.jit(jmeta.bootstrapped(NETS["batch"], matching=same, **options).loss)
        grads = gradient(learner, params, episode)[2]
        h = 1e-7
        along = random_like(jax.random.key(0), params)
        ahead, behind = (jax.tree.map(lambda p, d, s=s: p + s * h * d, params, along) for s in (1.0, -1.0))
        numeric = (chase(ahead, episode)[0] - chase(behind, episode)[0]) / (2 * h)
        exact = sum(jnp.vdot(g, d) for g, d in zip(*map(jax.tree.leaves, (grads, along)), strict=True))
        assert abs(exact) > 1e-3
        np.testing.assert_allclose(numeric, exact, rtol=1e-6)
