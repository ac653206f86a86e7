"""Estimates of the meta-gradient where the right answer is known: influence balancing, and one another."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jmeta.optimizers import exact, rules
from jmeta.optimizers.estimators import es, full_backprop, noise_reuse, pes, truncated_backprop
from jmeta.optimizers.problems.quadratics import quadratic
from jmeta.optimizers.unroll import constant_grad, last, unroll

HORIZON = 100
SYSTEM = exact.influence_balancing(horizon=HORIZON)
INFLUENCE = {1: 1.0, 5: 5.0, 10: 10.0, 20: 16.476, 30: 9.870, 40: 0.566, 50: -4.753, 80: -6.0}
THETA = jnp.array(0.5)


def influence(steps):
    """d s_0 / d theta of a window that starts from a constant."""

    def end(theta):
        state = SYSTEM.init(theta, jax.random.key(0))
        return jax.lax.fori_loop(0, steps, lambda _, s: SYSTEM.step(theta, s, jax.random.key(0))[0], state)[0]

    return jax.jacfwd(end)(THETA).item()


def test_the_influence_of_theta_is_that_of_the_reference():
    """Catches a shift to the other side, and a push of the wrong numbers."""
    for steps, expected in INFLUENCE.items():
        assert influence(steps) == pytest.approx(expected, abs=6e-4), steps
    assert influence(40) > 0 > influence(41)
    assert influence(300) == pytest.approx(-6, abs=1e-4)


def walked(estimator, steps, rate):
    """theta after steps of gradient descent by an estimate."""

    def body(carry, key):
        theta, state = carry
        grads, state, _ = estimator.estimate(state, theta, key)
        theta = theta - rate * grads
        return (theta, state), theta

    keys = jax.random.split(jax.random.key(1), steps)
    start = (THETA, estimator.init(THETA, jax.random.key(0)))
    return jax.lax.scan(body, start, keys)[1]


def test_backpropagation_finds_theta_and_truncation_goes_the_other_way_for_good():
    """Catches a window that knows of what was before it, or a full one that does not."""
    found = walked(full_backprop(SYSTEM), 200, 5e-3)
    assert found[-1].item() == pytest.approx(exact.BALANCE, abs=1e-4)
    for steps in (10, 20):
        away = walked(truncated_backprop(SYSTEM, steps=steps), 20 * HORIZON // steps, 1e-4)
        assert away[-1] > THETA and (jnp.diff(away) >= 0).all(), steps


def test_the_gradient_of_es_pes_and_noise_reuse_is_right_on_average():
    """J is quadratic in theta, so that the smoothed gradient is the gradient. Catches a missing half of xi, or a noise
    that is not that which the state has met."""
    expected = jax.grad(lambda theta: 0.5 * (influence(HORIZON) * theta - 1.0) ** 2)(THETA)
    for make in (es, pes, noise_reuse):
        steps = HORIZON if make is es else 25
        estimator = make(SYSTEM, sigma=0.1, steps=steps)

        def total(key, estimator=estimator, windows=HORIZON // steps):
            first, rest = jax.random.split(key)

            def body(state, key):
                grads, state, _ = estimator.estimate(state, THETA, key)
                return state, grads

            return jnp.sum(jax.lax.scan(body, estimator.init(THETA, first), jax.random.split(rest, windows))[1])

        found = np.asarray(jax.jit(jax.vmap(total))(jax.random.split(jax.random.key(2), 8000)))
        error = found.std() / np.sqrt(len(found))
        assert abs(found.mean() - expected) < 4 * error, make.__name__
        assert error < 0.15 * abs(expected), make.__name__


@pytest.mark.parametrize("make", [pes, noise_reuse])
def test_with_windows_of_the_horizon_both_are_es(make):
    """Catches bookkeeping of what is finished, by a window too early or too late."""
    whole, other = es(SYSTEM, sigma=0.1), make(SYSTEM, sigma=0.1, steps=HORIZON)
    one, two = (e.init(THETA, jax.random.key(0)) for e in (whole, other))
    one, two = (s._replace(taken=jnp.int32(HORIZON)) for s in (one, two))
    for n in range(3):
        key = jax.random.key(10 + n)
        mine, one, _ = whole.estimate(one, THETA, key)
        others, two, _ = other.estimate(two, THETA, key)
        assert mine.item() == pytest.approx(others.item(), rel=1e-6)


def test_after_a_reset_pes_knows_the_new_noise_alone():
    """Catches a xi that goes on after both systems have begun anew, and one that begins a window late."""
    estimator = pes(SYSTEM, sigma=0.1, steps=50)
    met, state = [], estimator.init(THETA, jax.random.key(0))
    fresh = estimator.init(THETA, jax.random.key(0))
    for n in range(4):
        key = jax.random.key(n)
        _, state, _ = estimator.estimate(state, THETA, key)
        met.append((state.met, estimator.estimate(fresh, THETA, key)[1].met))
    total, eps = zip(*met, strict=True)
    assert total[0] == pytest.approx(eps[0]) and total[1] == pytest.approx(eps[0] + eps[1])
    assert total[2] == pytest.approx(eps[2]) and total[3] == pytest.approx(eps[2] + eps[3])


@pytest.fixture(scope="module")
def steep():
    """Three rates on quadratics, in windows of one step."""
    return unroll(quadratic(dimension=3), rules.schedule([0.5, 1.0, 2.0]), horizon=3)


def test_full_backpropagation_is_the_gradient_of_what_is_computed(steep):
    """Against finite differences, with the same draws."""
    estimator, theta, key = full_backprop(steep), jnp.log(jnp.array([0.5, 1.0, 2.0])), jax.random.key(3)
    state = estimator.init(theta, key)
    grads, _, losses = estimator.estimate(state, theta, key)
    value = lambda theta: jnp.mean(estimator.estimate(state, theta, key)[2])
    assert losses.shape == (3,)
    for i in range(3):
        moved = 1e-2 * jnp.eye(3)[i]
        slope = (value(theta + moved) - value(theta - moved)) / 2e-2
        assert grads[i].item() == pytest.approx(slope.item(), rel=1e-2, abs=1e-5)


def test_a_constant_inner_gradient_leaves_second_derivatives_out(steep):
    """Of p_2 = p_0 - a_0 g_0 - a_1 g_1, with g_1 a constant. Catches a gradient that knows of the first step."""
    rule = rules.schedule([0.5, 1.0])
    made = unroll(quadratic(dimension=1), rule, horizon=2, grad=constant_grad, weight=last)
    theta, key = rule.init(key=jax.random.key(0), params=None), jax.random.key(5)
    estimator = full_backprop(made)
    grads, _, _ = estimator.estimate(estimator.init(theta, key), theta, key)
    keys = jax.random.split(key, 3)
    (p, task), rates = quadratic(dimension=1).init(keys[0]), jnp.exp(theta)
    g = [task.curvature * p, task.curvature * (p - rates[0] * task.curvature * p)]
    end = p - rates[0] * g[0] - rates[1] * g[1]
    expected = jnp.stack([-rates[i] * g[i][0] * task.curvature[0] * end[0] for i in range(2)])
    np.testing.assert_allclose(grads, expected, rtol=1e-5)


@pytest.mark.parametrize("steps", [0, 3, 200])
def test_windows_that_do_not_make_up_a_horizon_are_refused(steps):
    for make in (lambda s: truncated_backprop(SYSTEM, steps=s), lambda s: pes(SYSTEM, sigma=0.1, steps=s)):
        with pytest.raises(ValueError, match=r"steps must (be 1 or more|divide the horizon)|window's steps"):
            make(steps)
    with pytest.raises(ValueError, match="sigma must be a finite number above 0"):
        es(SYSTEM, sigma=0.0)


def test_windows_of_backpropagation_go_on_where_the_last_ended(steep):
    """The losses of windows in turn are those of one long window, of a system without draws."""
    whole, parts = full_backprop(SYSTEM), truncated_backprop(SYSTEM, steps=25)
    expected = whole.estimate(whole.init(THETA, jax.random.key(0)), THETA, jax.random.key(1))[2]
    state, losses = parts.init(THETA, jax.random.key(0)), []
    for n in range(5):
        _, state, found = parts.estimate(state, THETA, jax.random.key(n))
        losses.append(found)
    np.testing.assert_allclose(jnp.concatenate(losses[:4]), expected, rtol=1e-6)
    np.testing.assert_allclose(losses[4], expected[:25], rtol=1e-6)


@pytest.mark.standard_promotion
def test_adam_on_the_estimates_of_pes_finds_theta_too():
    """The walk of the figure: many pairs, windows of 20 steps."""
    estimator, adam = pes(SYSTEM, sigma=0.1, steps=20), optax.adam(0.03)

    def body(carry, key):
        theta, opt_state, states = carry
        grads, states, _ = jax.vmap(estimator.estimate, (0, None, 0))(states, theta, jax.random.split(key, 64))
        updates, opt_state = adam.update(jnp.mean(grads), opt_state, theta)
        return (optax.apply_updates(theta, updates), opt_state, states), theta

    states = jax.vmap(estimator.init, (None, 0))(THETA, jax.random.split(jax.random.key(0), 64))
    start = (THETA, adam.init(THETA), states)
    thetas = jax.jit(lambda keys: jax.lax.scan(body, start, keys)[1])(jax.random.split(jax.random.key(1), 600))
    assert jnp.mean(thetas[-200:]).item() == pytest.approx(exact.BALANCE, abs=0.05)
