"""The multi-task step: closed forms, reductions, and one program for many steps and seeds."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.tree_util import Partial

from jmeta.mtl import training, weightings

CENTRES = jnp.array([[1.0, 0.0], [3.0, 2.0]])


def losses(params, batch):
    """Two quadratics; `own` belongs to the tasks."""
    shared, own = params
    return jnp.sum(jnp.square(shared[None] - CENTRES - batch), axis=1) / 2 + jnp.square(own - 1) / 2


def start():
    return jnp.array([0.5, 0.5]), jnp.zeros(2)


def state_of(weighting=None, seed=0, optimizer=None):
    return training.init_state(start(), optimizer or optax.sgd(0.1), jax.random.key(seed), tasks=2, weighting=weighting)


def test_a_step_is_the_gradient_of_the_weighted_sum():
    weights = np.array([0.3, 2.0])
    weighting = weightings.fixed(weights)
    step = jax.jit(training.make_step(losses, optax.sgd(0.1), weighting=weighting))
    state, metrics = step(state_of(weighting), jnp.zeros((1, 2)))
    shared, own = (np.asarray(p) for p in start())
    grad = (weights[:, None] * (shared - np.asarray(CENTRES))).sum(0)
    np.testing.assert_allclose(state.params[0], shared - 0.1 * grad, rtol=1e-6)
    np.testing.assert_allclose(state.params[1], own - 0.1 * weights * (own - 1), rtol=1e-6)
    np.testing.assert_allclose(metrics.losses, losses(start(), jnp.zeros((1, 2))))
    np.testing.assert_allclose(metrics.weights, weights, rtol=1e-6)
    assert state.step == 1


def test_adding_gradients_is_no_aggregator():
    def add(jacobian, key=None):
        return jax.tree.map(lambda g: jnp.sum(g, axis=0), jacobian)

    plain, added = (
        jax.jit(training.make_step(losses, optax.sgd(0.1), aggregate=rule))(state_of(), jnp.zeros((1, 2)))[0]
        for rule in (None, add)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), plain.params, added.params)


def test_an_aggregator_sees_what_is_shared_alone():
    seen = []

    def first(jacobian, key=None):
        seen.append(jax.tree.structure(jacobian))
        return jax.tree.map(lambda g: g[0], jacobian)

    step = training.make_step(losses, optax.sgd(0.1), aggregate=first, shared=lambda params: params[0])
    state, _ = jax.jit(step)(state_of(), jnp.zeros((1, 2)))
    shared, own = (np.asarray(p) for p in start())
    np.testing.assert_allclose(state.params[0], shared - 0.1 * 0.5 * (shared - np.asarray(CENTRES[0])), rtol=1e-6)
    np.testing.assert_allclose(state.params[1], own - 0.1 * 0.5 * (own - 1), rtol=1e-6)
    assert seen == [jax.tree.structure(jnp.zeros(1))]


def test_many_steps_are_single_steps_and_seeds_are_a_vmap():
    weighting = weightings.random_weights()
    step = training.make_step(losses, optax.sgd(0.1), weighting=weighting)
    run = training.make_run(step, lambda key: 0.1 * jax.random.normal(key, (1, 2)))
    states = jax.vmap(lambda key: training.init_state(start(), optax.sgd(0.1), key, tasks=2, weighting=weighting))(
        jax.random.split(jax.random.key(0), 2)
    )
    after, metrics = jax.vmap(lambda state: run(state, 4))(states)
    assert metrics.losses.shape == (2, 4, 2)
    for seed in range(2):
        one = jax.tree.map(lambda a, i=seed: a[i], states)
        for _ in range(2):  # in two pieces
            one, _ = run(one, 2)
        jax.tree.map(
            lambda a, b, i=seed: np.testing.assert_allclose(a[i], b, rtol=1e-5, atol=1e-6), after.params, one.params
        )
    assert np.abs(after.params[0][0] - after.params[0][1]).max() > 1e-4


@pytest.mark.parametrize("pieces", [(1, 6), (3, 0, 4)])
def test_a_run_cut_anywhere_has_the_same_bits_and_one_program(pieces):
    traces, weighting = [], weightings.random_weights()
    step = training.make_step(losses, optax.sgd(0.1), weighting=weighting)

    def sample(scale, key):
        traces.append(1)
        return scale * jax.random.normal(key, (1, 2))

    run = training.make_run(step, Partial(sample, jnp.float32(0.1)))
    whole, metrics = run(state_of(weighting), 7)
    first, state, parts = len(traces), state_of(weighting), []
    for n in pieces:
        state, part = run(state, n)
        parts.append(part)
    assert len(traces) == first and state.step == 7
    for ours, theirs in zip((*state.params, state.weighting), (*whole.params, whole.weighting), strict=True):
        jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    jax.tree.map(lambda a, *b: np.testing.assert_array_equal(a, np.concatenate(b)), metrics, *parts)
    with pytest.raises(ValueError, match="steps must be 0 or more, got -1: "):
        run(state, -1)


def test_gradnorm_and_look_ahead_in_a_step():
    """Those that ask for gradients of each task, or for other examples, get them."""
    weighting = weightings.gradnorm(optimizer=optax.sgd(0.01))
    step = jax.jit(training.make_step(losses, optax.sgd(0.1), weighting=weighting, shared=lambda params: params[0]))
    state, _ = step(state_of(weighting), jnp.zeros((1, 2)))
    norms = np.linalg.norm(np.asarray(start()[0]) - np.asarray(CENTRES), axis=1)
    assert np.sign(np.diff(state.weighting.weights)) == -np.sign(np.diff(norms))

    weighting = weightings.lookahead(inner_lr=0.1, optimizer=optax.sgd(1.0))
    step = training.make_step(losses, optax.sgd(0.1), weighting=weighting)
    run = training.make_run(step, lambda key: (jnp.zeros((1, 2)), jnp.array([[2.0, 2.0]])), validation=True)
    state, metrics = run(state_of(weighting), 20)
    assert metrics.weights[-1, 1] > metrics.weights[0, 1] + 0.01  # the second lies the validation's way
    with pytest.raises(ValueError, match="other examples"):
        step(state_of(weighting), jnp.zeros((1, 2)))
