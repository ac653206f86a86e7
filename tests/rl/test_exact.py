"""Exact answers against published tables, brute force and simulations."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from scipy.optimize import linprog

from jmeta.rl import envs, exact
from jmeta.rl.envs import MDP
from jmeta.rl.exact.mdp import optimistic_value
from jmeta.rl.exact.simulation import gamma

solved = functools.cache(exact.bayes_optimal_bandit)


# Independent arms.


@pytest.mark.parametrize(
    ("arms", "pulls", "value"),
    [
        (2, 5, 2.8889),
        (2, 10, 6.0218),
        (2, 20, 12.4313),
        (2, 50, 31.9967),
        (2, 100, 64.9184),
        (3, 10, 6.4096),
        (3, 20, 13.4658),
        (3, 50, 35.2173),
        (5, 10, 6.6600),
        (10, 10, 6.7140),
        (50, 10, 6.7140),
    ],
)
def test_the_table_of_optimal_values(arms, pulls, value):
    solution = exact.bayes_optimal_bandit(arms, pulls)
    assert round(solution.value.item(), 4) == value
    assert len(solution.keys) == exact.count_states(arms, pulls) and (np.diff(solution.keys) > 0).all()


def test_one_arm_is_worth_its_mean_and_one_pull_too():
    assert exact.bayes_optimal_bandit(1, 7).value == pytest.approx(3.5)
    assert exact.bayes_optimal_bandit(7, 1).value == pytest.approx(0.5)


@functools.cache
def brute(counts, left):
    """The values of all arms after `counts`, a tuple of (successes, failures), without any symmetry."""
    if left == 0:
        return (0.0,) * len(counts)
    values = []
    for i, (s, f) in enumerate(counts):
        mean = (s + 1) / (s + f + 2)
        won, lost = ((*counts[:i], new, *counts[i + 1 :]) for new in ((s + 1, f), (s, f + 1)))
        values.append(mean * (1 + max(brute(won, left - 1))) + (1 - mean) * max(brute(lost, left - 1)))
    return tuple(values)


def states(arms, pulled):
    """All counts after `pulled` pulls."""
    numbers = itertools.product(range(pulled + 1), repeat=2 * arms)
    return [tuple(zip(n[::2], n[1::2], strict=True)) for n in numbers if sum(n) == pulled]


@pytest.mark.parametrize(("arms", "pulls"), [(2, 5), (3, 4), (4, 3)])
def test_the_policy_is_best_in_each_state_in_any_order(arms, pulls):
    solution = exact.bayes_optimal_bandit(arms, pulls)
    assert solution.value == pytest.approx(max(brute(((0, 0),) * arms, pulls)))
    where = [(counts, pulls - pulled) for pulled in range(pulls) for counts in states(arms, pulled)]
    chosen = jax.jit(jax.vmap(exact.optimal_arm, (None, 0)))(solution, jnp.array([counts for counts, _ in where]))
    for (counts, left), arm in zip(where, chosen.tolist(), strict=True):
        values = brute(counts, left)
        assert values[arm] == pytest.approx(max(values), abs=1e-12), (counts, arm)


def test_a_simulation_of_the_policy_gets_the_value():
    env = envs.bernoulli_bandit(arms=5, pulls=10)
    strategy = exact.optimal_strategy(solved(5, 10))
    got = exact.simulate_bandit(strategy, jax.random.key(0), env.sample_task, pulls=10, tasks=40_000)
    assert abs(got.mean - solved(5, 10).value) < 1.5 * got.interval
    # Far from the next best: greed gets 6.57.
    assert got.interval < 0.02


def exact_value(values, arms, pulls, epsilon=0.0):
    """The mean return of the arm with the largest value, or of any with some probability, by all histories.

    `values(counts, time)` gives one for each arm.
    """

    def value(counts, time):
        if time == pulls:
            return 0.0
        chance = np.full(arms, epsilon / arms)
        chance[np.argmax(values(counts, time))] += 1 - epsilon
        total = 0.0
        for arm in np.flatnonzero(chance):
            s, f = counts[arm]
            mean = (s + 1) / (s + f + 2)
            won, lost = ((*counts[:arm], new, *counts[arm + 1 :]) for new in ((s + 1, f), (s, f + 1)))
            total += chance[arm] * (mean * (1 + value(won, time + 1)) + (1 - mean) * value(lost, time + 1))
        return total

    return value(((0, 0),) * arms, 0)


def test_strategies_get_what_their_histories_are_worth():
    pulls, arms = 6, 2
    index = exact.gittins_like_index(pulls)
    table = np.asarray(index)
    mean = lambda counts, time: [(s + 1) / (s + f + 2) for s, f in counts]
    width = lambda counts, time: [np.sqrt(2 * np.log(1 + time) / (s + f + 2)) for s, f in counts]
    wanted = {
        "greedy": exact_value(mean, arms, pulls),
        "index": exact_value(lambda c, t: [table[(pulls - t - 1, *a)] for a in c], arms, pulls),
        "ucb1": exact_value(lambda c, t: np.add(mean(c, t), 0.5 * np.array(width(c, t))), arms, pulls),
        "epsilon": exact_value(mean, arms, pulls, epsilon=0.5),
        "random": pulls / 2,
    }
    strategies = {
        "greedy": exact.greedy(),
        "index": exact.index_strategy(index),
        "ucb1": exact.ucb1(0.5),
        "epsilon": exact.epsilon_greedy(0.5),
        "random": exact.random_arm(),
        "thompson": exact.thompson(),
        "optimistic": exact.optimistic_thompson(),
    }
    env = envs.bernoulli_bandit(arms=arms, pulls=pulls)

    def pick(which, key, counts, time):
        """One of all, for one program."""
        return jnp.stack([strategy(key, counts, time) for strategy in strategies.values()])[which]

    def run(which, key):
        return exact.simulate_bandit(Partial(pick, which), key, env.sample_task, pulls=pulls, tasks=10_000)

    keys = jax.random.split(jax.random.key(0), len(strategies))
    means, intervals = jax.tree.map(np.asarray, jax.jit(jax.vmap(run))(jnp.arange(len(strategies)), keys))
    got = {name: exact.Estimate(*both) for name, *both in zip(strategies, means, intervals, strict=True)}
    for name, value in wanted.items():
        assert abs(got[name].mean - value) < 1.5 * got[name].interval, (name, got[name], value)
    # In order: chance is between nothing known and the best.
    best = solved(arms, pulls).value
    assert wanted["greedy"] < wanted["index"] <= best
    assert 3.2 < got["thompson"].mean < got["optimistic"].mean < best


def known_beside(s, f, left, known):
    """The gain of a pull over a known arm for ever, by recursion."""
    mean = (s + 1) / (s + f + 2)
    if left == 1:
        return mean - known
    won, lost = (max(0.0, known_beside(*new, left - 1, known)) for new in ((s + 1, f), (s, f + 1)))
    return mean - known + mean * won + (1 - mean) * lost


def test_the_index_makes_an_arm_as_good_as_a_known_one():
    index = np.asarray(exact.gittins_like_index(6))
    for s, f, left in [(0, 0, 1), (0, 0, 6), (2, 1, 3), (0, 2, 4), (3, 0, 2)]:
        assert known_beside(s, f, left, index[left - 1, s, f].item()) == pytest.approx(0, abs=2e-4)
    np.testing.assert_allclose(index[0, 2, 1], 3 / 5, atol=1e-4)
    assert (np.diff(index[:, 0, 0]) > 0).all()
    # A longer horizon has the same indices for as many pulls left.
    np.testing.assert_allclose(exact.gittins_like_index(8)[:3, :2, :2], index[:3, :2, :2], atol=1e-6)


# Dependent arms.


@pytest.mark.parametrize(
    ("p", "total", "regret"), [(0.1, 89.375, 0.625), (0.25, 74.0, 1.0), (0.4, 57.688, 2.3121), (None, 73.7786, 1.2214)]
)
def test_the_table_of_dependent_arms(p, total, regret):
    value = exact.dependent_bandit_value(p, 100)
    assert value.total == pytest.approx(total, abs=5e-4 if p == 0.4 else 5e-5)
    assert value.regret == pytest.approx(regret, abs=5e-5)
    if p is not None:
        assert exact.dependent_bandit_value(1 - p, 100) == pytest.approx(value)


@pytest.mark.parametrize("p", [0.0, 0.2, 0.5, None])
def test_dependent_arms_by_brute_force(p):
    """The best over all strategies, of which greed is one."""

    def chance(a, b):
        """The probability that the first arm pays, after `a` results for it and `b` for the other."""
        if p is None:
            return (a + 1) / (a + b + 2)
        first, second = p**a * (1 - p) ** b, (1 - p) ** a * p**b
        return (first * p + second * (1 - p)) / (first + second) if first + second else 0.5

    @functools.cache
    def value(a, b, left):
        if left == 0:
            return 0.0
        m = chance(a, b)
        later = m * value(a + 1, b, left - 1) + (1 - m) * value(a, b + 1, left - 1)
        return max(m, 1 - m) + later

    assert exact.dependent_bandit_value(p, 9).total == pytest.approx(value(0, 0, 9))


# MDPs.


def tiny():
    rng = np.random.default_rng(0)
    return MDP(rng.normal(size=(2, 2)).astype(np.float32), rng.dirichlet(np.ones(2), (2, 2)).astype(np.float32))


def test_value_iteration_is_the_best_of_all_policies():
    mdp, horizon = tiny(), 3
    best = np.full(2, -np.inf)
    for actions in itertools.product(range(2), repeat=2 * horizon):
        policy, value = np.reshape(actions, (horizon, 2)), np.zeros(2)
        for rule in policy[::-1]:
            value = np.array([mdp.reward[s, rule[s]] + mdp.transition[s, rule[s]] @ value for s in range(2)])
        best = np.maximum(best, value)
    values, q = exact.value_iteration(jnp.asarray(mdp.reward), jnp.asarray(mdp.transition), horizon)
    np.testing.assert_allclose(values[0], best, rtol=1e-5)
    np.testing.assert_allclose(q[-1], mdp.reward, rtol=1e-6)
    np.testing.assert_allclose(values[:-1], q.max(axis=-1))
    assert values.shape == (4, 2) and not values[-1].any()


def test_rewards_may_depend_on_the_time():
    mdp = tiny()
    rewards = jnp.stack([jnp.full((2, 2), r) for r in (1.0, 2.0, 4.0)])
    np.testing.assert_allclose(exact.value_iteration(rewards, jnp.asarray(mdp.transition), 3)[0][:, 0], [7, 6, 4, 0])


@functools.cache
def mdp_figures():
    """The oracle, and strategies on the published family of MDPs, in one program."""
    env = envs.tabular_mdp()
    strategies = {"psrl": exact.psrl(), "ucrl2": exact.ucrl2(0.1)}

    @jax.jit
    def run(key):
        oracle = lambda key: exact.value_iteration(*env.sample_task(key), env.horizon)[0][0, 0]
        got = {
            name: exact.simulate_mdp(plan, key, env.sample_task, horizon=10, episodes=10, tasks=500)
            for name, plan in strategies.items()
        }
        return got | {"oracle": exact.estimate(jax.vmap(oracle)(jax.random.split(key, 4000)))}

    return jax.tree.map(np.asarray, run(jax.random.key(0)))


@pytest.mark.long
def test_the_oracle_of_the_published_mdps():
    oracle = mdp_figures()["oracle"]
    assert abs(oracle.mean - 21.825) < 1.5 * oracle.interval + 0.016
    assert oracle.interval < 0.1


@pytest.mark.long
def test_strategies_get_about_what_is_published():
    """In 10 episodes 138.1 for PSRL, and 146.6 for UCRL2; the first one is about as good as chance, which gets 10."""
    psrl, ucrl2 = (mdp_figures()[name] for name in ("psrl", "ucrl2"))
    assert psrl.mean[0] < 12
    assert 129 < psrl.mean[-1] < 139
    assert 144 < ucrl2.mean[-1] < 154


def test_a_plan_for_the_true_mdp_gets_its_value_and_sees_each_step():
    """The first plan is the best one while as many steps were seen as there were, and otherwise the worst."""
    mdp, horizon, episodes = jax.tree.map(jnp.asarray, tiny()), 4, 3
    values, q = exact.value_iteration(*mdp, horizon)

    def plan(key, seen, time, horizon):
        paid = jnp.abs(jnp.sum(seen.reward)) < 50
        return jnp.where((jnp.sum(seen.visits) == time) & paid, q, -q)

    got = exact.simulate_mdp(plan, jax.random.key(0), lambda key: mdp, horizon=horizon, episodes=episodes, tasks=4000)
    wanted = values[0, 0] * jnp.arange(1, episodes + 1, dtype=jnp.float32)
    assert (abs(got.mean - wanted) < 2 * got.interval).all()
    assert got.interval.max() < 0.1


def test_the_posterior_of_an_mdp():
    rng = np.random.default_rng(1)
    visits = jnp.asarray(rng.integers(0, 5, (2, 2, 3)), jnp.float32)
    seen = exact.Experience(visits, jnp.asarray(rng.normal(size=(2, 2)), jnp.float32))
    mean, drawn = jax.jit(
        lambda keys: (exact.posterior_mean(seen), jax.vmap(exact.posterior_sample, (0, None))(keys, seen))
    )(jax.random.split(jax.random.key(0), 10_000))
    n = np.asarray(visits).sum(axis=-1)
    np.testing.assert_allclose(mean.reward, (1 + np.asarray(seen.reward)) / (1 + n), rtol=1e-6)
    np.testing.assert_allclose(mean.transition, (1 + np.asarray(visits)) / (3 + n[..., None]), rtol=1e-6)
    np.testing.assert_allclose(np.mean(drawn.reward, axis=0), mean.reward, atol=0.05)
    np.testing.assert_allclose(np.var(drawn.reward, axis=0), 1 / (1 + n), rtol=0.08)
    np.testing.assert_allclose(np.mean(drawn.transition, axis=0), mean.transition, atol=0.01)
    share = np.asarray(mean.transition)
    np.testing.assert_allclose(np.var(drawn.transition, axis=0), share * (1 - share) / (4 + n[..., None]), rtol=0.1)


def test_plans_at_their_edges():
    """No bonus, no confidence and no chance are greed; all the confidence there is is the best state for sure."""
    rng = np.random.default_rng(1)
    visits = jnp.asarray(rng.integers(0, 5, (3, 2, 3)), jnp.float32)
    seen = exact.Experience(visits, jnp.asarray(rng.normal(size=(3, 2)), jnp.float32))
    time = jnp.sum(visits)
    plans = {
        "greedy": exact.greedy_plan(),
        "no bonus": exact.bonus_plan(1e-9),
        "sure": exact.ucrl2(1e-9),
        "no chance": exact.epsilon_greedy_plan(0.0),
        "unsure": exact.ucrl2(10.0),
        "bonus": exact.bonus_plan(2.0),
        "one": exact.psrl(),
        "many": exact.opsrl(samples=30),
    }
    key = jax.random.key(0)
    q = jax.jit(lambda: {name: plan(key, seen, time, 4) for name, plan in plans.items()})()
    for name in ("no bonus", "sure", "no chance"):
        np.testing.assert_allclose(q[name], q["greedy"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(q["bonus"][-1], q["greedy"][-1] + 2 / (1 + np.asarray(seen.taken)), rtol=1e-5)
    bonus = 10 * np.sqrt(7 * np.log(12 * (1 + time)) / (2 * np.maximum(seen.taken, 1)))
    np.testing.assert_allclose(q["unsure"][-1], q["greedy"][-1] + bonus, rtol=1e-5)
    np.testing.assert_allclose(q["unsure"][-2], q["unsure"][-1] + q["unsure"][-1].max(), rtol=1e-5)
    assert np.mean(q["many"]) > np.mean(q["one"])
    # Chance takes each action as often.
    for plan in (exact.random_plan(), exact.epsilon_greedy_plan(1.0)):
        assert abs(np.mean(np.argmax(plan(key, seen, time, 400), axis=-1)) - 0.5) < 0.06


def test_the_most_that_a_next_state_can_be_worth_is_that_of_a_linear_program():
    rng = np.random.default_rng(2)
    cases = [(rng.dirichlet(np.ones(4)), radius, rng.normal(size=4)) for radius in (0.0, 0.1, 0.5, 0.9, 1.7, 3.0)]
    p, radius, value = (jnp.asarray(np.stack(x), jnp.float32) for x in zip(*cases, strict=True))
    got = jax.jit(jax.vmap(optimistic_value))(p, radius, value)
    for (p, radius, value), most in zip(cases, got.tolist(), strict=True):
        # Variables: the probabilities, and what each is off at most.
        eye = np.eye(4)
        off = np.block([[eye, -eye], [-eye, -eye], [np.zeros((1, 4)), np.ones((1, 4))]])
        best = linprog(
            np.concatenate([-value, np.zeros(4)]),
            A_ub=off,
            b_ub=np.concatenate([p, -p, [radius]]),
            A_eq=np.concatenate([np.ones((1, 4)), np.zeros((1, 4))], axis=1),
            b_eq=[1],
        )
        assert most == pytest.approx(-best.fun, abs=1e-5)


def test_gamma_variables_have_their_moments():
    shape = jnp.broadcast_to(jnp.array([[1.0, 1.5, 4.0, 60.0]]), (50_000, 4))
    drawn = np.asarray(jax.jit(gamma)(jax.random.key(0), shape))
    np.testing.assert_allclose(drawn.mean(axis=0), shape[0], rtol=0.02)
    np.testing.assert_allclose(drawn.var(axis=0), shape[0], rtol=0.05)
    # The first is exponential: half of it is below log 2, and a tenth above log 10.
    assert abs((drawn[:, 0] < np.log(2)).mean() - 0.5) < 0.01
    assert abs((drawn[:, 0] > np.log(10)).mean() - 0.1) < 0.01


# Navigation.


def test_navigation_at_its_best_and_without_moving():
    value = exact.navigation_value()
    assert (round(value.constant, 2), round(value.optimum, 3)) == (-38.26, -0.506)
    env = envs.point_navigation(horizon=8)
    short = exact.navigation_value(8)

    @jax.jit
    def run(keys):
        def total(move, key):
            goal = env.sample_task(key)

            def body(carry, _):
                state, over = carry
                state, step = env.step(key, state, move(goal - state.position), goal)
                return (state, over | step.done), jnp.where(over, 0, step.reward)

            return jnp.sum(jax.lax.scan(body, (env.reset(key, goal)[0], jnp.bool_(False)), length=8)[1])

        straight, stay = (lambda off: off), jnp.zeros_like
        return tuple(exact.estimate(jax.vmap(lambda key, m=m: total(m, key))(keys)) for m in (straight, stay))

    straight, stay = run(jax.random.split(jax.random.key(0), 20_000))
    assert abs(straight.mean - value.optimum) < 1.5 * straight.interval
    assert abs(stay.mean - short.constant) < 1.5 * stay.interval


# What is refused.


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: exact.bayes_optimal_bandit(0, 3), "arms must be 1 or more"),
        (lambda: exact.bayes_optimal_bandit(2, 0), "pulls must be 1 or more"),
        (lambda: exact.bayes_optimal_bandit(5, 100), "5 arms and 100 pulls are too many, with .* states"),
        (lambda: exact.bayes_optimal_bandit(2, 200), "too many, with 34,.* states"),
        (lambda: exact.dependent_bandit_value(1.5, 10), "p must be a probability"),
        (lambda: exact.gittins_like_index(0), "pulls must be 1 or more"),
        (lambda: exact.gittins_like_index(3, levels=1), "levels must be 2 or more"),
        (lambda: exact.ucb1(0.0), "scale must be a finite number above 0"),
        (lambda: exact.epsilon_greedy(1.1), "epsilon must be a probability"),
        (lambda: exact.epsilon_greedy_plan(-0.1), "epsilon must be a probability"),
        (lambda: exact.opsrl(samples=0), "samples must be 1 or more"),
        (lambda: exact.ucrl2(-1.0), "scale must be a finite number above 0"),
        (lambda: exact.bonus_plan(float("nan")), "scale must be a finite number above 0"),
        (lambda: exact.navigation_value(0), "horizon must be 1 or more"),
        (lambda: exact.value_iteration(jnp.ones((2, 3)), jnp.ones((2, 2, 2)), 3), "reward must be"),
        (lambda: exact.value_iteration(jnp.ones((2, 2)), jnp.ones((2, 2, 2)), 0), "horizon must be 1 or more"),
        (
            lambda: exact.simulate_bandit(exact.greedy(), jax.random.key(0), lambda key: key, pulls=2, tasks=1),
            "tasks must be 2 or more",
        ),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
