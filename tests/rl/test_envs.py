"""One contract for all environments, and each against its definition in NumPy."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jmeta.rl import envs
from jmeta.rl.envs.tabular_mdp import draw
from jmeta.rl.types import Box, Discrete, Step

MAKE = {
    "bandit": lambda: envs.bernoulli_bandit(arms=3, pulls=6),
    "gaussian-bandit": lambda: envs.gaussian_bandit(arms=3, pulls=6),
    "dependent-bandit": lambda: envs.dependent_bandit(pulls=6),
    "dependent-bandit-p": lambda: envs.dependent_bandit(p=0.1, pulls=6),
    "label-or-ask": lambda: envs.label_or_ask(),
    "mdp": lambda: envs.tabular_mdp(states=4, actions=3, horizon=6),
    "navigation": lambda: envs.point_navigation(horizon=6),
    "navigation-in-units": lambda: envs.unit_actions(envs.point_navigation(horizon=6)),
    "semi-circle": lambda: envs.semi_circle(horizon=6),
    "cart-pole": lambda: envs.cart_pole(horizon=6),
}
EPISODES = 64


class Made:
    """An environment, and some episodes of it with random actions: compiled for one, and for many at once."""

    def __init__(self, name):
        self.env = MAKE[name]()
        self.keys = jax.random.split(jax.random.key(3), EPISODES)
        self.many = jax.jit(jax.vmap(self.episode))
        self.one = jax.jit(self.episode)

    def episode(self, key):
        of_task, of_reset, of_steps = jax.random.split(key, 3)
        task = self.env.sample_task(of_task)
        state, observation = self.env.reset(of_reset, task)

        def body(state, key):
            of_action, of_step = jax.random.split(key)
            action = envs.random_action(of_action, self.env)
            state, step = self.env.step(of_step, state, action, task)
            return state, (action, step)

        _, (actions, steps) = lax.scan(body, state, jax.random.split(of_steps, self.env.horizon))
        return task, observation, actions, steps

    @functools.cached_property
    def episodes(self):
        return jax.tree.map(np.asarray, self.many(self.keys))


made = functools.cache(Made)
every_env = pytest.mark.parametrize("name", sorted(MAKE))


def same(a, b):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-6), a, b)


@every_env
def test_the_check_of_forms_finds_nothing(name):
    env = made(name).env
    assert envs.checked(env) is env


@every_env
def test_shapes_dtypes_and_numbers(name):
    env = made(name).env
    _, first, actions, steps = made(name).episodes
    size, many = env.observation_size, (EPISODES, env.horizon)
    assert (first.shape, first.dtype) == ((EPISODES, size), np.float32)
    assert (steps.observation.shape, steps.observation.dtype) == ((*many, size), np.float32)
    assert (steps.reward.shape, steps.reward.dtype) == (many, np.float32)
    assert (steps.done.shape, steps.done.dtype) == (many, np.bool_)
    assert actions.shape[2:] == envs.action_like(env).shape and actions.dtype == envs.action_like(env).dtype
    assert all(np.isfinite(x).all() for x in (first, steps.observation, steps.reward))


@every_env
def test_rewards_are_within_the_range(name):
    low, high = made(name).env.reward_range
    reward = made(name).episodes[3].reward
    assert low <= reward.min() and reward.max() <= high


@every_env
def test_an_episode_ends_at_the_horizon_and_never_before_for_nothing(name):
    done = made(name).episodes[3].done
    assert done[:, -1].all()
    if name not in ("navigation", "navigation-in-units", "cart-pole"):
        assert not done[:, :-1].any()


@every_env
def test_tasks_and_episodes_differ(name):
    task, _, _, steps = made(name).episodes
    if name == "dependent-bandit-p":
        assert sorted(np.unique(task.round(4))) == [np.float32(0.1), np.float32(0.9)]
    else:
        assert all(len(np.unique(leaf.reshape(EPISODES, -1), axis=0)) == EPISODES for leaf in jax.tree.leaves(task))
    told = np.concatenate([steps.reward[..., None], steps.observation], axis=-1).reshape(EPISODES, -1)
    assert len(np.unique(told, axis=0)) > 10


@pytest.mark.parametrize("name", sorted(MAKE.keys() - {"dependent-bandit-p"}))
def test_many_at_once_are_as_one_by_one(name):
    for i in (0, EPISODES - 1):
        same(made(name).one(made(name).keys[i]), jax.tree.map(lambda x, i=i: x[i], made(name).episodes))


@every_env
def test_a_step_is_the_same_without_compiling_and_a_second_time(name):
    """Pure: what was passed is not changed, and gives the same again."""
    env, key = made(name).env, jax.random.key(7)
    action = envs.random_action(key, env)

    def take(key):
        task = env.sample_task(key)
        return env.step(key, env.reset(key, task)[0], action, task)

    once = take(key)
    same(once, take(key))
    same(once, jax.jit(take)(key))


# What each environment is.


def test_a_bernoulli_arm_pays_its_probability():
    env = envs.bernoulli_bandit(arms=3, pulls=5)
    task = jnp.array([0.0, 0.3, 1.0])
    keys = jax.random.split(jax.random.key(0), 20_000)
    pull = lambda key, arm: env.step(key, jnp.int32(0), arm, task)[1].reward
    reward = np.asarray(jax.jit(jax.vmap(jax.vmap(pull, (0, None)), (None, 0)))(keys, jnp.arange(3)))
    assert set(np.unique(reward)) == {0, 1}
    assert reward[0].max() == 0 and reward[2].min() == 1
    assert abs(reward[1].mean() - 0.3) < 4 * math.sqrt(0.3 * 0.7 / 20_000)


def test_tasks_of_bandits_are_of_their_distributions():
    keys = jax.random.split(jax.random.key(0), 10_000)
    sample = lambda env: np.asarray(jax.jit(jax.vmap(env.sample_task))(keys))
    uniform = sample(envs.bernoulli_bandit(arms=2, pulls=1))
    normal = sample(envs.gaussian_bandit(arms=2, pulls=1))
    dependent = sample(envs.dependent_bandit())
    certain = sample(envs.dependent_bandit(p=0.1))
    wanted = (uniform, 0.5, 1 / 12), (normal, 0, 1), (dependent, 0.5, 1 / 12), (certain, 0.5, 0.16)
    for tasks, mean, variance in wanted:
        assert abs(tasks.mean(axis=0) - mean).max() < 0.04
        assert abs(tasks.var(axis=0) - variance).max() < 0.05 * max(variance, 0.2)
    assert abs(np.corrcoef(uniform.T)[0, 1]) < 0.04 and abs(np.corrcoef(normal.T)[0, 1]) < 0.04
    for tasks in (dependent, certain):
        np.testing.assert_allclose(tasks.sum(axis=1), 1, rtol=1e-6)


def test_a_gaussian_arm_pays_its_mean_and_noise():
    env = envs.gaussian_bandit(arms=2, pulls=5, noise=0.5)
    pull = lambda key: env.step(key, jnp.int32(0), jnp.int32(1), jnp.array([-3.0, 2.0]))[1].reward
    reward = np.asarray(jax.jit(jax.vmap(pull))(jax.random.split(jax.random.key(0), 20_000)))
    assert abs(reward.mean() - 2) < 4 * 0.5 / math.sqrt(20_000)
    assert abs(reward.std() - 0.5) < 0.01


def test_an_mdp_moves_and_pays_as_its_task_says():
    env = envs.tabular_mdp(states=3, actions=2, horizon=4)
    keys = jax.random.split(jax.random.key(0), 20_000)

    @jax.jit
    def run(keys):
        tasks = jax.vmap(env.sample_task)(keys)
        task = jax.tree.map(lambda x: x[0], tasks)
        state = env.reset(keys[0], task)[0]._replace(state=jnp.int32(2))
        after, step = jax.vmap(lambda key: env.step(key, state, jnp.int32(1), task))(keys)
        return tasks, task, after, step

    tasks, task, after, step = jax.tree.map(np.asarray, run(keys))
    share = np.bincount(after.state, minlength=3) / len(keys)
    np.testing.assert_allclose(share, task.transition[2, 1], atol=4 * 0.5 / math.sqrt(len(keys)))
    np.testing.assert_array_equal(step.observation, np.eye(3)[after.state])
    assert abs(step.reward.mean() - task.reward[2, 1]) < 4 / math.sqrt(len(keys))
    assert abs(step.reward.std() - 1) < 0.02
    # Where it goes does not depend on what is paid.
    assert abs(np.corrcoef(step.reward, after.state)[0, 1]) < 0.03
    # N(1, 1), and Dirichlet of ones: mean 1 / S, variance (S - 1) / (S^2 (S + 1)).
    assert abs(tasks.reward.mean() - 1) < 0.01 and abs(tasks.reward.std() - 1) < 0.01
    np.testing.assert_allclose(tasks.transition.sum(axis=-1), 1, rtol=1e-5)
    np.testing.assert_allclose(tasks.transition.mean(axis=0), 1 / 3, atol=0.01)
    np.testing.assert_allclose(tasks.transition.var(axis=0), 2 / 36, atol=0.002)


def test_what_cannot_come_is_not_drawn():
    keys = jax.random.split(jax.random.key(0), 5_000)
    drawn = jax.jit(jax.vmap(draw, (0, None)))(keys, jnp.array([0.0, 0.5, 0.0, 0.5, 0.0]))
    assert set(np.unique(drawn)) == {1, 3}
    assert abs(np.mean(drawn == 1) - 0.5) < 0.03


def navigate(goal, actions):
    """The point in NumPy."""
    place, out = np.zeros(2), []
    for action in actions:
        place = place + np.clip(action, -0.1, 0.1)
        out.append((*place, -np.hypot(*(place - goal)), (abs(place - goal) < 0.01).all()))
    return np.array(out)


def test_the_point_moves_as_in_numpy():
    env, goal = envs.point_navigation(horizon=12), np.array([0.33, -0.34])
    actions = np.clip(np.linspace([0.3, -0.3], [0.02, 0.0], 12), -0.2, 0.2)
    actions[4:] = 0.0
    actions[4] = goal - navigate(goal, actions[:4])[-1, :2] + [0.004, 0.005]

    @jax.jit
    def run(goal, actions):
        state = env.reset(jax.random.key(0), goal)[0]
        return lax.scan(lambda state, action: env.step(jax.random.key(0), state, action, goal), state, actions)[1]

    steps = run(jnp.asarray(goal, jnp.float32), jnp.asarray(actions, jnp.float32))
    wanted = navigate(goal, actions)
    np.testing.assert_allclose(steps.observation, wanted[:, :2], atol=1e-6)
    np.testing.assert_allclose(steps.reward, wanted[:, 2], atol=1e-6)
    np.testing.assert_array_equal(steps.done[:-1], wanted[:-1, 3])
    assert not wanted[3, 3] and wanted[4, 3] and steps.done[-1]


def test_a_half_circle_pays_near_its_goal_alone():
    """Catches a goal below the origin or off the circle, a reward from afar, and a step that is not clipped."""
    env = envs.semi_circle(horizon=25)
    goals = np.asarray(jax.jit(jax.vmap(env.sample_task))(jax.random.split(jax.random.key(0), 2000)))
    np.testing.assert_allclose(np.linalg.norm(goals, axis=-1), 1, rtol=1e-5)
    angles = np.arctan2(goals[:, 1], goals[:, 0])
    assert 0 <= angles.min() < 0.02 and 0 < np.pi - angles.max() < 0.02
    assert angles.mean() == pytest.approx(np.pi / 2, abs=0.06)
    rng = np.random.default_rng(0)
    goal = np.array([np.cos(1.2), np.sin(1.2)], np.float32)
    actions = (0.05 * goal + 0.02 * rng.normal(size=(25, 2))).astype(np.float32)
    actions[3], actions[4] = (0.5, -0.5), (-0.5, 0.5)  # which are clipped

    def body(state, action):
        return env.step(jax.random.key(0), state, action, jnp.asarray(goal))

    steps = jax.jit(lambda actions: lax.scan(body, env.reset(jax.random.key(0), goal)[0], actions)[1])(actions)
    places = np.cumsum(np.clip(actions, -0.1, 0.1), axis=0)
    distance = np.linalg.norm(places - goal, axis=-1)
    wanted = np.where(distance <= 0.2, 1 - distance, 0)
    assert 0 < (wanted > 0).sum() < 25, "the walk is near the goal for a while"
    np.testing.assert_allclose(steps.observation, places, atol=1e-5)
    np.testing.assert_allclose(steps.reward, wanted, atol=1e-5)
    assert steps.done.tolist() == [False] * 24 + [True]


def test_the_point_has_a_derivative_at_the_goal_too():
    env = envs.point_navigation()
    reward = lambda action: (
        env.step(jax.random.key(0), env.reset(jax.random.key(0), jnp.zeros(2))[0], action, jnp.zeros(2))[1].reward
    )
    at_goal, off = jax.jit(jax.vmap(jax.grad(reward)))(jnp.array([[0.0, 0.0], [0.03, 0.04]]))
    np.testing.assert_allclose(at_goal, 0)
    np.testing.assert_allclose(off, [-0.6, -0.8], rtol=1e-5)


def balance(motion, pushes, mass, length):
    """The cart-pole in NumPy, by Newton's laws: two linear equations for the two accelerations.

    (M + m) x'' + m l cos(a) a'' = f + m l a'^2 sin(a),   m l cos(a) x'' + (4/3) m l^2 a'' = m g l sin(a)
    """
    out = []
    for right in pushes:
        _, speed, angle, turn = motion
        both = mass * length * np.cos(angle)
        left_side = [[1 + mass, both], [both, 4 / 3 * mass * length**2]]
        force = (10.0 if right else -10.0) + mass * length * turn**2 * np.sin(angle)
        speeding, turning = np.linalg.solve(left_side, [force, 9.8 * mass * length * np.sin(angle)])
        motion = motion + 0.02 * np.array([speed, speeding, turn, turning])
        out.append(motion)
    return np.array(out)


@pytest.mark.parametrize(("mass", "length"), [(0.1, 0.5), (0.45, 0.9)])
def test_the_cart_pole_moves_as_in_numpy(mass, length):
    env, start = cart_pole_of_tests(), np.array([0.01, -0.02, 0.03, 0.04])
    pushes = np.array([1, 0] + 23 * [1])
    steps = cart_pole_run()(
        jnp.asarray(start, jnp.float32),
        jnp.asarray(pushes, jnp.int32),
        envs.Pole(jnp.float32(mass), jnp.float32(length)),
    )
    wanted = balance(start, pushes, mass, length)
    np.testing.assert_allclose(steps.observation, wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(steps.reward, 1)
    fallen = (abs(wanted[:, 2]) > np.deg2rad(12)) | (abs(wanted[:, 0]) > 2.4)
    assert fallen.any() and not fallen.all()
    np.testing.assert_array_equal(steps.done, fallen | (np.arange(1, 26) >= env.horizon))


cart_pole_of_tests = functools.cache(lambda: envs.cart_pole(horizon=24))


@functools.cache
def cart_pole_run():
    env = cart_pole_of_tests()

    def run(start, pushes, task):
        state = envs.CartPoleState(start, jnp.int32(0))
        return lax.scan(lambda state, push: env.step(jax.random.key(0), state, push, task), state, pushes)[1]

    return jax.jit(run)


def test_the_cart_ends_at_the_edge():
    task = envs.Pole(jnp.float32(0.1), jnp.float32(0.5))
    steps = cart_pole_run()(jnp.array([2.39, 1.0, 0.0, 0.0]), jnp.zeros(25, jnp.int32), task)
    assert steps.done[0] and steps.observation[0, 0] > 2.4


def test_poles_are_within_their_ranges():
    env = envs.cart_pole(mass=(0.2, 0.3), length=(0.7, 0.7))
    tasks = jax.jit(jax.vmap(env.sample_task))(jax.random.split(jax.random.key(0), 1000))
    assert 0.2 <= tasks.mass.min() < 0.21 and 0.29 < tasks.mass.max() <= 0.3
    np.testing.assert_allclose(tasks.length, 0.7, rtol=1e-6)


def test_random_actions_are_within_their_bounds():
    env = envs.point_navigation()
    for box, low, high in (
        (Box(3, -0.1, 0.1), -0.1, 0.1),
        (Box(3, 2.0, 5.0), 2, 5),
        (Box(3, -math.inf, math.inf), -1, 1),
        (Box(2, (-1.0, 0.0), (1.0, 5.0)), np.array([-1, 0]), np.array([1, 5])),
    ):
        draw_one = lambda key, box=box: envs.random_action(key, env._replace(action=box))
        actions = np.asarray(jax.jit(jax.vmap(draw_one))(jax.random.split(jax.random.key(0), 300)))
        width = np.subtract(high, low)
        assert np.all(np.float32(low) <= actions.min(0)) and np.all(actions.min(0) < low + 0.1 * width)
        assert np.all(actions.max(0) <= np.float32(high)) and np.all(actions.max(0) > high - 0.1 * width)


def test_actions_in_units_are_the_environments_own():
    navigation = envs.point_navigation(horizon=3)
    env = envs.unit_actions(navigation)
    goal, key = jnp.array([0.2, -0.1]), jax.random.key(0)
    state, first = env.reset(key, goal)
    same((state, first), navigation.reset(key, goal))
    units = jnp.array([0.5, -7.0])
    same(env.step(key, state, units, goal), navigation.step(key, state, jnp.array([0.05, -0.7]), goal))
    assert env._replace(step=navigation.step, action=navigation.action) == navigation
    taken = []
    env = envs.unit_actions(
        navigation._replace(action=Box(2, 2.0, 5.0), step=lambda key, state, action, task: taken.append(action))
    )
    env.step(key, state, jnp.array([-1.0, 0.5]), goal)
    np.testing.assert_allclose(taken[0], [2, 4.25])
    box = Box(2, (-1.0, 0.0), (1.0, 5.0))
    env = envs.unit_actions(navigation._replace(action=box, step=lambda key, state, action, task: taken.append(action)))
    assert env.action == Box(2, -1.0, 1.0)
    env.step(key, state, jnp.array([1.0, -0.5]), goal)
    np.testing.assert_allclose(taken[1], [1, 1.25])
    pole = envs.cart_pole()
    assert envs.unit_actions(pole) is pole


# What is refused.


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: envs.bernoulli_bandit(arms=0, pulls=3), "arms must be 1 or more, got 0"),
        (lambda: envs.bernoulli_bandit(arms=2, pulls=0), "pulls must be 1 or more, got 0"),
        (lambda: envs.bernoulli_bandit(arms=2, pulls=10**20), "pulls must be 2147483647 or less, got 1000"),
        (lambda: envs.gaussian_bandit(arms=2, pulls=3, noise=0.0), "noise must be a finite number above 0"),
        (lambda: envs.gaussian_bandit(arms=-1, pulls=3), "arms must be 1 or more, got -1"),
        (lambda: envs.dependent_bandit(p=1.5), "p must be a probability from 0 to 1"),
        (lambda: envs.dependent_bandit(p=math.nan), "p must be a probability from 0 to 1"),
        (lambda: envs.tabular_mdp(states=0), "states must be 1 or more, got 0"),
        (lambda: envs.tabular_mdp(actions=0), "actions must be 1 or more, got 0"),
        (lambda: envs.point_navigation(horizon=0), "horizon must be 1 or more, got 0"),
        (
            lambda: envs.unit_actions(envs.point_navigation()._replace(action=Box(2, -math.inf, 1.0))),
            "actions must have finite bounds to be brought to -1 and 1, got -inf and 1.0",
        ),
        (lambda: envs.cart_pole(mass=(0.5, 0.1)), r"mass must be a range \(low, high\) with 0 < low <= high"),
        (lambda: envs.cart_pole(length=(0.0, 0.1)), "length must be a range"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(make, message):
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_a_number_of_arms_is_whole():
    with pytest.raises(TypeError, match=r"arms must be an integer, got 2\.5"):
        envs.bernoulli_bandit(arms=2.5, pulls=3)  # pyright: ignore[reportArgumentType]


def with_step(**changes):
    env = envs.point_navigation()

    def step(key, state, action, task):
        state, step = env.step(key, state, action, task)
        return state, step._replace(**{name: change(getattr(step, name)) for name, change in changes.items()})

    return env._replace(step=step)


def broken(name):
    env = envs.point_navigation()
    return {
        "reward shape": lambda: with_step(reward=lambda r: r[None]),
        "reward dtype": lambda: with_step(reward=lambda r: r.astype(jnp.int32)),
        "done": lambda: with_step(done=lambda d: d.astype(jnp.float32)),
        "truncated": lambda: with_step(truncated=lambda _: jnp.float32(0)),
        "bounds": lambda: env._replace(action=Box(2, (0.0, 0.0), (1.0, 1.0, 1.0))),
        "one bound": lambda: env._replace(action=Box(2, (0.0, 1.0), 1.0)),
        "observation": lambda: with_step(observation=lambda o: o[:1]),
        "reset": lambda: env._replace(reset=lambda key, task: env.reset(key, task)[0].position),
        "reset observation": lambda: env._replace(reset=lambda key, task: (0, [1.0])),
        "no step": lambda: env._replace(step=lambda key, state, action, task: (state, state.position, 0.0)),
        "not a step": lambda: env._replace(step=lambda key, state, action, task: (state, (state.position, 0.0, True))),
        "state": lambda: env._replace(
            step=lambda *args: (env.step(*args)[0]._replace(time=jnp.float32(1)), env.step(*args)[1])
        ),
        "crash": lambda: env._replace(step=lambda key, state, action, task: (state, state.nothing)),
        "task": lambda: env._replace(sample_task=lambda key: jnp.zeros(2) + jnp.zeros(3)),
        "host": lambda: env._replace(step=lambda key, state, action, task: (state, float(action[0]))),
        "horizon": lambda: env._replace(horizon=0),
        "size": lambda: env._replace(observation_size=2.5),
        "action": lambda: env._replace(action=3),
        "discrete": lambda: env._replace(action=Discrete(0)),
        "box": lambda: env._replace(action=Box(2, 1.0, -1.0)),
        "range": lambda: env._replace(reward_range=(1.0, 0.0)),
    }[name]()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("reward shape", r"the reward of step must be float32 \[\], since it is of one step, got float32 \[1\]"),
        ("reward dtype", r"the reward of step must be float32 \[\], .* got int32 \[\]"),
        ("truncated", r"truncated of step must be bool \[\], .* got float32 \[\]"),
        ("bounds", "Box must have a size of 1 or more and low below high"),
        ("one bound", "Box must have a size of 1 or more and low below high"),
        ("done", r"done of step must be bool \[\], .* got float32 \[\]"),
        (
            "observation",
            r"the observation of step must be float32 \[2\], since .* is 2, got float32 \[1\]",
        ),
        ("reset", r"reset\(key, task\) must return \(state, observation\), got a ShapeDtypeStruct"),
        (
            "reset observation",
            r"the observation of reset must be float32 \[2\], since .* is 2, got a list",
        ),
        ("no step", r"step must return \(state, Step\), got 3 values"),
        ("not a step", "got a tuple in place of the Step"),
        ("state", r"of the form that reset gives, .*time=int32\[\]\), got .*time=float32\[\]\)"),
        ("crash", "step cannot be traced: AttributeError: .*nothing"),
        ("task", r"sample_task\(key\) cannot be traced: TypeError"),
        ("host", "step cannot be traced: ConcretizationTypeError"),
        ("horizon", "horizon must be an integer, 1 or more, got 0"),
        ("size", r"observation_size must be an integer, 0 or more, got 2\.5"),
        ("action", "action must be Discrete or Box, got 3"),
        ("discrete", "Discrete must have 1 action or more, got 0"),
        ("box", "Box must have a size of 1 or more and low below high"),
        ("range", r"reward_range must be \(least, largest\), got \(1\.0, 0\.0\)"),
    ],
)
def test_a_broken_environment_is_found_before_it_runs(name, message):
    with pytest.raises(ValueError, match=message) as caught:
        envs.checked(broken(name))
    assert "\n" not in str(caught.value)


def test_nothing_runs_while_forms_are_checked():
    ran = []
    env = envs.point_navigation()

    def step(key, state, action, task):
        jax.debug.callback(lambda: ran.append(1))
        return env.step(key, state, action, task)

    envs.checked(env._replace(step=step))
    assert not ran and isinstance(env.step(jax.random.key(0), *start(env)), tuple)


def start(env):
    task = jnp.zeros(2)
    return env.reset(jax.random.key(0), task)[0], jnp.zeros(2), task


def test_a_step_has_names():
    assert Step._fields == ("observation", "reward", "done", "truncated")
    assert Step(jnp.zeros(1), jnp.float32(0), jnp.bool_(True)).truncated is False
