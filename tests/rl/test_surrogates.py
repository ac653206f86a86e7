"""Derivatives of surrogates on all trajectories of a small MDP, weighted by their probabilities: no noise at all."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jmeta.rl.surrogates import dice, lvc, reinforce
from scripts.rl.exact_returns import lvc_limit, mdp_return, reinforce_limit, visits

STATES, ACTIONS, HORIZON = 2, 2, 3
# All (a_0, s_1, a_1, s_2, a_2).
ALL = np.array(list(itertools.product(range(ACTIONS), range(STATES), range(ACTIONS), range(STATES), range(ACTIONS))))
DONE = ALL[:, 0::2]
SEEN = np.stack([np.zeros(len(ALL), int), ALL[:, 1], ALL[:, 3]], axis=1)
RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(STATES, ACTIONS)).astype(np.float32)
REWARD = RNG.normal(1, 1, (STATES, ACTIONS)).astype(np.float32)
TRANSITION = RNG.dirichlet(np.ones(STATES), (STATES, ACTIONS)).astype(np.float32)
BANDIT = np.full_like(TRANSITION, 0.5)  # where an action leads is the same for all
SURROGATES = {
    "reinforce": reinforce(),
    "lvc": lvc(),
    "dice": dice(),
    "dice without memory": dice(decay=0.0),
    "discounted dice": dice(discount=0.8),
}


def log_probs(logits):
    return jax.nn.log_softmax(logits, axis=-1)[SEEN, DONE]


def expected(name, transition, baseline, discount):
    """`logits -> []`, the mean of a surrogate over trajectories that the policy of LOGITS makes."""
    log_path = np.log(transition[SEEN[:, :-1], DONE[:, :-1], SEEN[:, 1:]]).sum(axis=1)
    weight = jnp.exp(jnp.sum(log_probs(LOGITS), axis=1) + log_path.astype(np.float32))[:, None]
    reward, togo = REWARD[SEEN, DONE], np.zeros((len(ALL), HORIZON + 1), np.float32)
    for t in reversed(range(HORIZON)):
        togo[:, t] = reward[:, t] + discount * togo[:, t + 1]
    advantage = jnp.asarray(togo[:, :-1])
    if baseline:
        value = visits(jnp.asarray(LOGITS), REWARD, transition, HORIZON, discount).value
        advantage = advantage - value[np.arange(HORIZON)[None], SEEN]
    return lambda logits: SURROGATES[name](log_probs(logits), advantage, jnp.broadcast_to(weight, advantage.shape))


@functools.cache
def derivatives(order):
    """Derivatives of all that is compared, as one program."""
    fun = jax.grad if order == 1 else jax.hessian
    every = {(n, b): fun(expected(n, TRANSITION, b, 1.0)) for n in list(SURROGATES)[:4] for b in (False, True)}
    every["bandit"] = fun(expected("lvc", BANDIT, True, 1.0))
    every["bandit exact"] = fun(mdp_return(REWARD, BANDIT, HORIZON))
    every["discounted"] = fun(expected("discounted dice", TRANSITION, True, 0.8))
    every["discounted exact"] = fun(mdp_return(REWARD, TRANSITION, HORIZON, 0.8))
    every["exact"] = fun(mdp_return(REWARD, TRANSITION, HORIZON))
    for baseline in (False, True):
        every["lvc limit", baseline] = fun(lvc_limit(REWARD, TRANSITION, HORIZON, baseline=baseline))
        every["reinforce limit", baseline] = fun(reinforce_limit(REWARD, TRANSITION, HORIZON, baseline=baseline))
    got = jax.jit(lambda logits: [f(logits) for f in every.values()])(LOGITS)
    return dict(zip(every, got, strict=True))


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def far(a, b):
    assert np.abs(np.asarray(a) - b).max() > 0.01


def test_all_trajectories_are_there():
    weight = expected("lvc", TRANSITION, False, 1.0)
    mean = weight(jnp.asarray(LOGITS))
    togo = visits(jnp.asarray(LOGITS), REWARD, TRANSITION, HORIZON)
    close(mean, jnp.sum(togo.share * togo.value))  # of value 1 at each step, so that the mean of returns to go is left


@pytest.mark.parametrize("baseline", [False, True])
@pytest.mark.parametrize("name", list(SURROGATES)[:4])
def test_the_first_derivative_is_the_policy_gradient(name, baseline):
    close(derivatives(1)[name, baseline], derivatives(1)["exact"])


@pytest.mark.parametrize("baseline", [False, True])
def test_the_second_derivative(baseline):
    """All of it for DiCE, all but the change of what comes later for LVC, and none of the first kind for REINFORCE."""
    got = derivatives(2)
    close(got["dice", baseline], got["exact"])
    close(got["lvc", baseline], got["lvc limit", baseline])
    close(got["dice without memory", baseline], got["lvc", baseline])
    close(got["reinforce", baseline], got["reinforce limit", baseline])
    far(got["lvc", baseline], got["exact"])
    far(got["reinforce", baseline], got["exact"])
    far(got["reinforce", baseline], got["lvc", baseline])


def test_a_baseline_changes_the_second_derivative_of_reinforce_alone():
    got = derivatives(2)
    close(got["lvc", True], got["lvc", False])
    far(got["reinforce", True], got["reinforce", False])


def test_lvc_is_exact_where_an_action_does_not_change_what_comes_later():
    for order in (1, 2):
        close(derivatives(order)["bandit"], derivatives(order)["bandit exact"])


def test_dice_with_a_discount_has_the_derivatives_of_the_discounted_return():
    for order in (1, 2):
        close(derivatives(order)["discounted"], derivatives(order)["discounted exact"])


@pytest.mark.parametrize("name", ["lvc", "dice", "dice without memory"])
def test_the_value_is_the_mean_of_the_advantages(name):
    rng = np.random.default_rng(1)
    log_prob, advantage, weight = (jnp.asarray(rng.normal(size=(4, 3)), jnp.float32) for _ in range(3))
    close(SURROGATES[name](log_prob, advantage, weight), jnp.sum(advantage * weight))


def test_padding_has_no_part():
    """Whatever the log-probability of a step of weight 0 is, at the end."""
    log_prob, advantage = jnp.float32(-0.5) * jnp.ones((2, 4)), jnp.arange(8, dtype=jnp.float32).reshape(2, 4)
    weight = jnp.asarray([[1.0, 1.0, 0.0, 0.0], [1.0, 1.0, 1.0, 0.0]], jnp.float32)
    scale = jnp.where(weight > 0, jnp.float32(1), jnp.float32(7))

    def second(surrogate, scale):
        moved = lambda x: surrogate(log_prob * (1 + x * scale), advantage, weight)
        return jax.grad(jax.grad(moved))(jnp.float32(0))

    for surrogate in (dice(), dice(decay=0.5)):
        close(second(surrogate, scale), second(surrogate, jnp.ones_like(scale)))


@pytest.mark.parametrize("options", [{"discount": 1.1}, {"discount": -0.1}, {"decay": float("nan")}, {"decay": 2.0}])
def test_dice_refuses_what_is_not_from_0_to_1(options):
    with pytest.raises(ValueError, match=rf"{next(iter(options))} must be from 0 to 1, got"):
        dice(**options)
