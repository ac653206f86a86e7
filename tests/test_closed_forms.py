"""Exact meta-gradients, where a task is simple enough to have one.

A constant predictor theta, support target a, query target b, loss 0.5 (.)^2, inner rate alpha and k steps give
phi = a + (1 - alpha)^k (theta - a).
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from algorithms_table import assert_close
from hypothesis import given
from hypothesis import strategies as st

import jmeta
from jmeta.nets import PureModel

CONSTANT = PureModel(lambda key, x: jnp.zeros(()), lambda theta, x: jnp.broadcast_to(theta, (len(x), 1)))
ADDITIVE = PureModel(lambda key, x: jnp.zeros(()), lambda theta, pair: jnp.broadcast_to(theta + pair[1], pair[0].shape))
LINEAR = PureModel(lambda key, x: jnp.zeros(()), lambda w, x: w * x)

numbers = st.floats(-3, 3, width=32)
rates = st.floats(0, 1.5, width=32)
steps = st.integers(0, 4)


def half_square(prediction, y):
    return 0.5 * jnp.sum(jnp.square(prediction - y), axis=-1)


def pair(x, a, x_query, b):
    """One support point and one query point."""
    one = lambda value: jnp.reshape(value, (1, 1))
    return jmeta.Episode(jmeta.Batch(one(x), one(a)), jmeta.Batch(one(x_query), one(b)))


@functools.cache
def constant_gradient(name, k):
    """`(alpha, theta, a, b) -> (loss, gradient)` of an algorithm on the constant predictor."""

    def run(alpha, theta, a, b):
        options = dict(inner_optimizer=optax.sgd(alpha), inner_steps=k, loss_fn=half_square)
        learners = {
            "maml": lambda: jmeta.maml(CONSTANT, **options),
            "fomaml": lambda: jmeta.maml(CONSTANT, first_order=True, **options),
            "cavia": lambda: jmeta.cavia(ADDITIVE, context_size=1, **options),
            "first_order_cavia": lambda: jmeta.cavia(ADDITIVE, context_size=1, first_order=True, **options),
            "reptile": lambda: jmeta.reptile(CONSTANT, **options),
            "meta_sgd": lambda: jmeta.meta_sgd(CONSTANT, inner_lr=0.1, inner_steps=k, loss_fn=half_square),
        }
        params = jmeta.algorithms.MetaSGDParams(theta, alpha) if name == "meta_sgd" else theta
        loss = lambda params: learners[name]().loss(params, pair(0.0, a, 0.0, b))[0]
        return jax.value_and_grad(loss)(params)

    return jax.jit(run)


def exact(alpha, theta, a, b, k):
    shrink = (1 - alpha) ** k
    return shrink, a + shrink * (theta - a)


@functools.cache
def implicit_gradient(k, solver):
    """`(alpha, strength, theta, a, b) -> (loss, gradient)` of iMAML on the constant predictor."""

    def run(alpha, strength, theta, a, b):
        learner = jmeta.imaml(
            CONSTANT,
            inner_optimizer=optax.sgd(alpha),
            inner_steps=k,
            regularization=strength,
            solver=solver,
            loss_fn=half_square,
        )
        return jax.value_and_grad(lambda theta: learner.loss(theta, pair(0.0, a, 0.0, b))[0])(theta)

    return jax.jit(run)


def run(name, k, *values):
    return constant_gradient(name, k)(*(jnp.float32(v) for v in values))


def check(got, expected):
    np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-5)


@given(rates, numbers, numbers, numbers, steps)
def test_maml(alpha, theta, a, b, k):
    shrink, phi = exact(alpha, theta, a, b, k)
    check(run("maml", k, alpha, theta, a, b), (0.5 * (phi - b) ** 2, shrink * (phi - b)))


@given(rates, numbers, numbers, numbers, steps)
def test_first_order_maml(alpha, theta, a, b, k):
    _, phi = exact(alpha, theta, a, b, k)
    check(run("fomaml", k, alpha, theta, a, b), (0.5 * (phi - b) ** 2, phi - b))


@given(rates, numbers, numbers, numbers, steps)
def test_cavia_with_an_additive_context(alpha, theta, a, b, k):
    """What the context moves by is what MAML's parameter would, so that both are the same."""
    shrink, phi = exact(alpha, theta, a, b, k)
    check(run("cavia", k, alpha, theta, a, b), (0.5 * (phi - b) ** 2, shrink * (phi - b)))
    check(run("first_order_cavia", k, alpha, theta, a, b), (0.5 * (phi - b) ** 2, phi - b))


@given(rates, numbers, numbers, numbers, steps)
def test_reptile(alpha, theta, a, b, k):
    _, phi = exact(alpha, theta, a, b, k)
    check(run("reptile", k, alpha, theta, a, b), (0.5 * (phi - b) ** 2, theta - phi))


@given(rates, numbers, numbers, numbers, steps)
def test_meta_sgd(alpha, theta, a, b, k):
    """At k = 1 the gradient in the rate is -(phi - b) (theta - a); for any k, that times k (1 - alpha)^(k - 1)."""
    shrink, phi = exact(alpha, theta, a, b, k)
    value, grad = run("meta_sgd", k, alpha, theta, a, b)
    along_rate = -k * (1 - alpha) ** (k - 1) * (theta - a) * (phi - b) if k else 0.0
    check((value, grad.model, grad.lr), (0.5 * (phi - b) ** 2, shrink * (phi - b), along_rate))


strengths = st.floats(0.5, 4, width=32)
CG, NEUMANN = jmeta.solvers.conjugate_gradient(1), jmeta.solvers.neumann(3, rate=0.25)


@given(st.floats(0.125, 0.25, width=32), strengths, numbers, numbers, numbers)
def test_implicit_maml(alpha, strength, theta, a, b):
    """At the minimum phi* = (a + lambda theta) / (1 + lambda), lambda / (1 + lambda) (phi* - b)."""
    phi = (a + strength * theta) / (1 + strength)
    expected = 0.5 * (phi - b) ** 2, strength / (1 + strength) * (phi - b)
    check(implicit_gradient(200, CG)(*(jnp.float32(v) for v in (alpha, strength, theta, a, b))), expected)


@given(st.floats(0, 0.25, width=32), strengths, numbers, numbers, numbers, steps)
def test_implicit_maml_where_the_inner_problem_and_the_system_are_not_solved(alpha, strength, theta, a, b, k):
    """k steps leave (1 - alpha (1 + lambda))^k of the way, and three terms (1 - rate A)^3 of 1 / A = lambda / (1 +
    lambda)."""
    best, system = (a + strength * theta) / (1 + strength), 1 + 1 / strength
    phi = best + (1 - alpha * (1 + strength)) ** k * (theta - best)
    expected = 0.5 * (phi - b) ** 2, (1 - (1 - 0.25 * system) ** 3) / system * (phi - b)
    check(implicit_gradient(k, NEUMANN)(*(jnp.float32(v) for v in (alpha, strength, theta, a, b))), expected)


@functools.cache
def linear_gradient(k, first_order):
    def run(alpha, encoder, head, x, a, x_query, b):
        learner = jmeta.anil(
            LINEAR,
            LINEAR,
            inner_optimizer=optax.sgd(alpha),
            inner_steps=k,
            first_order=first_order,
            loss_fn=half_square,
        )
        loss = lambda params: learner.loss(params, pair(x, a, x_query, b))[0]
        return jax.value_and_grad(loss)(jmeta.algorithms.ANILParams(encoder, head))

    return jax.jit(run)


away = st.floats(0.5, 1.25, width=32)


@pytest.mark.parametrize("first_order", [False, True])
@given(st.floats(0, 1, width=32), away, numbers, away, numbers, numbers, numbers, steps)
def test_anil_with_a_linear_head(first_order, alpha, encoder, head, x, a, x_query, b, k):
    """The head moves to h_k = h* + (1 - alpha z^2)^k (h - h*), with z = e x and h* = a / z; the encoder e does not."""
    z = encoder * x
    best, shrink = a / z, (1 - alpha * z**2) ** k
    moved = best + shrink * (head - best)
    residual = moved * encoder * x_query - b
    through = -a / (encoder * z) * (1 - shrink)
    if k:
        through += (head - best) * k * (1 - alpha * z**2) ** (k - 1) * (-2 * alpha * z * x)
    along_head = residual * encoder * x_query
    along_encoder = residual * x_query * moved
    if not first_order:
        along_encoder += residual * x_query * encoder * through
        along_head *= shrink
    value, grad = linear_gradient(k, first_order)(*(jnp.float32(v) for v in (alpha, encoder, head, x, a, x_query, b)))
    np.testing.assert_allclose(value, 0.5 * residual**2, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose((grad.encoder, grad.head), (along_encoder, along_head), rtol=1e-4, atol=5e-4)


@functools.cache
def body_gradient(k, first_order):
    def run(alpha, encoder, head, x, a, x_query, b):
        learner = jmeta.boil(
            LINEAR,
            LINEAR,
            inner_optimizer=optax.sgd(alpha),
            inner_steps=k,
            first_order=first_order,
            loss_fn=half_square,
        )
        loss = lambda params: learner.loss(params, pair(x, a, x_query, b))[0]
        return jax.value_and_grad(loss)(jmeta.algorithms.BOILParams(encoder, head))

    return jax.jit(run)


@pytest.mark.parametrize("first_order", [False, True])
@given(st.floats(0, 1, width=32), numbers, away, away, numbers, numbers, numbers, steps)
def test_boil_with_a_linear_head(first_order, alpha, encoder, head, x, a, x_query, b, k):
    """The encoder moves to e_k = e* + (1 - alpha c^2)^k (e - e*), with c = h x and e* = a / c; the head h does not."""
    c = head * x
    best, shrink = a / c, (1 - alpha * c**2) ** k
    moved = best + shrink * (encoder - best)
    residual = head * moved * x_query - b
    through = -a / (head * c) * (1 - shrink)
    if k:
        through += (encoder - best) * k * (1 - alpha * c**2) ** (k - 1) * (-2 * alpha * c * x)
    along_encoder = residual * head * x_query
    along_head = residual * x_query * moved
    if not first_order:
        along_head += residual * x_query * head * through
        along_encoder *= shrink
    value, grad = body_gradient(k, first_order)(*(jnp.float32(v) for v in (alpha, encoder, head, x, a, x_query, b)))
    np.testing.assert_allclose(value, 0.5 * residual**2, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose((grad.encoder, grad.head), (along_encoder, along_head), rtol=1e-4, atol=5e-4)


RULES = {
    "momentum": optax.sgd(0.2, momentum=0.9),
    "nesterov": optax.sgd(0.2, momentum=0.9, nesterov=True),
    "adam": optax.adam(0.1, b1=0.8, b2=0.9, eps=1e-4, eps_root=1e-6),
}


def unrolled(rule, w, gradient, k):
    """The same rules, written out in NumPy."""
    m, v = np.zeros_like(w), np.zeros_like(w)
    for t in range(1, k + 1):
        g = gradient(w)
        if rule == "adam":
            m, v = 0.8 * m + 0.2 * g, 0.9 * v + 0.1 * g**2
            w = w - 0.1 * (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.9**t) + 1e-6) + 1e-4)
        else:
            m = g + 0.9 * m
            w = w - 0.2 * (g + 0.9 * m if rule == "nesterov" else m)
    return w


@pytest.mark.standard_promotion
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("rule", RULES)
def test_inner_rules_against_finite_differences_of_a_hand_written_loop(rule, k):
    """Logistic regression, so that the curvature changes along the way."""
    rng = np.random.default_rng(3)
    x, xq = rng.normal(size=(6, 3)), rng.normal(size=(5, 3))
    y, yq = (rng.normal(size=n) > 0 for n in (6, 5))
    w = rng.normal(size=3)

    def gradient(w):
        return x.T @ (1 / (1 + np.exp(-(x @ w))) - y) / len(y)

    def outer(w):
        z = xq @ unrolled(rule, w, gradient, k)
        return np.mean(np.logaddexp(0, z) - yq * z)

    expected = [(outer(w + 1e-5 * e) - outer(w - 1e-5 * e)) / 2e-5 for e in np.eye(3)]

    def logistic(prediction, y):
        return (jnp.logaddexp(0.0, prediction) - y * prediction)[:, 0]

    with jax.enable_x64(True):
        model = PureModel(lambda key, x: jnp.zeros(3), lambda w, x: (x @ w)[:, None])
        learner = jmeta.maml(model, inner_optimizer=RULES[rule], inner_steps=k, loss_fn=logistic)
        column = lambda y: jnp.asarray(y, float)[:, None]
        episode = jmeta.Episode(jmeta.Batch(jnp.asarray(x), column(y)), jmeta.Batch(jnp.asarray(xq), column(yq)))
        (value, _), grad = jax.jit(jax.value_and_grad(learner.loss, has_aux=True))(jnp.asarray(w), episode)
        adapted = learner.adapt(jnp.asarray(w), episode.support)
    np.testing.assert_allclose(adapted, unrolled(rule, w, gradient, k), rtol=1e-10)
    np.testing.assert_allclose(value, outer(w), rtol=1e-10)
    np.testing.assert_allclose(grad, expected, rtol=1e-6, atol=1e-9)
    assert grad.dtype == np.float64


def test_inner_adam_has_its_second_derivative_at_a_zero_gradient():
    """The step is rate * g / (|g| + eps), which falls by rate / eps there; with a root of eps_root, by far less."""
    at_optimum = pair(0.0, 1.0, 0.0, 2.0)
    with jax.numpy_dtype_promotion("standard"):
        for eps_root, slope in ((0.0, 1 - 0.1 / 1e-8), (1e-8, 1 - 0.1 / 1e-4)):
            rule = optax.adam(0.1, eps_root=eps_root)
            learner = jmeta.maml(CONSTANT, inner_optimizer=rule, inner_steps=1, loss_fn=half_square)
            grad = jax.grad(learner.loss, has_aux=True)(jnp.float32(1.0), at_optimum)[0]
            np.testing.assert_allclose(grad, -slope, rtol=1e-3)


def test_the_reported_loss_is_the_query_loss():
    learner = jmeta.maml(CONSTANT, inner_optimizer=optax.sgd(0.5), inner_steps=1, loss_fn=half_square)
    value, metrics = learner.loss(jnp.float32(0.0), pair(0.0, 2.0, 0.0, 4.0))
    assert_close((value, metrics), (jnp.float32(4.5), jmeta.Metrics(jnp.float32(4.5))))
