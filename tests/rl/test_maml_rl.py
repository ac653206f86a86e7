"""MAML for reinforcement learning: its parts against closed forms of a softmax policy, its rules of the outer loop
against closed forms of quadratics, and its learning."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from algorithms_table import relaxed
from small_rl import for_ever

from jmeta.rl.advantages import centered
from jmeta.rl.agent import make_run, update_keys
from jmeta.rl.baselines import linear_baseline, no_baseline, value_head
from jmeta.rl.envs import bandit, point_navigation
from jmeta.rl.experiment import build
from jmeta.rl.inner import inner_loop
from jmeta.rl.maml_rl import maml_rl
from jmeta.rl.outer import Readapted, promp, trpo
from jmeta.rl.policies import mlp_policy
from jmeta.rl.settings import Choice, defaults
from jmeta.rl.surrogates import dice, lvc, reinforce
from jmeta.settings import replaced
from scripts.rl.exact_returns import adapted, bandit_return, maml_return, softmax_policy

START = jnp.asarray([[0.3, -0.4, 0.0]], jnp.float32)
MEANS = jnp.asarray([1.0, -0.5, 0.3], jnp.float32)


def unscaled(advantage, weight):
    return advantage


def fixed_arms(means, *, pulls=1, noise=0.0):
    """A bandit of one task, whose arms pay their means, with noise or without."""
    pay = lambda key, mean: mean + noise * jax.random.normal(key, (), jnp.float32)
    return bandit(lambda key: means, pay, arms=len(means), pulls=pulls)


def from_logits(env, logits):
    return softmax_policy(env)._replace(init=lambda key: logits)


def recorder():
    """An outer rule that adds the meta-gradient to the parameters."""
    return promp(relaxed(optax.sgd(1.0)), epochs=1, kl_weight=0.0)


def close(a, b, tolerance=1e-5):
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def one_hot(sample):
    return np.eye(len(MEANS))[np.asarray(sample.trajectory.action)]


def gradient_by_hand(logits, sample):
    """sum weight A (one-hot action - pi), the gradient of a softmax policy that sees nothing."""
    policy = np.asarray(jax.nn.softmax(logits[0]), np.float64)
    scale = np.asarray(sample.weight * sample.advantage, np.float64)
    return np.sum(scale[..., None] * (one_hot(sample) - policy), axis=(0, 1))[None]


def test_an_inner_step_is_the_rate_times_the_surrogates_gradient():
    env = fixed_arms(MEANS, pulls=3, noise=0.5)

    def step(surrogate):
        inner = inner_loop(env, softmax_policy(env), surrogate=surrogate, baseline=linear_baseline())
        sample = inner.sample(START, jax.random.key(1), MEANS, 6)
        return sample, *inner.ascend(START, sample, 0.7)

    for sample, moved, decision in jax.jit(lambda: [step(surrogate) for surrogate in (lvc(), dice(), reinforce())])():
        close(moved - START, 0.7 * gradient_by_hand(START, sample))
        close(decision.action, np.broadcast_to(START, (6, 3, 3)))


def test_a_sample_has_advantages_of_its_own_task():
    env = fixed_arms(MEANS, pulls=3, noise=0.5)

    def draw(baseline, **options):
        inner = inner_loop(env, softmax_policy(env), surrogate=lvc(), discount=0.5, baseline=baseline, **options)
        return inner.sample(START, jax.random.key(1), MEANS, 6)

    expects_one = lambda trajectories, returns: jnp.ones_like(returns)
    plain, scaled, middle, other = jax.jit(
        lambda: (
            draw(no_baseline(), scale=unscaled),
            draw(no_baseline()),
            draw(no_baseline(), scale=centered),
            draw(expects_one, scale=unscaled, gae_lambda=0.0),
        )
    )()
    reward = np.asarray(plain.trajectory.reward, np.float64)
    togo = np.stack([reward[:, t:] @ 0.5 ** np.arange(3 - t) for t in range(3)], axis=1)
    close(plain.target, togo)
    close(plain.advantage, togo)
    close(scaled.advantage, (togo - togo.mean()) / togo.std())
    close(scaled.stretch, 1 / togo.std(), 1e-4)
    close(middle.advantage, togo - togo.mean())
    close((plain.stretch, middle.stretch, jnp.sum(plain.weight)), (1, 1, 1))
    ahead = np.concatenate([np.full((6, 2), 0.5), np.zeros((6, 1))], axis=1)
    close(other.advantage, reward + ahead - 1)


@pytest.mark.parametrize("baseline", [no_baseline(), linear_baseline(), value_head()])
def test_a_limit_of_time_is_no_end(baseline):
    """Every state of a task that pays 1 for ever is worth 10 at a discount of 0.9; no action is better than another."""
    for cuts in (True, False):
        env = for_ever(jnp.bool_(cuts), 10)
        inner = inner_loop(env, mlp_policy(1, env.action, units=()), surrogate=lvc(), baseline=baseline, discount=0.9)
        params = mlp_policy(1, env.action, units=()).init(jax.random.key(0))
        sample = jax.jit(inner.sample, static_argnums=3)(params, jax.random.key(1), jnp.int32(0), 3)
        ended = np.tile([(1 - 0.9**steps) / 0.1 for steps in range(10, 0, -1)], (3, 1))
        np.testing.assert_allclose(sample.target, np.full((3, 10), 10.0) if cuts else ended, rtol=1e-4)
        np.testing.assert_array_equal(sample.trajectory.reward, np.ones((3, 10)))
        if cuts:
            np.testing.assert_array_equal(sample.advantage, np.zeros((3, 10)))


def paying(env, unit):
    """Its step, with rewards in another unit."""

    def step(key, state, action, task):
        state, after = env.step(key, state, action, task)
        return state, after._replace(reward=unit * after.reward)

    return step


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_unit_of_rewards_changes_nothing(scale):
    """A step of a task in another unit: catches a ridge, or a spread's least size, that is a number."""
    steps = []
    for unit in (1.0, scale):
        env = fixed_arms(MEANS, pulls=3, noise=0.5)
        paid = env._replace(step=paying(env, unit))
        inner = inner_loop(paid, softmax_policy(paid), surrogate=lvc(), baseline=linear_baseline())
        steps.append(
            inner.ascend(START, jax.jit(inner.sample, static_argnums=3)(START, jax.random.key(1), MEANS, 6), 0.7)[0]
        )
    close(*steps, 1e-4)


@pytest.mark.standard_promotion
@pytest.mark.parametrize(
    "env", ["bandit", *(pytest.param(f"{arms}-bandit", marks=pytest.mark.long) for arms in ("gaussian", "dependent"))]
)
def test_it_learns_a_bandit_from_settings(env):
    """A policy that sees nothing: its first layer is empty."""
    changes = {"pulls": 5, "meta_batch_size": 8, "updates": 2, "inner_lr": (2.0,), "val_tasks": 200}
    experiment = build(replaced(defaults(Choice("maml", env)), changes))
    state, metrics = jax.jit(experiment.update)(experiment.init(jax.random.key(0)))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((state.params, metrics)))
    learned = np.mean(jax.jit(experiment.validate)(state.params)["returns"])
    assert learned > {"bandit": 2.7, "gaussian-bandit": 0.3, "dependent-bandit": 2.6}[env], (
        "adaptation finds better arms"
    )


def test_without_inner_steps_it_is_the_policy_gradient():
    env, n = fixed_arms(MEANS, pulls=3, noise=0.5), 5
    policy = from_logits(env, START)
    agent = maml_rl(env, policy, outer=recorder(), inner_lr=0.1, inner_steps=0, episodes=n, tasks=1)
    state = agent.init(jax.random.key(2))
    moved, metrics = jax.jit(agent.update)(state)
    key = jax.random.split(jax.random.split(update_keys(state, 2)[1], 1)[0])[0]
    inner = inner_loop(env, policy, surrogate=lvc(), baseline=linear_baseline())
    sample = jax.jit(inner.sample, static_argnums=3)(START, key, MEANS, n)
    close(moved.params - START, gradient_by_hand(START, sample))
    close(metrics.returns, jnp.mean(jnp.sum(sample.trajectory.reward, axis=1)))
    close(metrics.kl, 0)
    assert (moved.step, metrics.loss.shape) == (1, ())


@functools.cache
def meta_gradient(surrogate, credit, episodes, tasks):
    env = fixed_arms(MEANS)
    options = dict(inner_lr=1.5, discount=1.0, baseline=no_baseline(), inner_scale=unscaled, outer_scale=unscaled)
    agent = maml_rl(
        env, from_logits(env, START), outer=recorder(), surrogate=surrogate, credit=credit, episodes=episodes,
        tasks=tasks, **options,
    )  # fmt: skip
    return jax.jit(agent.update)(agent.init(jax.random.key(0)))[0].params - START


@pytest.mark.standard_promotion
def test_many_trajectories_give_the_exact_meta_gradient():
    """And the first-order one is another."""
    value = bandit_return(MEANS)
    exact = jax.grad(maml_return(value, 1.5))(START)
    close(meta_gradient(lvc(), False, 20_000, 4), exact, 5e-3)
    assert np.abs(jax.grad(value)(adapted(value, START, 1.5)) - exact).max() > 0.03


@pytest.mark.standard_promotion
def test_credit_for_what_was_sampled_before_adaptation():
    """One trajectory: E-MAML's objective is the mean, over what it may be, of the return after a step on it."""

    def objective(logits):
        policy = jax.nn.log_softmax(logits[0])

        def after(action):
            step = MEANS[action] * (jax.nn.one_hot(action, 3) - jnp.exp(policy))
            return jnp.exp(policy[action]) * bandit_return(MEANS)(logits + 1.5 * step[None])

        return sum(after(action) for action in range(3))

    exact = jax.grad(objective)(START)
    close(meta_gradient(reinforce(), True, 1, 40_000), exact, 0.012)
    assert np.abs(meta_gradient(reinforce(), False, 1, 40_000) - exact).max() > 0.05


def opposite(log_prob):
    """A family of two tasks, in which one of two arms pays, and a policy that starts sure of the first."""
    env = bandit(
        lambda key: jax.nn.one_hot(jax.random.bernoulli(key).astype(jnp.int32), 2, dtype=jnp.float32),
        lambda key, mean: mean,
        arms=2,
        pulls=2,
    )
    return env, from_logits(env, jnp.asarray([[log_prob, -log_prob]], jnp.float32))


@functools.cache
def opposite_agent():
    env, policy = opposite(1.5)
    outer = promp(relaxed(optax.adam(0.1)), epochs=3)
    return maml_rl(env, policy, outer=outer, inner_lr=2.0, episodes=10, tasks=16, test_steps=2)


@functools.cache
def opposite_update():
    run = make_run(opposite_agent())
    return lambda state: run(state, 1)


@pytest.mark.standard_promotion
@pytest.mark.long
def test_it_learns_to_be_ready_for_both_tasks():
    """All policies earn the same before adaptation, so that only the derivative of adaptation tells them apart."""
    agent = opposite_agent()
    test = jax.jit(lambda p: jax.vmap(agent.test, in_axes=(None, 0, 0))(p, keys, tasks).mean(axis=0))
    keys, tasks = jax.random.split(jax.random.key(7), 64), jnp.tile(jnp.eye(2, dtype=jnp.float32), (32, 1))
    state, returns = agent.init(jax.random.key(0)), []
    before = test(state.params)
    for _ in range(40):
        state, metrics = opposite_update()(state)
        returns.append(metrics.returns[0])
    after = test(state.params)
    assert abs(before[0] - 1) < 0.1 and abs(after[0] - 1) < 0.1
    assert before[1] < 1.2 and after[1] > 1.55 and after[2] > after[1]
    assert np.mean(returns[-5:]) > np.mean(returns[:5]) + 0.2
    assert state.step == 40


@pytest.mark.long
@pytest.mark.standard_promotion
def test_the_same_state_gives_the_same_bits_and_seeds_are_a_vmap():
    agent = opposite_agent()
    states = [agent.init(jax.random.key(i)) for i in range(2)]
    each = [opposite_update()(state)[0] for state in states]
    np.testing.assert_array_equal(each[0].params, opposite_update()(states[0])[0].params)
    together = jax.jit(jax.vmap(agent.update))(jax.tree.map(lambda *a: jnp.stack(a), *states))[0]
    close(together.params, jnp.stack([state.params for state in each]))
    assert np.abs(together.params[0] - together.params[1]).max() > 1e-3


def test_a_test_of_many_tasks_is_a_loop_over_them():
    """Under vmap, beside the same steps one by one."""
    env, _ = opposite(0.5)
    policy = softmax_policy(env)
    options = dict(episodes=3, test_steps=2, test_episodes=4, test_lr=lambda step: 1 / (1 + step.astype(jnp.float32)))
    agent = maml_rl(env, policy, outer=recorder(), inner_lr=1.0, **options)
    keys, tasks = jax.random.split(jax.random.key(3), 3), jnp.asarray([[0.0, 1.0], [1.0, 0.0], [0.5, 0.2]], jnp.float32)
    start = jnp.zeros((1, 2), jnp.float32)
    together = jax.jit(jax.vmap(agent.test, in_axes=(None, 0, 0)))(start, keys, tasks)
    inner = inner_loop(env, policy, surrogate=lvc(), baseline=linear_baseline())
    draw, ascend = jax.jit(inner.sample, static_argnums=3), jax.jit(inner.ascend)
    for i, task in enumerate(tasks):
        params = start
        for k, (key, lr) in enumerate(zip(jax.random.split(keys[i], 3), (1.0, 0.5, 0.0), strict=True)):
            sample = draw(params, key, task, 4)
            close(together[i, k], jnp.mean(jnp.sum(sample.trajectory.reward, axis=1)))
            params = ascend(params, sample, lr)[0]


@pytest.mark.standard_promotion
def test_trpo_and_a_learned_baseline_in_navigation():
    """Two inner steps, real actions, episodes that may end early; a step that is taken keeps the bound and gains."""
    env = point_navigation(horizon=5)
    policy = mlp_policy(2, env.action, units=(8,), log_std=-2.0)
    agent = maml_rl(
        env, policy, outer=trpo(max_kl=0.02, solver_steps=4), inner_lr=0.05, inner_steps=2, episodes=8, tasks=4,
        baseline=value_head(),
    )  # fmt: skip
    state, metrics = make_run(agent)(agent.init(jax.random.key(0)), 6)
    assert np.all(metrics.kl <= 0.02) and np.mean(metrics.kl > 0.002) >= 0.5
    assert np.all(metrics.loss < 1e-6)  # less the gain, which starts at the mean advantage, 0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((state.params, metrics)))


CURVATURE = jnp.asarray([[2.0, 0.5], [0.5, 1.0]], jnp.float32)
SLOPE = jnp.asarray([0.3, -0.2], jnp.float32)


def quadratic(bend):
    """Gain `SLOPE.x - bend |x|^2 / 2` and KL `x.CURVATURE x / 2`, from 0."""

    def readapt(x, objective):
        size = x @ (CURVATURE @ x) / 2
        return Readapted(SLOPE @ x - bend * x @ x / 2, jnp.stack([3 * size, size]), jnp.sum(jnp.square(x - 1)))

    return readapt


def test_trpo_takes_the_natural_step():
    zero = jnp.zeros(2, jnp.float32)
    rule = trpo(max_kl=0.01 + 1e-6, damping=1e-6, solver_steps=2)
    natural = np.linalg.solve(CURVATURE, SLOPE)
    full = natural * np.sqrt(0.02 / (natural @ np.asarray(SLOPE)))
    for part, halvings in ((0.0, 0), (1.5, 0), (3.0, 1), (6.0, 2)):
        # The gain is SLOPE.x - bend |x|^2 / 2, above 0 for 2^-j of the step where part < 2^(j + 1).
        bend = float(part * (full @ np.asarray(SLOPE)) / (full @ full))
        params, _, loss, kl = jax.jit(lambda x, bend=bend: rule.update(quadratic(bend), x, ()))(zero)
        step = full / 2**halvings
        close(params, step, 1e-3)
        close((loss, kl), (bend * step @ step / 2 - SLOPE @ step, 0.01 / 4**halvings), 1e-3)


def test_trpo_stays_where_nothing_is_to_be_gained():
    zero = jnp.zeros(2, jnp.float32)
    for rule, readapt in (
        (trpo(max_kl=0.01, tries=2), quadratic(1e4)),
        (trpo(), lambda x, objective: Readapted(jnp.sum(x) * 0, jnp.zeros(2) + 0 * jnp.sum(x), jnp.sum(x))),
    ):
        params, _, loss, kl = rule.update(readapt, zero, ())
        assert (params.tolist(), float(loss), float(kl)) == ([0, 0], 0, 0)


def test_promp_descends_its_loss():
    x = jnp.asarray([0.1, 0.2], jnp.float32)
    rule = promp(relaxed(optax.sgd(0.1)), epochs=2, kl_weight=0.5, value_coef=0.25)
    got, _, loss, kl = rule.update(quadratic(0.0), x, rule.init(x))
    by_hand = np.asarray(x, np.float64)
    for _ in range(2):
        size = by_hand @ CURVATURE @ by_hand / 2
        value = -SLOPE @ by_hand + 0.5 * 3 * size + 0.25 * np.sum((by_hand - 1) ** 2)
        by_hand = by_hand - 0.1 * (-np.asarray(SLOPE) + 1.5 * CURVATURE @ by_hand + 0.5 * (by_hand - 1))
    close(got, by_hand)
    close((loss, kl), (value, size))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda e, p: maml_rl(e, p, outer=trpo(), inner_lr=0.1, inner_steps=-1), "inner_steps must be 0 or more"),
        (lambda e, p: maml_rl(e, p, outer=trpo(), inner_lr=0.1, test_steps=-1), "test_steps must be 0 or more"),
        (lambda e, p: maml_rl(e, p, outer=trpo(), inner_lr=0.1, episodes=0), "episodes must be 1 or more, got 0"),
        (lambda e, p: maml_rl(e, p, outer=trpo(), inner_lr=0.1, tasks=0), "tasks must be 1 or more, got 0"),
        (lambda e, p: maml_rl(e, p, outer=trpo(), inner_lr=0.1, tasks=1, credit=True), "tasks must be 2 or more"),
        (lambda e, p: maml_rl(e, p, outer=trpo(), inner_lr=0.1, test_episodes=0), "test_episodes must be 1 or more"),
        (lambda e, p: trpo(max_kl=0.0), "max_kl must be a finite number above 0"),
        (lambda e, p: trpo(damping=-1.0), "damping must be a finite number above 0"),
        (lambda e, p: trpo(shrink=1.0), "shrink must be above 0 and below 1, got 1.0"),
        (lambda e, p: trpo(tries=0), "tries must be 1 or more, got 0"),
        (lambda e, p: promp(optax.sgd(0.1), epochs=0), "epochs must be 1 or more, got 0"),
        (lambda e, p: promp(optax.sgd(0.1), kl_weight=-1.0), "kl_weight must be 0 or more, got -1.0"),
        (lambda e, p: promp(optax.sgd(0.1), value_coef=-1.0), "value_coef must be 0 or more, got -1.0"),
    ],
)
def test_what_makes_no_sense_is_refused(make, message):
    env = fixed_arms(MEANS)
    with pytest.raises(ValueError, match=message):
        make(env, softmax_policy(env))
