"""iMAML: the exact implicit gradient of a ridge problem, and what unrolled steps tend to."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from algorithms_table import assert_close, difference, largest, mlp_net, random_episode

import jmeta
from jmeta import losses
from jmeta.nets import PureModel

LAMBDA = 0.7
EXACT = jmeta.solvers.conjugate_gradient(30)
RIDGE = PureModel(lambda key, x: jnp.zeros((4, 2)), lambda w, x: x @ w)


def ridge_problem():
    """Support and query sets of a linear model with two targets; the inner problem's minimum and implicit gradient.

    L(w) = mean over n examples and 2 targets of (x w - y)^2, whose Hessian in each column of w is X'X / n.
    """
    rng = np.random.default_rng(0)
    x, xq = rng.normal(size=(7, 4)), rng.normal(size=(5, 4))
    y, yq, theta = rng.normal(size=(7, 2)), rng.normal(size=(5, 2)), rng.normal(size=(4, 2))
    hessian = x.T @ x / 7
    phi = np.linalg.solve(hessian + LAMBDA * np.eye(4), x.T @ y / 7 + LAMBDA * theta)
    outer = xq.T @ (xq @ phi - yq) / 5
    grad = np.linalg.inv(np.eye(4) + hessian / LAMBDA) @ outer
    episode = jmeta.Episode(jmeta.Batch(x, y), jmeta.Batch(xq, yq))
    return theta, episode, hessian, phi, outer, grad


def ridge_learner(solver, steps=300, optimizer=None, regularization=LAMBDA):
    rule = optax.sgd(0.3) if optimizer is None else optimizer
    return jmeta.imaml(
        RIDGE,
        inner_optimizer=rule,
        inner_steps=steps,
        regularization=regularization,
        solver=solver,
        loss_fn=losses.squared_error,
    )


def value_and_grad(learner, params, episode):
    (value, _), grad = jax.jit(jax.value_and_grad(learner.loss, has_aux=True))(params, episode)
    return value, grad


@pytest.mark.parametrize(
    ("solver", "optimizer"),
    [
        (EXACT, optax.sgd(0.3)),
        (EXACT, optax.sgd(0.1, momentum=0.8)),
        (jmeta.solvers.neumann(400, rate=0.2), optax.sgd(0.3)),
        (lambda matvec, b: jax.scipy.sparse.linalg.cg(matvec, b, tol=1e-12)[0], optax.sgd(0.3)),
    ],
)
def test_the_exact_implicit_gradient_of_a_ridge_problem(solver, optimizer):
    with jax.enable_x64(True):
        theta, episode, _, phi, outer, expected = ridge_problem()
        learner = ridge_learner(solver, optimizer=optimizer)
        value, grad = value_and_grad(learner, jnp.asarray(theta), episode)
        adapted = learner.adapt(jnp.asarray(theta), episode.support)
        assert grad.dtype == np.float64
    np.testing.assert_allclose(adapted, phi, rtol=1e-9)
    np.testing.assert_allclose(value, np.mean((episode.query.x @ phi - episode.query.y) ** 2), rtol=1e-9)
    np.testing.assert_allclose(grad, expected, rtol=1e-8, atol=1e-10)
    assert np.abs(expected - outer).max() > 0.1  # the query gradient alone, as first-order MAML takes it, is far off


def test_the_exact_implicit_gradient_in_float32():
    theta, episode, *_, expected = ridge_problem()
    to32 = lambda tree: jax.tree.map(lambda a: np.asarray(a, np.float32), tree)
    grad = value_and_grad(ridge_learner(EXACT), to32(theta), to32(episode))[1]
    assert grad.dtype == np.float32
    np.testing.assert_allclose(grad, expected, rtol=1e-5, atol=1e-5)


def test_it_is_the_derivative_of_the_minimum_that_the_inner_problem_has():
    """Central differences of the closed form, which no line of the algorithm has part in."""
    with jax.enable_x64(True):
        theta, episode, hessian, *_ = ridge_problem()
        grad = np.asarray(value_and_grad(ridge_learner(EXACT), jnp.asarray(theta), episode)[1])
    (x, y, *_), (xq, yq, *_) = episode

    def outer(theta):
        phi = np.linalg.solve(hessian + LAMBDA * np.eye(4), x.T @ y / 7 + LAMBDA * theta)
        return np.mean((xq @ phi - yq) ** 2)

    directions = np.eye(8).reshape(8, 4, 2)
    numeric = [(outer(theta + 1e-5 * e) - outer(theta - 1e-5 * e)) / 2e-5 for e in directions]
    np.testing.assert_allclose(grad.reshape(-1), numeric, rtol=1e-7, atol=1e-9)


def test_an_inner_problem_that_is_not_solved_leaves_an_error_that_shrinks_with_the_steps():
    with jax.enable_x64(True):
        theta, episode, *_, expected = ridge_problem()
        grads = [value_and_grad(ridge_learner(EXACT, k), jnp.asarray(theta), episode)[1] for k in (0, 5, 20)]
    errors = [np.abs(np.asarray(grad) - expected).max() for grad in grads]
    assert errors[0] > 5 * errors[1] > 25 * errors[2] > 0


TANH = PureModel(
    lambda key, x: {"in": 0.7 * jax.random.normal(key, (3, 5)), "out": jnp.ones((5, 1))},
    lambda p, x: jnp.tanh(x @ p["in"]) @ p["out"],
)


def unrolled(params, episode, steps, regularization, lr):
    """The query loss after steps on the regularized problem, differentiable through each of them and in both of the
    places where the start occurs."""

    def inner_loss(phi):
        apart = jax.tree.map(lambda p, start: jnp.sum((p - start) ** 2), phi, params)
        fit = jnp.mean((TANH.apply(phi, episode.support.x) - episode.support.y) ** 2)
        return fit + regularization / 2 * sum(jax.tree.leaves(apart))

    phi = jmeta.descend(jax.grad(inner_loss), params, optax.sgd(lr), steps)
    return jnp.mean((TANH.apply(phi, episode.query.x) - episode.query.y) ** 2)


def test_unrolled_maml_tends_to_it():
    """On a network that is not linear; the gap closes with the steps as the inner problem gets solved."""
    rng = np.random.default_rng(1)
    with jax.enable_x64(True):
        batch = lambda n: jmeta.Batch(jnp.asarray(rng.normal(size=(n, 3))), jnp.asarray(rng.normal(size=(n, 1))))
        episode = jmeta.Episode(batch(6), batch(6))
        params = TANH.init(jax.random.key(0), episode.support.x)
        gaps = []
        for steps in (3, 30, 300):
            learner = jmeta.imaml(
                TANH,
                inner_optimizer=optax.sgd(0.1),
                inner_steps=steps,
                regularization=1.0,
                solver=EXACT,
                loss_fn=losses.squared_error,
            )
            value, grad = value_and_grad(learner, params, episode)
            expected, through = jax.jit(jax.value_and_grad(lambda p, k=steps: unrolled(p, episode, k, 1.0, 0.1)))(
                params
            )
            np.testing.assert_allclose(value, expected, rtol=1e-10)
            gaps.append(difference(grad, through) / largest(through))
    assert gaps[0] > 1e-2 > gaps[1] > gaps[2]
    assert gaps[2] < 1e-8


NET = mlp_net(3, (8,))


def imaml(**options):
    options = dict(inner_optimizer=optax.sgd(0.1), inner_steps=5, regularization=1.0) | options
    return jmeta.imaml(NET.model, **options)


def test_with_no_steps_and_a_strong_pull_it_is_the_query_gradient():
    episode = random_episode(0)
    params = NET.model.init(jax.random.key(0), episode.support.x)
    grad = value_and_grad(imaml(inner_steps=0, regularization=1e6), params, episode)[1]
    query = lambda p: losses.mean_loss(NET.model.apply(p, episode.query.x), episode.query, losses.cross_entropy)
    assert_close(grad, jax.grad(query)(params), rtol=1e-4, atol=1e-6)


def test_it_takes_five_steps_of_conjugate_gradients_unless_told_otherwise():
    episode = random_episode(0)
    params = NET.model.init(jax.random.key(0), episode.support.x)
    five, seven = (value_and_grad(imaml(solver=jmeta.solvers.conjugate_gradient(k)), params, episode) for k in (5, 7))
    assert_close(value_and_grad(imaml(), params, episode), five, rtol=0, atol=0)
    assert difference(five[1], seven[1]) > 1e-6


def test_memory_does_not_grow_with_the_steps():
    episode = random_episode(0)
    params = NET.model.init(jax.random.key(0), episode.support.x)

    def bytes_of(learner):
        lowered = jax.jit(jax.grad(learner.loss, has_aux=True)).lower(params, episode)
        return lowered.compile().memory_analysis().temp_size_in_bytes

    unrolled = lambda k: jmeta.maml(NET.model, inner_optimizer=optax.sgd(0.1), inner_steps=k)
    assert bytes_of(imaml(inner_steps=200)) < 1.2 * bytes_of(imaml(inner_steps=2))
    assert bytes_of(unrolled(100)) > 5 * bytes_of(unrolled(2))  # more steps would be taken in segments
