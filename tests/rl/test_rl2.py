"""RL^2: it learns, it is pure, and its update is the gradient of its formula."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small_rl import for_ever

from jmeta.rl.agent import make_run
from jmeta.rl.envs import bernoulli_bandit, dependent_bandit, gaussian_bandit, tabular_mdp
from jmeta.rl.policies import Decision, Policy, gru_policy
from jmeta.rl.rl2 import Paid, _paid, rl2
from jmeta.rl.rollout import Trajectory, inputs_size, see_all
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
    act = jax.vmap(lambda key, task: rollout(env, policy, params, key, task, see=see_all))
    trial = jax.jit(act)(jax.random.split(act_key, 16), tasks)
    unit = 1 + 0.9 + 0.9**2
    reward, value = np.asarray(trial.reward, np.float64), unit * np.asarray(trial.decision.value, np.float64)
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


@pytest.mark.parametrize("episodes", [1, 3])
@pytest.mark.parametrize("gae_lambda", [1.0, 0.9])
def test_a_limit_of_time_is_no_end(episodes, gae_lambda):
    """Every state of a task that pays 5 for ever is worth 50 at a discount of 0.9, and that is what is learned."""
    options = dict(optimizer=optax.sgd(0.5), trials=4, episodes=episodes, discount=0.9, gae_lambda=gae_lambda)
    for cuts, right in ((True, 50.0), (False, None)):
        agent = rl2(for_ever(cuts, pay=5.0), tells(), entropy_coef=0.0, **options)
        state, metrics = make_run(agent)(agent.init(jax.random.key(0)), 100)
        state = jax.device_get(state)
        worth = state.params.policy * state.params.paid.unit * sum(0.9**t for t in range(5 * episodes))
        np.testing.assert_allclose(metrics.returns, 25 * episodes, rtol=1e-5)  # what is paid is paid
        if right is None:
            assert worth < 5 * sum(0.9**t for t in range(5 * episodes)), "an end is one"
        else:
            np.testing.assert_allclose(worth, right, rtol=1e-3)


@pytest.mark.parametrize(("kind", "unit"), [("bernoulli", 1e-6), ("gaussian", 1e6)])
def test_the_unit_of_rewards_changes_nothing(kind, unit):
    """But rounding. A bandit of pay 0 and 1 has the unit 1: it is told as it is."""
    make = bernoulli_bandit if kind == "bernoulli" else gaussian_bandit
    plain = make(arms=3, pulls=4)

    def step(key, state, action, task):
        state, after = plain.step(key, state, action, task)
        return state, after._replace(reward=unit * after.reward)

    paid = plain._replace(step=step, reward_range=tuple(unit * bound for bound in plain.reward_range))
    out = []
    for env in (plain, paid):
        agent = agent_for(env, units=4, trials=16, minibatches=2, epochs=2)
        out.append(make_run(agent)(agent.init(jax.random.key(0)), 2))
    (one, metrics), (other, in_units) = out
    same = lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    jax.tree.map(same, one.params.policy, other.params.policy)
    same(metrics.returns, in_units.returns / unit)
    same(one.params.paid.unit, other.params.paid.unit / unit)
    assert one.params.paid.batches == 2
    if kind == "bernoulli":
        assert one.params.paid.unit == 1


def test_the_unit_is_the_mean_size_of_what_is_paid():
    """Catches padding and zeros that are counted, a declared range that is kept, and a batch of nothing that tells."""
    nothing = jnp.zeros((2, 3), jnp.float32)
    weight = jnp.array([[1.0, 1, 1], [1, 1, 0]])
    trial = Trajectory(nothing, nothing, nothing, nothing, jnp.array([[0.0, -2, 0], [4, 0, 100]]), nothing, weight)
    paid = _paid(Paid(jnp.float32(1000), jnp.float32(0)), trial)
    assert (paid.unit, paid.batches) == (3, 1)
    assert _paid(paid, trial._replace(reward=nothing)) == paid
    later = _paid(paid, trial._replace(reward=nothing + 5))
    assert (later.unit, later.batches) == (4, 2)
    np.testing.assert_allclose(
        _paid(Paid(jnp.float32(3), jnp.float32(500)), trial._replace(reward=nothing + 5)).unit, 3.02
    )


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
