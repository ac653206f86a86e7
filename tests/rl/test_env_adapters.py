"""Environments of others: gymnax, and plain Python as Gymnasium has it."""

import dataclasses
import importlib.util
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jmeta.rl import envs
from jmeta.rl.types import Box, Discrete


class Space:
    """A space by its attributes, as Gymnasium's have them."""

    def __init__(self, **attributes):
        self.__dict__.update(attributes)


class Walk:
    """A walk on the whole numbers, from a start that the seed draws, until it is at 3 or -3; the task is the pay."""

    action_space = Space(n=2, start=5, shape=())
    closed = 0

    def __init__(self, pay=1.0):
        self.pay = pay

    def reset(self, seed=None):
        self.place = int(np.random.default_rng(seed).integers(-1, 2))
        return np.array([self.place, 0.5]), {}

    def step(self, action):
        assert action in (5, 6)
        self.place += 1 if action == 6 else -1
        return np.array([self.place, 0.5]), self.pay * self.place, abs(self.place) == 3, False, {}

    def close(self):
        type(self).closed += 1


def walks(**options):
    pay = lambda key: jax.random.uniform(key, (), jnp.float32)
    return envs.from_gymnasium(Walk, horizon=6, sample_task=pay, **options)


def episode(env, actions):
    """`key -> (task, first observation, steps)`."""

    def run(key):
        task = env.sample_task(key)
        state, observation = env.reset(key, task)
        body = lambda state, action: env.step(key, state, action, task)
        return task, observation, lax.scan(body, state, actions)[1]

    return run


def test_many_python_walks_in_one_program():
    """Each with its own start and pay, and in the order of its own steps."""
    env = envs.checked(walks())
    assert (env.action, env.observation_size, env.horizon) == (Discrete(2), 2, 6)
    actions = np.array([1, 1, 0, 1, 1, 0, 0])
    run = jax.jit(jax.vmap(episode(env, jnp.asarray(actions, jnp.int32))))
    keys = jax.random.split(jax.random.key(0), 12)
    pays, first, steps = jax.tree.map(np.asarray, run(keys))
    assert len(np.unique(pays)) == 12 and len(np.unique(first[:, 0])) == 3
    for pay, start, step in zip(pays, first, zip(*steps, strict=True), strict=True):
        observation, reward, done, truncated = step
        places = start[0] + np.cumsum(2 * actions - 1)
        over = (abs(places) == 3) | (np.arange(1, 8) >= 6)
        last = int(over.argmax())
        np.testing.assert_array_equal(observation[: last + 1, 0], places[: last + 1])
        np.testing.assert_allclose(reward[: last + 1], pay * places[: last + 1], rtol=1e-6)
        assert not done[:last].any() and done[last:].all()
        assert not truncated[:last].any() and truncated[last] == (abs(places[last]) < 3)
        # Over: the environment is not asked again.
        assert not reward[last + 1 :].any() and not observation[last + 1 :].any()
    same = jax.tree.map(np.asarray, run(keys))
    jax.tree.map(np.testing.assert_array_equal, same, (pays, first, steps))


def test_all_rows_of_a_step_are_one_call_whatever_is_batched():
    """Catches a call for each, which costs more than the step, and rows that are mixed up by a `vmap` in a `vmap`."""
    env, task = walks(), jnp.float32(2)
    keys = jax.random.split(jax.random.key(3), (2, 3))

    def two_steps(key):
        state, first = env.reset(key, task)  # the task is the same for all
        state, step = env.step(key, state, jnp.int32(1), task)
        return first, step, env.step(key, state, jnp.int32(0), task)[1]

    program = jax.vmap(jax.vmap(two_steps))
    text = str(jax.make_jaxpr(program)(keys))
    assert text.count("io_callback[") == 3 and "scan[" not in text and "while[" not in text
    first, step, after = jax.jit(program)(keys)
    assert first.shape == (2, 3, 2) and len(np.unique(first[..., 0])) > 1
    np.testing.assert_array_equal(step.observation[..., 0], first[..., 0] + 1)
    np.testing.assert_array_equal(step.reward, 2 * step.observation[..., 0])
    np.testing.assert_array_equal(after.observation, first)


def test_environments_are_closed_when_they_are_done_or_have_to_make_place():
    env = walks(most_open=2)
    before = Walk.closed
    task = jnp.float32(1)
    states = [env.reset(jax.random.key(seed), task)[0] for seed in range(3)]
    jax.block_until_ready(states)
    assert Walk.closed == before + 1
    with pytest.raises(Exception, match="most_open=2"):
        jax.block_until_ready(env.step(jax.random.key(0), states[0], jnp.int32(1), task))
    state = states[2]
    for _ in range(4):
        state, step = env.step(jax.random.key(0), state, jnp.int32(1), task)
    assert step.done and Walk.closed == before + 2


def test_a_state_is_stepped_once_only():
    env = walks()
    state = env.reset(jax.random.key(0), jnp.float32(1))[0]
    jax.block_until_ready(env.step(jax.random.key(0), state, jnp.int32(1), jnp.float32(1)))
    with pytest.raises(
        Exception, match="can be stepped once only: it was after 0 steps, and the environment has taken 1"
    ):
        jax.block_until_ready(env.step(jax.random.key(0), state, jnp.int32(1), jnp.float32(1)))


class Slide(Walk):
    """Actions of real numbers, `[1, 2]` each, and an observation that is one of three kinds."""

    action_space = Space(shape=(1, 2), low=-np.ones((1, 2)), high=np.ones((1, 2)))
    observation_space = Space(n=3, start=1)

    def reset(self, seed=None):
        return 1, {}

    def step(self, action):
        assert action.shape == (1, 2) and abs(action).max() <= 1
        return 3, np.array([action.sum()]), False, True, {}


def test_boxes_and_kinds():
    env = envs.from_gymnasium(lambda seed: Slide(), horizon=3)
    assert env.action == Box(2, -1.0, 1.0) and env.observation_size == 3
    task = env.sample_task(jax.random.key(0))
    assert task.dtype == jnp.int32
    state, observation = env.reset(jax.random.key(0), task)
    state, step = env.step(jax.random.key(0), state, jnp.array([9.0, 0.25]), task)
    np.testing.assert_array_equal(observation, [1, 0, 0])
    np.testing.assert_array_equal(step.observation, [0, 0, 1])
    assert step.reward == 1.25 and step.done and step.truncated


def told(space, action):
    """What an environment of this action space is told."""
    heard = []

    class Told(Walk):
        action_space = space

        def step(self, action):
            heard.append(np.asarray(action).tolist())
            return np.zeros(2), 0.0, False, False, {}

    env = envs.from_gymnasium(lambda seed: Told(), horizon=3)
    task = env.sample_task(jax.random.key(0))
    jax.block_until_ready(env.step(jax.random.key(0), env.reset(jax.random.key(0), task)[0], action, task))
    return env.action, heard[-1]


def test_each_number_of_an_action_has_its_own_bounds():
    space = Space(shape=(2, 1), low=np.array([[-1.0], [0.0]]), high=np.array([[1.0], [5.0]]))
    assert told(space, jnp.array([-3.0, 9.0])) == (Box(2, (-1.0, 0.0), (1.0, 5.0)), [[-1.0], [5.0]])
    half = Space(shape=(2,), low=np.array([0.0, -np.inf]), high=np.full(2, np.inf))
    assert told(half, jnp.array([-3.0, -9.0])) == (Box(2, (0.0, -np.inf), np.inf), [0.0, -9.0])


def test_each_combination_of_choices_is_an_action():
    """Catches a MultiBinary of 3 that is taken for three actions, since it has an `n` as Discrete has."""
    several = Space(nvec=np.array([[2], [3]]), shape=(2, 1), start=np.array([[5], [0]]))
    assert [told(several, jnp.int32(i)) for i in (0, 2, 5)] == [
        (Discrete(6), [[5 + i // 3], [i % 3]]) for i in (0, 2, 5)
    ]
    assert told(Space(n=3, shape=(3,)), jnp.int32(6)) == (Discrete(8), [1, 1, 0])


def test_an_observation_of_parts_is_one_row_in_the_order_of_its_space():
    kinds, numbers = Space(n=3, start=1), Space(shape=(2, 1))
    parts = Space(spaces={"goal": Space(spaces=(kinds, Space(n=2, shape=(2,)))), "place": numbers})

    class Parts(Walk):
        observation_space = parts

        def reset(self, seed=None):
            return {"place": np.array([[0.5], [7]]), "goal": (np.int64(2), np.array([1, 0], np.int8))}, {}

        def step(self, action):
            return self.reset()[0], 0.0, False, False, {}

    env = envs.from_gymnasium(lambda seed: Parts(), horizon=3)
    assert env.observation_size == 7
    np.testing.assert_array_equal(env.reset(jax.random.key(0), 0)[1], [0, 1, 0, 1, 0, 0.5, 7])


def walk_with(**methods):
    """A walk whose `reset` or `step` returns something else."""
    return type("Other", (Walk,), {name: staticmethod(value) for name, value in methods.items()})


GOOD = (np.zeros(2), {})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (walk_with(reset=lambda seed: np.zeros(2)), r"reset\(seed=\) must return \(observation, info\), got a ndarray"),
        (walk_with(step=lambda a: (np.zeros(2), 0.0, True, {})), "terminated, truncated, info.*got 4 values"),
        (walk_with(step=lambda a: (np.zeros(3), 0.0, True, False, {})), "of step must have 2 numbers .*got 3"),
        (walk_with(step=lambda a: (np.zeros(2), np.zeros(2), True, False, {})), r"must be one number, got shape \[2\]"),
        (
            walk_with(step=lambda a: (np.zeros(2), np.nan, True, False, {})),
            "the reward of step must be finite, got nan",
        ),
        (
            walk_with(step=lambda a: (np.zeros(2), 7.0, True, False, {})),
            r"within reward_range \(-3\.0, 3\.0\), got 7\.0",
        ),
        (walk_with(step=lambda a: ([0, np.inf], 0.0, True, False, {})), "the observation of step must be finite"),
        (
            walk_with(reset=lambda seed: ({"a": 1}, {})),
            "the observation of reset must be an array of numbers, got a dict",
        ),
        (walk_with(step=None), "make must return an environment with reset and step, got a Other"),
        (type("Bare", (Walk,), {"action_space": None}), "Bare has no action_space: give from_gymnasium its action"),
        (type("Odd", (Walk,), {"action_space": Space(spaces=[])}), "an action space must be Discrete or Box"),
        (type("Many", (Walk,), {"action_space": Space(nvec=np.full(9, 3), shape=(9,))}), "or fewer, got 19683: "),
        (
            type("Else", (Walk,), {"observation_space": Space(spaces={"a": Space(shape=(1,))})}),
            "observation of reset must be <.*Space object at .*>, got a ndarray",
        ),
        (
            type("Outside", (Walk,), {"observation_space": Space(n=2)}),
            "observation of reset must be <.*Space object at .*>, got a ndarray",
        ),
    ],
)
def test_an_environment_of_another_form_is_refused_at_once(make, message):
    with pytest.raises(ValueError, match=message) as caught:
        envs.from_gymnasium(make, horizon=6, sample_task=lambda key: jnp.float32(1), reward_range=(-3.0, 3.0))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("options", [{"horizon": 0}, {"horizon": 3, "most_open": 0}])
def test_numbers_that_cannot_be(options):
    with pytest.raises(ValueError, match="must be 1 or more, got 0"):
        envs.from_gymnasium(Walk, **options)


def test_a_reward_that_becomes_nan_stops_the_program():
    class Late(Walk):
        def step(self, action):
            observation, reward, *rest = super().step(action)
            return observation, float("nan") if self.place == 2 else reward, *rest

    env = envs.from_gymnasium(lambda seed: Late(), horizon=6)
    run = jax.jit(episode(env, jnp.ones(6, jnp.int32)))
    with pytest.raises(Exception, match="the reward of step must be finite, got nan for action 6"):
        jax.block_until_ready(run(jax.random.key(0)))


# gymnax


def test_an_older_gymnax_is_refused():
    with pytest.raises(ValueError, match=r"gymnax 1\.0 or newer, got one without is_truncated"):
        envs.from_gymnax(Space(reset_env=None, step_env=None), None)


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Time:
    """The state of a `Clock`, a number of Python as gymnax starts with."""

    time: Any


@jax.tree_util.register_dataclass
@dataclasses.dataclass
class Params:
    """The parameters of a `Clock`."""

    rate: Any = 2.0
    max_steps_in_episode: Any = 3


class Clock:
    """What gymnax 1.0 has of an environment: it pays its rate, and ends at the limit of its parameters."""

    def action_space(self, params):
        return Space(shape=(1, 1), low=-1.0, high=2.0)

    def reset_env(self, key, params):
        return {"rate": params.rate, "time": 0}, Time(0)

    def step_env(self, key, state, action, params):
        after = Time(state.time + 1)
        reward = params.rate * action[0, 0]
        return {"rate": params.rate, "time": after.time}, after, reward, action[0, 0] < -0.5, {}

    def is_truncated(self, state, params):
        return state.time >= params.max_steps_in_episode


@pytest.mark.standard_promotion
def test_parameters_of_gymnax_are_the_task():
    sample = lambda key: Params(rate=jax.random.uniform(key, (), jnp.float32))
    env = envs.checked(envs.from_gymnax(Clock(), Params(), sample_params=sample))
    assert (env.action, env.observation_size, env.horizon) == (Box(1, -1.0, 2.0), 2, 3)
    actions = jnp.array([[9.0], [0.5], [-0.6], [0.0]])
    tasks, first, steps = jax.jit(jax.vmap(episode(env, actions)))(jax.random.split(jax.random.key(0), 4))
    assert len(np.unique(tasks.rate)) == 4
    np.testing.assert_allclose(first, jnp.stack([tasks.rate, jnp.zeros(4)], axis=1))
    np.testing.assert_allclose(steps.reward[:, :3], tasks.rate[:, None] * jnp.array([[2.0, 0.5, -0.6]]), rtol=1e-6)
    np.testing.assert_array_equal(steps.observation[0, :, 1], [1, 2, 3, 4])
    np.testing.assert_array_equal(steps.done[0], [False, False, True, True])
    assert not steps.truncated[0, 2], "an end that comes with the limit is an end"
    on = jax.jit(episode(env, jnp.zeros((3, 1))))(jax.random.key(0))[2]
    np.testing.assert_array_equal((on.done, on.truncated), 2 * [[False, False, True]])
    always = envs.from_gymnax(Clock(), Params())
    assert always.sample_task(jax.random.key(5)).rate == 2


@pytest.mark.standard_promotion
def test_a_discrete_observation_of_gymnax_is_one_hot():
    """Of one that a policy is shown as a number, in which state 3 is three times state 1."""

    class Place(Clock):
        def observation_space(self, params):
            return Space(spaces={"time": Space(n=5, shape=()), "rate": Space(shape=())})

    env = envs.checked(envs.from_gymnax(Place(), Params()))
    state, first = env.reset(jax.random.key(0), Params())
    _, step = env.step(jax.random.key(1), state, jnp.zeros(1), Params())
    np.testing.assert_array_equal([first, step.observation], [[1, 0, 0, 0, 0, 2], [0, 1, 0, 0, 0, 2]])


@pytest.mark.standard_promotion
@pytest.mark.skipif(importlib.util.find_spec("gymnax") is None, reason="gymnax is not installed")
@pytest.mark.parametrize("name", ["BernoulliBandit-misc", "Pendulum-v1"])
def test_gymnax_steps_the_same(name):
    """Until the end, where its own step starts anew, and with one key for all steps."""
    import gymnax

    made, params = gymnax.make(name)
    env = envs.checked(envs.from_gymnax(made, params))
    action = envs.random_action(jax.random.key(1), env)
    key = jax.random.key(2)

    @jax.jit
    def run():
        task = env.sample_task(key)
        ours = env.reset(key, task)[0]
        theirs = made.reset_env(key, params)[1]
        out = []
        for _ in range(3):
            ours, step = env.step(key, ours, action, task)
            seen, theirs, reward, _, _ = made.step_env(key, theirs, action, params)
            out.append((step, (seen, reward)))
        return out

    for step, (seen, reward) in run():
        np.testing.assert_allclose(step.observation, seen, rtol=1e-6)
        np.testing.assert_allclose(step.reward, np.reshape(reward, ()), rtol=1e-6)
        assert not step.done
    assert env.horizon == int(params.max_steps_in_episode)


@pytest.mark.standard_promotion
@pytest.mark.skipif(importlib.util.find_spec("gymnax") is None, reason="gymnax is not installed")
def test_what_gymnax_draws_at_reset_can_be_the_task():
    """The example of the docstring: the arms stay over episodes."""
    import gymnax

    made = envs.from_gymnax(*gymnax.make("BernoulliBandit-misc"))
    fixed = envs.checked(
        made._replace(
            sample_task=lambda key: (made.sample_task(key), key),
            reset=lambda key, task: made.reset(task[1], task[0]),
            step=lambda key, state, action, task: made.step(key, state, action, task[0]),
        )
    )
    arms = lambda task, reset: fixed.reset(reset, fixed.sample_task(task))[0].reward_probs
    keys = jax.random.split(jax.random.key(0), 8)
    drawn = jax.jit(jax.vmap(jax.vmap(arms, (None, 0)), (0, None)))(keys, keys)
    np.testing.assert_array_equal(drawn, jnp.broadcast_to(drawn[:, :1], drawn.shape))
    assert len(np.unique(drawn[:, 0, 0])) == 2
