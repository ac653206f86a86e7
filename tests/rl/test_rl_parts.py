"""Distributions, policies, rollout, advantages and objectives, against NumPy and against each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jmeta.rl import advantages, distributions, policies, surrogates
from jmeta.rl.rollout import inputs_size, rollout, see_all, see_observation, total_reward
from jmeta.rl.types import Box, Discrete, Env, Step


def countdown(length=3, horizon=5):
    """Over after `length` steps; the reward is the action, and the observation the steps so far and the task."""

    def observe(count, task):
        return jnp.stack([count.astype(jnp.float32), task])

    def reset(key, task):
        return jnp.int32(0), observe(jnp.int32(0), task)

    def step(key, state, action, task):
        state = state + 1
        return state, Step(observe(state, task), action.astype(jnp.float32), state >= length)

    return Env(lambda key: jax.random.uniform(key), reset, step, Discrete(4), 2, horizon, (0.0, 3.0))


def test_categorical_is_its_formulas():
    p, q = np.array([0.5, -1.0, 2.0], np.float32), np.array([0.0, 0.3, -0.2], np.float32)
    d = distributions.categorical(3)
    probs, other = (np.exp(a) / np.exp(a).sum() for a in (p, q))
    assert d.log_prob(p, jnp.int32(2)) == pytest.approx(np.log(probs[2]), rel=1e-5)
    assert d.entropy(p) == pytest.approx(-(probs * np.log(probs)).sum(), rel=1e-5)
    assert d.kl(p, q) == pytest.approx((probs * np.log(probs / other)).sum(), rel=1e-5)
    drawn = jax.vmap(lambda key: d.sample(key, p))(jax.random.split(jax.random.key(0), 4000))
    np.testing.assert_allclose(np.bincount(drawn, minlength=3) / 4000, probs, atol=0.03)
    np.testing.assert_array_equal(d.encode(jnp.int32(1)), [0, 1, 0])


def test_gaussian_is_its_formulas():
    p = distributions.Gaussian(jnp.array([0.5, -1.0]), jnp.array([0.2, -0.7]))
    q = distributions.Gaussian(jnp.array([0.0, -1.5]), jnp.array([0.5, 0.1]))
    d = distributions.gaussian(2)
    (m, s), (n, t) = ((np.asarray(a.mean, np.float64), np.exp(np.asarray(a.log_std, np.float64))) for a in (p, q))
    x = np.array([0.3, 0.4])
    log_prob = (-((x - m) ** 2) / (2 * s**2) - np.log(s * np.sqrt(2 * np.pi))).sum()
    assert d.log_prob(p, jnp.asarray(x, jnp.float32)) == pytest.approx(log_prob, rel=1e-5)
    assert d.entropy(p) == pytest.approx((np.log(s * np.sqrt(2 * np.pi * np.e))).sum(), rel=1e-5)
    kl = (np.log(t / s) + (s**2 + (m - n) ** 2) / (2 * t**2) - 0.5).sum()
    assert d.kl(p, q) == pytest.approx(kl, rel=1e-5)
    assert d.kl(p, p) == pytest.approx(0, abs=1e-6)
    drawn = np.asarray(jax.vmap(lambda key: d.sample(key, p))(jax.random.split(jax.random.key(0), 4000)))
    np.testing.assert_allclose(drawn.mean(0), m, atol=0.08)
    np.testing.assert_allclose(drawn.std(0), s, rtol=0.06)


def test_advantages_are_their_sum():
    rng = np.random.default_rng(0)
    reward, value, last = rng.normal(size=6), rng.normal(size=6), 0.7
    ends = np.array([0, 0, 1, 0, 0, 0.0])
    discount, gae_lambda = 0.9, 0.8
    following = np.append(value[1:], last)
    delta = reward + discount * (1 - ends) * following - value
    wanted = np.zeros(6)
    for t in range(6):
        factor = 1.0
        for k in range(t, 6):
            wanted[t] += factor * delta[k]
            factor *= discount * gae_lambda * (1 - ends[k])
    got = advantages.generalized_advantages(
        *(jnp.asarray(a, jnp.float32) for a in (reward, value, last)), discount=discount, gae_lambda=gae_lambda,
        ends=jnp.asarray(ends, jnp.float32),
    )  # fmt: skip
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        advantages.returns(jnp.array([1.0, 2.0, 4.0]), discount=0.5), [1 + 1 + 1, 2 + 2, 4], rtol=1e-6
    )


def test_normalized_leaves_padding_out():
    got = advantages.normalized(jnp.array([1.0, 3.0, 500.0]), jnp.array([1.0, 1.0, 0.0]))
    np.testing.assert_allclose(got[:2], [-1, 1], rtol=1e-5)


@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e12])
def test_normalized_makes_nothing_of_rounding(unit):
    """Catches a division by a spread that is rounding alone, and one by a spread and a number of fixed size."""
    weight = jnp.ones((3, 7)).at[2, 4:].set(0)
    equal = unit * jnp.float32(0.1) * (1 + 1e-7 * jax.random.normal(jax.random.key(0), (3, 7)))
    np.testing.assert_array_equal(advantages.normalized(equal, weight), np.zeros((3, 7)))
    small = jnp.asarray(unit * (1 + 1e-3 * np.arange(21.0).reshape(3, 7)), jnp.float32)
    got = np.asarray(advantages.normalized(small, weight))[np.asarray(weight) > 0]
    np.testing.assert_allclose([got.mean(), got.std()], [0, 1], atol=1e-3)
    assert np.isnan(advantages.normalized(small.at[0, 0].set(jnp.nan), weight)).all()


@pytest.mark.parametrize(("discount", "steps"), [(0.9, 10), (0.99, 1000), (1.0, 1)])
def test_equal_returns_are_equal_advantages(discount, steps):
    """Their baseline is as good as rounding is, whatever the discount, which counts as nothing."""
    worth = 1 / (1 - discount) if discount < 1 else 1.0
    last = jnp.float32(worth * discount if discount < 1 else 0)
    reward = jnp.full((4, steps), 0.3).at[:, -1].add(0.3 * last)
    returns = jax.vmap(lambda reward: advantages.returns(reward, discount=discount))(reward)
    np.testing.assert_allclose(returns, 0.3 * worth, rtol=1e-4)
    advantage = returns - jnp.mean(returns)
    assert advantages.alike(advantage, jnp.ones_like(reward), returns)
    assert not advantages.alike(advantage.at[0, 0].add(1e-4 * worth), jnp.ones_like(reward), returns)


def test_ppo_stops_where_the_ratio_is_clipped():
    objective = surrogates.ppo_clip(0.2)
    before = jnp.log(jnp.full(4, 0.5))
    now = jnp.log(jnp.array([0.7, 0.3, 0.7, 0.3]))
    advantage = jnp.array([1.0, 1.0, -1.0, -1.0])
    np.testing.assert_allclose(objective(now, before, advantage), [1.2, 0.6, -1.4, -0.8], rtol=1e-5)
    slope = jax.grad(lambda now: jnp.sum(objective(now, before, advantage)))(now)
    np.testing.assert_allclose(slope, [0, 0.6, -1.4, 0], rtol=1e-5, atol=1e-6)
    same = jax.grad(lambda now: jnp.sum(objective(now, before, advantage)))(before)
    plain = jax.grad(lambda now: jnp.sum(surrogates.actor_critic()(now, before, advantage)))(before)
    np.testing.assert_allclose(same, plain, rtol=1e-6)
    for clip in (0.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="clip must be a finite number above 0"):
            surrogates.ppo_clip(clip)


MAKE = {
    "gru": lambda size, action: policies.gru_policy(size, action, units=5),
    "attention": lambda size, action: policies.attention_policy(size, action, steps=10, units=4, heads=2),
    "slots": lambda size, action: policies.slots_policy(size, action, observation=1, units=6, slots=3),
    "mlp": lambda size, action: policies.mlp_policy(size, action, units=(4,)),
}


@pytest.mark.standard_promotion  # Flax's cells mix ranks
@pytest.mark.parametrize("name", MAKE)
def test_a_policy_over_a_trial_is_its_steps(name):
    policy = MAKE[name](3, Discrete(2))
    params = policy.init(jax.random.key(0))
    inputs = jax.random.normal(jax.random.key(1), (6, 3))
    together = jax.jit(lambda p, x: policies.unroll(policy, p, x))(params, inputs)
    step, memory, rows = jax.jit(policy.step), policy.start, []
    for x in inputs:
        memory, decision = step(params, memory, x)
        rows.append(decision)
    np.testing.assert_allclose(together.action, [r.action for r in rows], rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(together.value, [r.value for r in rows], rtol=1e-4, atol=1e-7)
    changed = jax.jit(lambda p, x: policies.unroll(policy, p, x))(params, inputs.at[3].add(10.0))
    np.testing.assert_array_equal(together.action[:3], changed.action[:3])  # nothing sees what comes later
    later = np.abs(np.asarray(together.action[4:] - changed.action[4:])).max()
    assert later > 1e-6 if name != "mlp" else later == 0  # and a memory tells of what came before


@pytest.mark.standard_promotion
def test_slots_are_written_where_the_agent_was():
    policy = policies.slots_policy(4, Discrete(2), observation=2, units=6, slots=3)
    params = policy.init(jax.random.key(0))
    inputs = np.asarray(jax.random.normal(jax.random.key(1), (5, 4)))
    memory, step = policy.start, jax.jit(policy.step)
    for x in inputs:
        memory, _ = step(params, memory, jnp.asarray(x))
    weights = jax.tree.map(lambda a: np.asarray(a, np.float64), params["params"])
    expected, last = np.zeros((3, 3)), np.zeros(2)
    for x in inputs:
        came = np.maximum(x[2:] @ weights["came"]["kernel"] + weights["came"]["bias"], 0)
        value = came @ weights["value"]["kernel"] + weights["value"]["bias"]
        share = np.exp(last @ weights["place"]["kernel"])
        expected += np.outer(share / share.sum(), value)
        last = x[:2]
    np.testing.assert_allclose(memory.memory, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(memory.last, inputs[-1, :2])


def test_real_actions_have_one_spread():
    policy = policies.mlp_policy(3, Box(2, -1.0, 1.0), units=(4,), log_std=-0.5)
    params = policy.init(jax.random.key(0))
    decision = policies.unroll(policy, params, jnp.ones((6, 3)))
    assert decision.action.mean.shape == (6, 2)
    np.testing.assert_allclose(decision.action.log_std, np.full((6, 2), -0.5))


@pytest.mark.standard_promotion
def test_a_trial_goes_on_over_its_episodes():
    env = countdown()
    size = inputs_size(env, see_all)
    assert (size, inputs_size(env, see_observation)) == (2 + 4 + 2, 2)
    policy = MAKE["gru"](size, env.action)
    params = policy.init(jax.random.key(0))
    task = jnp.float32(0.25)
    trial = jax.jit(lambda key: rollout(env, policy, params, key, task, episodes=2, see=see_all))(jax.random.key(2))
    counts = np.asarray(trial.inputs[:, 0])
    np.testing.assert_array_equal(counts, [0, 1, 2] * 3 + [0])  # starts again after three steps
    np.testing.assert_array_equal(trial.done, [0, 0, 1] * 3 + [0])
    np.testing.assert_array_equal(trial.weight, [1] * 6 + [0] * 4)  # two episodes count
    np.testing.assert_array_equal(trial.inputs[:, 1], np.full(10, 0.25))
    np.testing.assert_array_equal(trial.inputs[0, 2:], np.zeros(6))  # nothing was done yet
    np.testing.assert_array_equal(trial.inputs[1:, 2:6], np.eye(4)[np.asarray(trial.action[:-1])])
    np.testing.assert_array_equal(trial.inputs[1:, 6], trial.reward[:-1])
    np.testing.assert_array_equal(trial.inputs[1:, 7], trial.done[:-1])
    assert total_reward(trial) == np.asarray(trial.action[:6]).sum()
    again = policies.unroll(policy, params, trial.inputs)  # the memory goes on from one episode to the next
    np.testing.assert_allclose(trial.decision.action, again.action, rtol=1e-4, atol=1e-6)
    logits = np.asarray(trial.decision.action, np.float64)
    log_probs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    np.testing.assert_allclose(trial.log_prob, log_probs[np.arange(10), np.asarray(trial.action)], rtol=1e-4)


@pytest.mark.standard_promotion
@pytest.mark.parametrize("length", [3, 5])
def test_a_policy_looks_at_the_state_where_time_cut_the_last_episode(length):
    """Ends after three steps are none; the second cut is seen with the memory of the trial, not done, and not reset."""
    env = countdown(length)

    def step(key, state, action, task):
        state, after = env.step(key, state, action, task)
        return state, after._replace(truncated=after.done)

    policy = MAKE["gru"](inputs_size(env, see_all), env.action)
    params, key, task = policy.init(jax.random.key(0)), jax.random.key(2), jnp.float32(0.25)
    act = lambda env: jax.jit(lambda key: rollout(env, policy, params, key, task, episodes=2, see=see_all))(key)
    trial, plain = act(env._replace(step=step)), act(env)
    n = 2 * length
    jax.tree.map(
        np.testing.assert_array_equal, *(jax.tree.map(lambda a: a[:n], t._replace(cut=None)) for t in (trial, plain))
    )
    assert plain.cut is None
    np.testing.assert_array_equal(trial.cut.at, np.arange(10) == n - 1)
    action = np.eye(4)[int(trial.action[n - 1])]
    np.testing.assert_allclose(trial.cut.inputs, [length, 0.25, *action, trial.reward[n - 1], 0])
    inputs = jnp.concatenate([trial.inputs[:n], trial.cut.inputs[None]])
    np.testing.assert_allclose(trial.cut.value, policies.unroll(policy, params, inputs).value[-1], rtol=1e-4)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: policies.gru_policy(3, Discrete(2), units=0), "units must be 1 or more, got 0"),
        (lambda: policies.mlp_policy(3, Discrete(2), units=(4, 0)), "units must be 1 or more, got 0"),
        (lambda: policies.attention_policy(3, Discrete(2), steps=0), "steps must be 1 or more, got 0"),
        (
            lambda: policies.attention_policy(3, Discrete(2), steps=5, units=5, heads=2),
            "multiple of the 2 heads, got 5",
        ),
        (lambda: policies.slots_policy(3, Discrete(2), observation=3), "observation must be from 1 to 2"),
        (lambda: policies.slots_policy(3, Discrete(2), observation=1, units=5), "must be even, got 5"),
        (lambda: policies.slots_policy(3, Discrete(2), observation=1, slots=0), "slots must be 1 or more, got 0"),
    ],
)
def test_bad_settings_are_refused(make, says):
    with pytest.raises(ValueError, match=says):
        make()
