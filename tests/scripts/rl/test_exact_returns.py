"""Exact returns against the enumeration of all trajectories, finite differences and closed forms."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jmeta.rl.envs import bernoulli_bandit, point_navigation, tabular_mdp
from scripts.rl.exact_returns import adapted, bandit_return, maml_return, mdp_return, softmax_policy, visits

STATES, ACTIONS, HORIZON, DISCOUNT = 2, 3, 3, 0.9


def softmax(logits):
    z = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return z / z.sum(axis=-1, keepdims=True)


def problem(seed):
    rng = np.random.default_rng(seed)
    reward, logits = rng.normal(size=(2, STATES, ACTIONS))
    return logits, reward, rng.dirichlet(np.ones(STATES), (STATES, ACTIONS))


def enumerated(logits, reward, transition):
    """The mean of the return over all trajectories, and P(s_t = s)."""
    policy, total, share = softmax(logits), 0.0, np.zeros((HORIZON, STATES))
    for path in itertools.product(range(ACTIONS), range(STATES), repeat=HORIZON):
        actions, states = path[0::2], (0, *path[1::2])
        chance, earned = 1.0, 0.0
        for t in range(HORIZON):
            chance *= policy[states[t], actions[t]] * transition[states[t], actions[t], states[t + 1]]
            earned += DISCOUNT**t * reward[states[t], actions[t]]
        total += chance * earned
        share[np.arange(HORIZON), states[:HORIZON]] += chance
    return total, share


def maml_by_hand(logits, reward, transition, lr):
    """J(theta + lr dJ), with dJ by central differences of the enumeration."""
    value = lambda logits: enumerated(logits, reward, transition)[0]
    return value(logits + lr * differences(value, logits, 1e-4))


def differences(fun, at, h):
    grad = np.zeros_like(at)
    for place in np.ndindex(at.shape):
        step = np.zeros_like(at)
        step[place] = h
        grad[place] = (fun(at + step) - fun(at - step)) / (2 * h)
    return grad


@jax.jit
def everything(logits, reward, transition):
    value = mdp_return(reward, transition, HORIZON, DISCOUNT)
    met = visits(logits, reward, transition, HORIZON, DISCOUNT)
    lr = 0.5
    by_formula = jax.grad(value)(adapted(value, logits, lr))
    by_formula = by_formula + lr * jnp.tensordot(jax.hessian(value)(logits), by_formula, 2)
    return {
        "value": value(logits),
        "share": met.share,
        "gradient": jax.grad(value)(logits),
        "maml": maml_return(value, lr)(logits),
        "maml gradient": jax.grad(maml_return(value, lr))(logits),
        "by the formula": by_formula,
    }


@settings(max_examples=10)
@given(st.integers(0, 10_000))
def test_against_all_trajectories_and_finite_differences(seed):
    logits, reward, transition = problem(seed)
    with jax.enable_x64(True):
        got = jax.tree.map(np.asarray, everything(*map(jnp.asarray, (logits, reward, transition))))
    value, share = enumerated(logits, reward, transition)
    np.testing.assert_allclose(got["value"], value, rtol=1e-10)
    np.testing.assert_allclose(got["share"], share, rtol=1e-10, atol=1e-12)
    gradient = differences(lambda logits: enumerated(logits, reward, transition)[0], logits, 1e-5)
    np.testing.assert_allclose(got["gradient"], gradient, atol=1e-8)
    np.testing.assert_allclose(got["maml"], maml_by_hand(logits, reward, transition, 0.5), atol=1e-7)
    np.testing.assert_allclose(got["maml gradient"], got["by the formula"], atol=1e-10)


def test_the_maml_gradient_is_that_of_finite_differences():
    logits, reward, transition = problem(3)
    with jax.enable_x64(True):
        got = np.asarray(everything(*map(jnp.asarray, (logits, reward, transition)))["maml gradient"])
    by_hand = differences(lambda logits: maml_by_hand(logits, reward, transition, 0.5), logits, 1e-3)
    np.testing.assert_allclose(got, by_hand, atol=1e-5)


def test_a_bandit_is_an_mdp_of_one_state():
    means, logits = jnp.asarray([0.1, 0.7, 0.4], jnp.float32), jnp.asarray([[0.5, -1.0, 0.3]], jnp.float32)
    bandit, mdp = bandit_return(means, 4), mdp_return(means[None], jnp.ones((1, 3, 1), jnp.float32), 4)
    np.testing.assert_allclose(bandit(logits), 4 * softmax(np.asarray(logits))[0] @ np.asarray(means), rtol=1e-6)
    np.testing.assert_allclose(bandit(logits), mdp(logits), rtol=1e-6)
    np.testing.assert_allclose(maml_return(bandit, 0.3, 2)(logits), maml_return(mdp, 0.3, 2)(logits), rtol=1e-5)
    np.testing.assert_allclose(maml_return(bandit, 0.3, 0)(logits), bandit(logits), rtol=1e-6)


def test_the_softmax_policy():
    """The row of the state that is seen, or the only one."""
    table = jnp.arange(12, dtype=jnp.float32).reshape(3, 4)
    policy = softmax_policy(tabular_mdp(states=3, actions=4, horizon=2))
    assert policy.step(table, (), jnp.asarray([0.0, 1.0, 0.0]))[1].action.tolist() == [4, 5, 6, 7]
    assert policy.init(jax.random.key(0)).shape == (3, 4)
    policy = softmax_policy(bernoulli_bandit(arms=4, pulls=2))
    assert policy.step(table[:1], (), jnp.zeros((0,)))[1].action.tolist() == [0, 1, 2, 3]
    assert policy.init(jax.random.key(0)).shape == (1, 4)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="takes an environment with Discrete actions, got Box"):
        softmax_policy(point_navigation())
    with pytest.raises(ValueError, match=r"of logits \[2, 3\], reward must be \[2, 3\] .* got \[2, 2\]"):
        visits(jnp.zeros((2, 3)), jnp.zeros((2, 2)), jnp.zeros((2, 3, 2)), 3)
    with pytest.raises(ValueError, match="horizon must be 1 or more, got 0"):
        visits(jnp.zeros((2, 3)), jnp.zeros((2, 3)), jnp.zeros((2, 3, 2)), 0)
    with pytest.raises(ValueError, match="pulls must be 1 or more, got 0"):
        bandit_return(jnp.zeros(2), 0)
    with pytest.raises(ValueError, match="inner_steps must be 0 or more, got -1"):
        maml_return(lambda x: x, 0.1, -1)
