"""Meta-reinforcement learning as an experiment: what settings can say, sweeps, devices, and validation."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jmeta.errors import RunError
from jmeta.rl.agent import update_keys
from jmeta.rl.envs.catalog import ENVIRONMENTS
from jmeta.rl.experiment import agent_of, build, env_of, evaluation_keys, policy_of, rewards_of, validation_keys
from jmeta.rl.maml_rl import maml_rl
from jmeta.rl.outer import trpo
from jmeta.rl.rl2 import rl2 as rl2_agent
from jmeta.rl.settings import START, Choice, Settings, check, defaults
from jmeta.settings import fields, names, read, replaced, to_dict
from jmeta.sharding import task_mesh

pytestmark = pytest.mark.standard_promotion

EVERY = [Choice(algorithm, env) for algorithm in START for env in ENVIRONMENTS]
BANDIT = {
    "arms": 2,
    "pulls": 4,
    "units": 4,
    "meta_batch_size": 8,
    "val_tasks": 6,
    "minibatches": 2,
    "epochs": 2,
    "updates": 4,
}
NAVIGATION = {
    "horizon": 5,
    "units": 4,
    "meta_batch_size": 4,
    "val_tasks": 3,
    "episodes": 3,
    "test_episodes": 2,
    "updates": 4,
}


def rl2(**changes):
    return replaced(defaults(Choice("rl2", "bandit")), BANDIT | changes)


def maml(**changes):
    return replaced(defaults(Choice("maml", "navigation")), NAVIGATION | {"outer": "promp"} | changes)


def taken(settings, mesh=None, updates=3):
    """The state after some updates, and their metrics."""
    experiment = build(settings)
    run = jax.jit(
        lambda state: jax.lax.scan(lambda state, _: experiment.update(state, mesh), state, None, length=updates)
    )
    return run(experiment.init(jax.random.key(5)))


@pytest.mark.parametrize("settings", [rl2(), maml()], ids=["rl2", "maml"])
def test_parameters_and_updates_have_keys_of_their_own(settings):
    """With one for both, what the first update draws is what the parameters are made of."""
    env, key, seen = env_of(settings.env, settings.world), jax.random.key(5), []
    policy = policy_of(settings.network, env, env.horizon)
    policy = policy._replace(init=lambda key, init=policy.init: (seen.append(jax.random.key_data(key)), init(key))[1])
    if settings.algorithm == "rl2":
        agent = rl2_agent(env, policy, optimizer=optax.sgd(0.1), trials=8)
    else:
        agent = maml_rl(env, policy, outer=trpo(), inner_lr=0.1)
    state = agent.init(key)
    drawn = [seen[0], jax.random.key_data(state.key), *jax.random.key_data(update_keys(state, 3))]
    assert len({tuple(data.tolist()) for data in drawn}) == 5
    assert all(data.tolist() != jax.random.key_data(key).tolist() for data in drawn[:2])


def start(settings):
    return build(settings).init(jax.random.key(5)).params


def near(one, other, rtol=2e-4, atol=2e-5):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=atol), one, other)


@pytest.mark.parametrize("choice", EVERY, ids=lambda choice: f"{choice.algorithm}-{choice.env}")
def test_defaults_are_allowed_and_come_back_from_their_record(choice):
    settings = defaults(choice)
    check(settings)
    assert read(defaults(choice), to_dict(settings), "the record") == settings
    assert len(names(settings)) == len(set(names(settings)))
    parts = [settings, settings.world, settings.network, settings.learner, settings.returns, settings.training]
    assert all(len(dataclasses.fields(part)) <= 14 for part in parts)
    with pytest.raises(RunError, match="minibatches" if choice.algorithm == "maml" else "inner_lr"):
        replaced(settings, {"minibatches": 2} if choice.algorithm == "maml" else {"inner_lr": (0.1,)})


def test_every_environment_has_a_row_and_takes_what_it_says():
    for name, row in ENVIRONMENTS.items():
        world = row.settings()
        env = env_of(name, world)
        assert env.horizon in [getattr(world, name, None) for name in ("horizon", "pulls", "length")]
        assert row.blind == (env.observation_size == 0)


def test_the_help_names_every_environment():
    assert all(f" {name}," in Settings.__doc__ for name in ENVIRONMENTS)


def test_what_can_be_swept():
    assert set(names(rl2(), "swept")) == {"outer_lr", "entropy_coef", "discount", "gae_lambda", "value_coef"}
    assert set(names(maml(), "swept")) == {"outer_lr", "discount", "gae_lambda", "value_coef"}


SWEEPS = {
    "ppo": (rl2(), {"outer_lr": 0.02, "entropy_coef": 0.3, "discount": 0.5, "gae_lambda": 0.4, "value_coef": 2.0}),
    "a2c": (rl2(objective="a2c", outer_schedule="constant"), {"outer_lr": 0.02, "entropy_coef": 0.3, "discount": 0.5}),
    "promp": (
        maml(baseline="learned", surrogate="dice", outer_schedule="linear"),
        {"outer_lr": 0.02, "discount": 0.6, "gae_lambda": 0.3, "value_coef": 40.0},
    ),
    "trpo": (maml(outer="trpo"), {"discount": 0.6, "gae_lambda": 0.3}),
}


def with_long(table, long):
    """The rows of a table as parameters, some of them for `--all`: what they add is in another too."""
    rows = {name: row if isinstance(row, tuple) else (row,) for name, row in table.items()}
    return [pytest.param(*row, id=name, marks=[pytest.mark.long] * (name in long)) for name, row in rows.items()]


@pytest.mark.parametrize(("settings", "changes"), with_long(SWEEPS, ("ppo", "promp", "trpo")))
def test_a_traced_setting_gives_what_its_run_gives(settings, changes):
    """Swept settings are arguments of the program; to rounding, each run is its single one."""

    def run(values):
        experiment = build(replaced(settings, values))
        step = lambda state, _: experiment.update(state, None)
        return jax.lax.scan(step, experiment.init(jax.random.key(5)), None, length=3)[0].params

    start = {name: value for field, value in fields(settings) if (name := field.name) in changes}
    both = {name: jnp.array([start[name], changes[name]], jnp.float32) for name in changes}
    # TRPO's conjugate gradients make much of a vmap's rounding where the Fisher matrix is close to singular.
    over = functools.partial(jax.lax.map, run) if getattr(settings.learner, "outer", "") == "trpo" else jax.vmap(run)
    swept = jax.jit(over)(both)
    for i, own in enumerate((settings, replaced(settings, changes))):
        near(jax.tree.map(lambda a, i=i: a[i], swept), taken(own)[0].params, rtol=2e-3, atol=2e-4)
    apart = [float(jnp.abs(a[0] - a[1]).max()) for a in jax.tree.leaves(swept)]
    assert max(apart) > 1e-3


SHARED = {
    "ppo": rl2(meta_batch_size=16),
    "a-minibatch-of-6": rl2(meta_batch_size=12),
    "promp": maml(baseline="learned", inner_steps=2),
    "trpo": maml(outer="trpo"),
}


@pytest.mark.parametrize("settings", with_long(SHARED, ("ppo", "promp", "trpo")))
def test_four_devices_equal_one(settings):
    mesh = task_mesh()
    assert mesh.size == 4
    # The conjugate gradients of a second step would multiply the rounding of the first.
    updates = 1 if getattr(settings.learner, "outer", None) == "trpo" else 3
    one, metrics = taken(settings, updates=updates)
    four, of_four = taken(settings, mesh, updates)
    assert (
        max(np.abs(a - b).max() for a, b in zip(*map(jax.tree.leaves, (one.params, start(settings))), strict=True))
        > 1e-3
    )
    near(four.params, one.params)
    near(of_four, metrics)


@pytest.mark.long
def test_devices_share_the_tasks():
    """What a device computes of an update is a part: the rows of a trajectory are laid over the mesh."""
    experiment = build(rl2(meta_batch_size=16, objective="a2c"))
    state = experiment.init(jax.random.key(0))
    text = {
        mesh is None: jax.jit(lambda state, mesh=mesh: experiment.update(state, mesh)).lower(state).compile()
        for mesh in (None, task_mesh())
    }
    flops = {alone: compiled.cost_analysis()["flops"] for alone, compiled in text.items()}
    assert flops[False] < 0.5 * flops[True]
    assert "all-reduce" in text[False].as_text()


@pytest.mark.parametrize(("settings", "rounds"), [(rl2(episodes=2), 2), (maml(test_steps=1), 2)], ids=["rl2", "maml"])
def test_validation_is_the_test_on_tasks_of_its_own(settings, rounds):
    experiment = build(settings)
    params = experiment.init(jax.random.key(1)).params
    found = jax.jit(experiment.validate)(params)
    tasks = settings.training.val_tasks
    env = env_of(settings.env, settings.world)
    agent = agent_of(settings, env)
    each = jax.jit(jax.vmap(lambda key: rewards_of(agent, env, params, key)))
    rewards = np.asarray(each(validation_keys(tasks)))
    assert rewards.shape == (tasks, rounds)
    counts = rewards.sum(axis=1) if settings.algorithm == "rl2" else rewards[:, -1]
    np.testing.assert_allclose(found[experiment.score.name], counts, rtol=1e-5)
    assert experiment.score.sign == 1.0
    held_out = {tuple(key) for key in np.asarray(jax.random.key_data(validation_keys(2000))).tolist()}
    assert not held_out & {tuple(key) for key in np.asarray(jax.random.key_data(evaluation_keys(2000))).tolist()}


def test_what_an_update_does_is_counted():
    assert build(rl2(episodes=3)).counts == {"tasks": 8, "env_steps": 8 * 3 * 4}
    assert build(maml(inner_steps=2)).counts == {"tasks": 4, "env_steps": 4 * 3 * 5 * 3}
    experiment = build(rl2(updates=7))
    assert (experiment.steps, experiment.tasks, experiment.light) == (7, 8, True)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (rl2(policy="slots"), "bandit shows nothing to remember things by"),
        (rl2(policy="mlp"), "learns in a memory"),
        (maml(policy="gru"), "--policy must be mlp, got gru"),
        (maml(inner_lr=()), "--inner-lr must be one rate or more"),
        (maml(test_lr=()), "--test-lr must be one rate or more"),
        (maml(test_lr=(0.1, float("nan"))), "--test-lr must be a number above 0, got nan"),
        (rl2(discount=1.5), "--discount must be 0 to 1, got 1.5"),
        (rl2(value_coef=-1.0), "--value-coef must be 0 or more, got -1.0"),
        (rl2(val_tasks=0), "--val-tasks must be 1 or more, got 0"),
    ],
)
def test_what_does_not_go_together_is_refused(settings, says):
    with pytest.raises(RunError) as caught:
        check(settings)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (rl2(meta_batch_size=6, minibatches=4), "divide the 6 trials"),
        (maml(meta_batch_size=1, credit=True), "tasks must be 2 or more"),
    ],
)
def test_sizes_that_do_not_go_together_are_refused(settings, says):
    with pytest.raises(RunError, match=says):
        build(settings)


def test_the_first_settings_are_rl2_on_a_bandit():
    assert defaults() == replaced(Settings(), {"updates": 1000})
