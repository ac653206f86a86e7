"""RL^2: it learns, it is pure, and its update is the gradient of its formula."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small_rl import for_ever

from jmeta.rl.advantages import generalized_advantages
from jmeta.rl.agent import make_run
from jmeta.rl.envs import bernoulli_bandit, dependent_bandit, gaussian_bandit, tabular_mdp
from jmeta.rl.paid import Mean, Paid, centered_rewards, with_rewards
from jmeta.rl.policies import Decision, Policy, gru_policy
from jmeta.rl.rl2 import rl2
from jmeta.rl.rollout import Cut, Trajectory, inputs_size, see_all
from jmeta.rl.surrogates import actor_critic

pytestmark = pytest.mark.standard_promotion


def agent_for(env, *, units=16, optimizer=None, **options):
    policy = gru_policy(inputs_size(env, see_all), env.action, units=units)
    return rl2(env, policy, optimizer=optimizer or optax.adam(1e-2), **options)


def mean_total(agent, params, env, tasks=2000):
    def one(key):
        task_key, act_key = jax.random.split(key)
        return jnp.sum(agent.test(params, act_key, env.sample_task(task_key)))

    return float(jnp.mean(jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(7), tasks))))


@pytest.mark.parametrize(
    ("objective", "updates"),
    [pytest.param("ppo", 50, marks=pytest.mark.long), pytest.param("a2c", 120, marks=pytest.mark.long)],
)
def test_it_learns_which_arm_pays(objective, updates):
    """One arm pays nine times in ten, the other once: without memory 10 of 20 pulls pay, and the best is 17.375."""
    env = dependent_bandit(p=0.1, pulls=20)
    options = {"objective": actor_critic(), "epochs": 1, "minibatches": 1} if objective == "a2c" else {"minibatches": 2}
    agent = agent_for(env, trials=128, discount=0.5, gae_lambda=1.0, entropy_coef=0.1, **options)
    state = agent.init(jax.random.key(0))
    assert mean_total(agent, state.params, env) == pytest.approx(10, abs=0.5)
    state, metrics = make_run(agent)(state, updates)
    assert mean_total(agent, state.params, env) > 16.5
    assert metrics.returns[-10:].mean() > 15.5 > metrics.returns[0]
    assert metrics.entropy[-1] < metrics.entropy[0]


@pytest.mark.long
def test_a_cut_run_has_the_same_bits_and_seeds_are_a_vmap():
    env = bernoulli_bandit(arms=3, pulls=4)
    agent = agent_for(env, units=4, trials=8, minibatches=2, epochs=2)
    traces = []

    def counted(state):
        traces.append(1)
        return agent.update(state)

    run = make_run(agent._replace(update=counted))
    start = agent.init(jax.random.key(3))
    one, metrics = run(start, 4)
    first = len(traces)
    for pieces in ((1, 1, 1, 1), (3, 1), (1, 0, 3)):
        again, parts = start, []
        for n in pieces:
            again, part = run(again, n)
            parts.append(part)
        jax.tree.map(np.testing.assert_array_equal, one.params, again.params)
        jax.tree.map(lambda a, *b: np.testing.assert_array_equal(a, np.concatenate(b)), metrics, *parts)
    assert len(traces) == first  # one program for any number of updates
    states = jax.vmap(agent.init)(jnp.stack([jax.random.key(3), jax.random.key(4)]))
    both, metrics = jax.vmap(lambda state: run(state, 4))(states)
    assert metrics.returns.shape == (2, 4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[0], b, rtol=1e-4, atol=1e-5), both.params, one.params)


def test_a_step_is_the_gradient_of_its_formula():
    """A2C's step by finite differences of the formula, on the trials that the update draws."""
    env = bernoulli_bandit(arms=2, pulls=3)
    policy = gru_policy(inputs_size(env, see_all), env.action, units=3)
    agent = rl2(
        env, policy, optimizer=optax.sgd(1.0), trials=16, objective=actor_critic(), epochs=1, minibatches=1,
        discount=0.9, gae_lambda=0.7, entropy_coef=0.05, value_coef=0.25,
    )  # fmt: skip
    state = agent.init(jax.random.key(0))
    params = jax.tree.map(lambda p: p + 0.3 * jax.random.normal(jax.random.key(1), p.shape), state.params.policy)
    after, _ = jax.jit(agent.update)(state._replace(params=state.params._replace(policy=params)))

    from jmeta.rl.agent import update_keys
    from jmeta.rl.distributions import categorical
    from jmeta.rl.policies import unroll
    from jmeta.rl.rollout import rollout

    task_key, act_key, _ = update_keys(state, 3)
    tasks = jax.vmap(env.sample_task)(jax.random.split(task_key, 16))
    tell = lambda reward: reward - 0.5  # the middle of what an arm may pay, before any is seen
    act = jax.vmap(lambda key, task: rollout(env, policy, params, key, task, see=see_all, tell=tell))
    trial = jax.jit(act)(jax.random.split(act_key, 16), tasks)
    unit = 1 + 0.9 + 0.9**2
    reward = np.asarray(trial.reward, np.float64)
    reward, value = reward - reward.mean(), unit * np.asarray(trial.decision.value, np.float64)
    delta = reward + 0.9 * np.append(value[:, 1:], np.zeros((16, 1)), 1) - value
    advantage = delta.copy()
    for t in (1, 0):
        advantage[:, t] += 0.9 * 0.7 * advantage[:, t + 1]
    scaled = jnp.asarray((advantage - advantage.mean()) / advantage.std(), jnp.float32)
    target = jnp.asarray(advantage + value, jnp.float32)
    d = categorical(2)

    def formula(params):
        decision = jax.vmap(lambda x: unroll(policy, params, x))(trial.inputs)
        log_prob = jax.vmap(jax.vmap(d.log_prob))(decision.action, trial.action)
        entropy = jnp.mean(jax.vmap(jax.vmap(d.entropy))(decision.action))
        return -jnp.mean(log_prob * scaled) + 0.25 * jnp.mean((decision.value - target / unit) ** 2) - 0.05 * entropy

    grads = jax.jit(jax.grad(formula))(params)
    jax.tree.map(
        lambda new, old, g: np.testing.assert_allclose(new, old - g, rtol=1e-3, atol=1e-5),
        after.params.policy,
        params,
        grads,
    )


def tells(start=0.0):
    """A policy whose value is a parameter."""

    def step(params, memory, x):
        return memory, Decision(jnp.zeros((2,), jnp.float32), params)

    return Policy(lambda key: jnp.float32(start), (), step)


@pytest.mark.parametrize(
    ("gae_lambda", "episodes"),
    [(0.9, 3), *(pytest.param(*row, marks=pytest.mark.long) for row in ((1.0, 1), (1.0, 3), (0.9, 1)))],
)
def test_a_limit_of_time_is_no_end(episodes, gae_lambda):
    """Every state of a task that pays 5 for ever is worth 50 at a discount of 0.9, and that is what is learned."""
    options: Any = dict(optimizer=optax.sgd(0.5), trials=4, episodes=episodes, discount=0.9, gae_lambda=gae_lambda)
    for cuts, right in ((True, 50.0), (False, None)):
        agent = rl2(for_ever(cuts, pay=5.0), tells(1.0), entropy_coef=0.0, **options)
        state, metrics = make_run(agent)(agent.init(jax.random.key(0)), 100)
        state = jax.device_get(state)
        paid, steps = state.params.paid, sum(0.9**t for t in range(5 * episodes))
        worth = paid.mean.value * 10 + state.params.policy * paid.worth.value * steps
        np.testing.assert_allclose(metrics.returns, 25 * episodes, rtol=1e-5)  # what is paid is paid
        if right is None:
            assert worth < 5 * steps, "an end is one"
        else:
            np.testing.assert_allclose(worth, right, rtol=1e-3)


def paying(env, unit, offset):
    def step(key, state, action, task):
        state, after = env.step(key, state, action, task)
        return state, after._replace(reward=unit * after.reward + offset)

    return env._replace(step=step, reward_range=tuple(unit * bound + offset for bound in env.reward_range))


@pytest.mark.parametrize(
    ("kind", "unit", "offset"),
    [
        ("bernoulli", 1e-6, 0),
        ("gaussian", 8, 512),
        *(
            pytest.param(*row, marks=pytest.mark.long)
            for row in (("gaussian", 1e6, 0), ("bernoulli", 1, 1000), ("bernoulli", 1, -3))
        ),
    ],
)
def test_unit_and_offset_of_rewards_change_nothing(kind, unit, offset):
    """But rounding. Of a reward that is shown as 1000.5 / 1000, and an advantage of the steps that are left."""
    plain = (bernoulli_bandit if kind == "bernoulli" else gaussian_bandit)(arms=3, pulls=4)
    out = []
    for env in (plain, paying(plain, unit, offset)):
        agent = agent_for(env, units=4, trials=16, minibatches=2, epochs=2, optimizer=optax.sgd(0.1))
        out.append(make_run(agent)(agent.init(jax.random.key(0)), 2))
    (one, metrics), (other, paid) = out
    same = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    jax.tree.map(same, one.params.policy, other.params.policy)
    same(metrics.returns, (paid.returns - 4 * offset) / unit)
    same(one.params.paid.unit.value, other.params.paid.unit.value / unit)
    same(one.params.paid.mean.value, (other.params.paid.mean.value - offset) / unit)
    if kind == "bernoulli" and unit == 1:
        assert one.params.paid.unit.value == other.params.paid.unit.value == 1


def trial_of(reward, weight, cut=None):
    nothing: Any = jnp.zeros_like(weight)
    cut = None if cut is None else Cut(cut, nothing, nothing)
    return Trajectory(nothing, nothing, nothing, nothing, jnp.asarray(reward), nothing, weight, cut)


def test_what_is_known_of_rewards_is_means_over_those_that_are_there():
    """Catches padding that is counted, a declared range that is kept, and a batch of no difference that tells."""
    weight = jnp.array([[1.0, 1, 1], [1, 1, 0]])
    trial, guess = trial_of(jnp.array([[0.0, -2, 0], [4, -2, 100]]), weight), Mean(jnp.float32(1000), jnp.float32(0))
    paid = with_rewards(Paid(guess, guess, guess), trial)
    assert paid.mean == (0, 1) and paid.unit == (4, 1) and paid.worth == (4, 1)
    later = with_rewards(paid, trial_of(jnp.full((2, 3), 5.0), weight))
    assert later.mean == (2.5, 2)
    assert later.unit == paid.unit  # none differ
    assert later.worth == (4.5, 2)  # but the end
    old = Mean(jnp.float32(3), jnp.float32(500))
    np.testing.assert_allclose(with_rewards(Paid(old, old, old), trial).unit.value, 3.01)
    lone = with_rewards(Paid(guess, guess, guess), trial_of(jnp.array([[0.0, 0, 3]]), jnp.ones((1, 3))))
    assert lone.unit == (3, 1)


@pytest.mark.parametrize("gae_lambda", [1.0, 0.5])
@pytest.mark.parametrize("cut", [False, True])
def test_advantages_of_trials_that_end_early_are_those_of_their_rewards(cut, gae_lambda):
    """Of rewards less their mean, for which it would be best to end soon, or nothing to live on."""
    rng, discount, mean = np.random.default_rng(0), 0.9, 3.0
    reward, lengths = rng.normal(3, 1, (3, 5)).astype(np.float32), np.array([5, 2, 4])
    weight = jnp.asarray(np.arange(5) < lengths[:, None], jnp.float32)
    at = jnp.zeros((3, 5)).at[0, 4].set(1)  # the first is cut, where any is
    known = Mean(jnp.float32(mean), jnp.float32(1))
    trial = trial_of(reward, weight, at if cut else None)
    found, left_out = centered_rewards(Paid(known, known, Mean(jnp.float32(2), jnp.float32(1))), trial, discount)
    left = np.full(6, 10.0) if cut else (1 - discount ** np.arange(5, -1, -1)) / (1 - discount)
    assert left_out == pytest.approx(mean * left[0] / 2)
    value, after = rng.normal(3, 1, (3, 5)).astype(np.float32) * np.asarray(weight), 7.0
    plain = np.asarray(reward * weight) + discount * after * np.asarray(at) * cut
    less = (value - mean * left[:5]) / 2 * np.asarray(weight)
    found = found + discount * (after - mean * left[5]) / 2 * at * cut
    options: Any = dict(discount=discount, gae_lambda=gae_lambda)
    for i, n in enumerate(lengths):
        wanted = generalized_advantages(jnp.asarray(plain[i]), jnp.asarray(value[i]), **options)
        got = generalized_advantages(found[i], jnp.asarray(less[i], jnp.float32), **options)
        np.testing.assert_allclose(2 * got[:n], wanted[:n], rtol=1e-4, atol=1e-4)


def test_the_test_tells_the_reward_of_each_episode():
    env = tabular_mdp(states=3, actions=2, horizon=4)
    agent = agent_for(env, units=4, episodes=3, trials=4)
    params = agent.init(jax.random.key(0)).params
    rewards = jax.jit(agent.test)(params, jax.random.key(1), env.sample_task(jax.random.key(2)))
    assert rewards.shape == (3,)
    assert len(set(np.asarray(rewards).tolist())) == 3


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"episodes": 0}, "episodes must be 1 or more, got 0"),
        ({"trials": 0}, "trials must be 1 or more"),
        ({"trials": 10, "minibatches": 4}, "divide the 10 trials of an update, got 4"),
    ],
)
def test_bad_settings_are_refused(options, says):
    with pytest.raises(ValueError, match=says):
        agent_for(bernoulli_bandit(arms=2, pulls=3), **options)
