"""Baselines against the normal equations, solved by NumPy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jmeta.rl.baselines import linear_baseline, no_baseline, value_head, values_at_cuts
from jmeta.rl.policies.policy import Decision
from jmeta.rl.rollout import Cut, Trajectory

N, STEPS, SIZE = 6, 5, 2
RNG = np.random.default_rng(0)
INPUTS = RNG.normal(size=(N, STEPS, SIZE)).astype(np.float32)
VALUE = RNG.normal(size=(N, STEPS)).astype(np.float32)
RETURNS = RNG.normal(size=(N, STEPS)).astype(np.float32)
WEIGHT = (np.arange(STEPS)[None] < np.array([5, 5, 3, 4, 1, 5])[:, None]).astype(np.float32)


def trajectories(inputs=INPUTS, value=VALUE):
    nothing = jnp.zeros((N, STEPS), jnp.float32)
    decision = Decision(nothing, jnp.asarray(value))
    return Trajectory(jnp.asarray(inputs), nothing, decision, nothing, nothing, nothing, jnp.asarray(WEIGHT))


def features(inputs):
    """As the docstring has them, `[n, steps, F]`."""
    x = np.clip(np.asarray(inputs, np.float64), -10, 10)
    s = np.broadcast_to(np.arange(STEPS)[:, None] / STEPS, (N, STEPS, 1))
    return np.concatenate([x, x**2, s, s**2, s**3, np.ones_like(s)], axis=-1)


def fitted(features, ridge, returns=RETURNS):
    """Rows of weight 1 alone, as the least squares of a taller system."""
    rows, target = features[WEIGHT > 0], np.asarray(returns, np.float64)[WEIGHT > 0]
    n, mean = len(rows), target.mean()
    tall = np.concatenate([rows / np.sqrt(n), np.diag(np.sqrt(ridge * np.mean(rows**2, axis=0)))])
    right = np.concatenate([(target - mean) / np.sqrt(n), np.zeros(rows.shape[1])])
    return mean + features @ np.linalg.lstsq(tall, right, rcond=None)[0]


@pytest.mark.parametrize("ridge", [1e-2, 1.0])
def test_the_linear_baseline_solves_its_ridge_regression(ridge):
    got = jax.jit(linear_baseline(ridge))(trajectories(), jnp.asarray(RETURNS))
    np.testing.assert_allclose(got, fitted(features(INPUTS), ridge), rtol=1e-4, atol=1e-4)


def test_the_linear_baseline_finds_returns_that_are_linear_in_its_features():
    rng = np.random.default_rng(1)
    returns = (features(INPUTS) @ rng.normal(size=8)).astype(np.float32)
    got = np.asarray(linear_baseline()(trajectories(), jnp.asarray(returns)))
    np.testing.assert_allclose(got[WEIGHT > 0], returns[WEIGHT > 0], atol=0.02)


def test_one_hot_inputs_and_large_ones_do_no_harm():
    """A one-hot input is its own square, so that without the penalty the system would have many solutions."""
    one_hot = np.eye(2, dtype=np.float32)[RNG.integers(0, 2, (N, STEPS))]
    for inputs in (one_hot, 1e4 * INPUTS, np.zeros((N, STEPS, 0), np.float32)):
        got = np.asarray(linear_baseline()(trajectories(inputs), jnp.asarray(RETURNS)))
        np.testing.assert_allclose(got, fitted(features(inputs), 1e-5), atol=0.02)


def test_the_value_head_is_shifted_and_stretched():
    got = jax.jit(value_head(1e-2))(trajectories(), jnp.asarray(RETURNS))
    pair = np.stack([VALUE, np.ones_like(VALUE)], axis=-1).astype(np.float64)
    np.testing.assert_allclose(got, fitted(pair, 1e-2), rtol=1e-4, atol=1e-4)
    exact = value_head(1e-7)(trajectories(), jnp.asarray(3 * VALUE - 2))
    np.testing.assert_allclose(exact, 3 * VALUE - 2, atol=1e-4)


@pytest.mark.parametrize("baseline", [linear_baseline(), value_head()])
def test_padding_has_no_part(baseline):
    changed = np.where(WEIGHT > 0, RETURNS, np.float32(100))
    first, second = (np.asarray(baseline(trajectories(), jnp.asarray(r))) for r in (RETURNS, changed))
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - np.asarray(baseline(trajectories(), jnp.asarray(RETURNS + 1)))).min() > 0.5


@settings(max_examples=20, deadline=None)
@given(
    w=st.lists(st.floats(-2, 2, width=32), min_size=5, max_size=5),
    discount=st.sampled_from([0.5, 0.9, 0.99]),
    seed=st.integers(0, 99),
    unit=st.sampled_from([1e-6, 1.0, 1e6]),
)
def test_what_is_beyond_a_limit_is_found_from_the_rewards(w, discount, seed, unit):
    """V is a square of the place, and a reward what V falls by on the way: some ways are cut, some come to an end."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(-1, 1, (N, STEPS + 1, SIZE))
    worth = np.concatenate([places, places**2, np.ones((N, STEPS + 1, 1))], axis=-1) @ np.array(w) * unit
    lengths, cut = np.array([5, 5, 3, 4, 1, 5]), np.array([1, 0, 1, 1, 0, 1])
    last = np.arange(STEPS)[None] == lengths[:, None] - 1
    reward = (worth[:, :-1] - discount * worth[:, 1:] * np.where(last, cut[:, None], 1)) * WEIGHT
    float32 = lambda a: jnp.asarray(a, jnp.float32)
    ways = trajectories(places[:, :-1].astype(np.float32))
    at = Cut(float32(last * cut[:, None]), float32(places[np.arange(N), lengths] * cut[:, None]), jnp.zeros(N))
    got = at_cuts(ways, at, float32(reward), discount)
    bound = np.abs(reward).max() / (1 - discount)
    wanted = np.clip(worth[np.arange(N), lengths], -bound, bound)[cut > 0]
    np.testing.assert_allclose(got[cut > 0], wanted, atol=5e-3 * unit * max(1, np.abs(w).max()) / (1 - discount))


at_cuts = jax.jit(values_at_cuts)


def test_no_baseline_expects_nothing():
    assert not np.any(no_baseline()(trajectories(), jnp.asarray(RETURNS)))


def test_no_derivative_goes_through_the_policys_value():
    total = lambda value: jnp.sum(value_head()(trajectories(value=value), jnp.asarray(RETURNS)))
    assert not np.any(jax.grad(total)(jnp.asarray(VALUE)))


@pytest.mark.parametrize("make", [linear_baseline, value_head])
@pytest.mark.parametrize("ridge", [0.0, -1.0, float("nan")])
def test_a_penalty_must_be_above_0(make, ridge):
    with pytest.raises(ValueError, match="ridge must be a finite number above 0, got"):
        make(ridge)
