"""`jmeta rl`, end to end: train, resume to the same bits, evaluate, plot, and what it refuses."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jmeta.rl.programs.references import references
from jmeta.rl.programs.settings import Config, agent_of, defaults, env_of, rate_of, start
from jmeta.runs.memory import enough_memory

from jmeta import cli
from jmeta.errors import RunError
from jmeta.rl.policies import Decision
from jmeta.rl.programs import PROGRAMS, evaluate, plot, train
from jmeta.rl.rollout import Trajectory
from jmeta.rl.types import Box, Discrete

pytestmark = pytest.mark.standard_promotion

TINY = dataclasses.replace(
    defaults("rl2", "bandit"), arms=2, pulls=3, units=4, tasks=8, minibatches=2, epochs=1, updates=4, log_every=1,
    save_every=2, seeds=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rl") / "whole"
    return train.train(dataclasses.replace(TINY, run_dir=str(folder)))


def test_a_stopped_run_resumes_to_the_same_bits(whole, tmp_path):
    config = dataclasses.replace(TINY, run_dir=str(tmp_path / "cut"))
    asked = iter([None, None, None, 15])
    cut = train.train(config, stop=lambda: next(asked))
    assert (cut.step, cut.stopped_by) == (3, 15)
    result = train.train(dataclasses.replace(config, resume=True))
    assert result.step == whole.step == 4
    jax.tree.map(np.testing.assert_array_equal, result.state.params, whole.state.params)
    without = [{k: v for k, v in row.items() if "second" not in k} for row in result.rows]
    assert without == [{k: v for k, v in row.items() if "second" not in k} for row in whole.rows]
    assert [row["step"] for row in result.rows] == [1, 2, 3, 4]
    with pytest.raises(RunError, match="already holds a run"):
        train.train(config)
    with pytest.raises(RunError, match=r"another run .*arms 2 and not 3"):
        train.train(dataclasses.replace(config, arms=3, resume=True))


def test_evaluation_stands_beside_the_exact_optimum(whole, capsys):
    result = evaluate.main(evaluate.Config(run_dir=str(whole.run_dir), tasks=200))
    shown = capsys.readouterr().out
    assert json.loads((whole.run_dir / "evaluation.json").read_text())["mean"] == result["mean"]
    assert result["tasks"] == 200
    assert len(result["seeds"]) == 2
    known = {row["name"]: row["total"] for row in result["references"]}
    assert known["exact optimum"] > known["random"]
    assert known["random"] == pytest.approx(1.5, abs=0.05)
    assert known["exact optimum"] >= known["Thompson sampling"] - 0.03
    assert 1.0 < result["mean"] < known["exact optimum"] + 0.1
    assert "exact optimum" in shown and "rl2" in shown


def test_the_whole_command(tmp_path, capsys):
    folder = str(tmp_path / "run")
    words = "--algorithm rl2 --env dependent-bandit --p 0.2 --pulls 5 --units 4 --tasks 8 --updates 2 --log-every 1"
    assert cli.main(["rl", "train", *words.split(), "--save-every", "1", "--run-dir", folder]) == 0
    assert cli.main(["rl", "train", "--resume", "--run-dir", folder, "--env", "dependent-bandit"]) == 0
    assert cli.main(["rl", "evaluate", "--run-dir", folder, "--tasks", "50"]) == 0
    shown = capsys.readouterr().out
    assert "exact optimum" in shown and "update 2/2" in shown
    assert cli.main(["rl"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in PROGRAMS)


def test_a_run_of_maml_is_resumed_evaluated_and_drawn(tmp_path, capsys):
    folder = tmp_path / "run"
    words = "--algorithm maml --env navigation --horizon 5 --units 4 --tasks 2 --episodes 2 --test-episodes 2 "
    words += "--inner-lr 0.1 0.05 --lr-schedule constant --updates 2 --log-every 1 --save-every 1"
    assert cli.main(["rl", "train", *words.split(), "--run-dir", str(folder)]) == 0
    resumed = train.start(["--resume", "--run-dir", str(folder)])
    assert (resumed.algorithm, resumed.inner_lr, resumed.horizon) == ("maml", (0.1, 0.05), 5)
    assert cli.main(["rl", "train", "--resume", "--updates", "3", "--run-dir", str(folder)]) == 0
    assert cli.main(["rl", "train", "--resume", "--units", "8", "--run-dir", str(folder)]) == 2
    assert "units 4 and not 8" in capsys.readouterr().err
    assert cli.main(["rl", "evaluate", "--run-dir", str(folder), "--tasks", "4"]) == 0
    shown = capsys.readouterr().out
    assert "(1 seed)" in shown and "| inner steps | 0 | 1 | 2 | 3 |" in shown
    assert cli.main(["rl", "plot", "--run-dir", str(folder), "--tasks", "4", "--paths", "2"]) == 0
    assert all((folder / name).stat().st_size > 5000 for name in ("training.png", "rounds.png", "paths.png"))


def test_each_inner_step_has_its_rate():
    np.testing.assert_allclose([rate_of((0.1, 0.05), step) for step in range(4)], [0.1, 0.05, 0.05, 0.05])


def test_the_test_has_rates_of_its_own_where_they_are_given():
    config = dataclasses.replace(defaults("maml", "navigation"), horizon=5, units=4, tasks=2, episodes=2, test_steps=2)
    env, key, goal = env_of(config), jax.random.key(0), jnp.array([0.3, 0.1])

    def rounds(**rates):
        agent = agent_of(dataclasses.replace(config, **rates), env)
        return np.asarray(jax.jit(agent.test)(agent.init(key).params, key, goal))

    own = rounds(inner_lr=(0.1,), test_lr=(0.9, 0.5))
    np.testing.assert_allclose(own, rounds(inner_lr=(0.9, 0.5), test_lr=None), rtol=1e-6)
    assert np.abs(own - rounds(inner_lr=(0.1,), test_lr=None))[1:].min() > 1e-3


def test_paths_are_cut_where_episodes_end():
    done = jnp.array([[0.0, 1.0, 0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]])
    weight = jnp.array([[1.0, 1.0, 1.0, 1.0, 1.0, 0.0], [1.0] * 6])
    inputs = jnp.arange(36.0).reshape(2, 6, 3)
    nothing = jnp.zeros((2, 6))
    found = plot.split(Trajectory(inputs, nothing, Decision(nothing, nothing), nothing, nothing, done, weight))
    assert [len(path) for path in found] == [2, 3, 6]
    np.testing.assert_array_equal(found[1], inputs[0, 2:5, :2])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--env bandid", "did you mean 'bandit'?\n"),
        ("--env bandit --arms 0", "arms"),
        ("--algorithm rl3", "did you mean 'rl2'"),
        ("--policy mlp", "learns in a memory"),
        ("--objective pp", "did you mean 'ppo'"),
        ("--tasks 6 --minibatches 4", "divide the 6 trials"),
        ("--updates 0", "--updates must be 1 or more, got 0"),
        ("--discount 1.5", "--discount must be in 0 to 1"),
        ("--lr 0", "--lr must be above 0"),
        ("--lr inf", "--lr must be above 0 and finite, got inf"),
        ("--entropy nan", "--entropy must be 0 or more and finite, got nan"),
        ("--policy slots", "bandit shows nothing to remember things by"),
        (
            "--algorithm maml --inner-lr 0.1 0",
            "rate or more, each above 0 and finite, got (0.1, 0.0)",
        ),
        (
            "--algorithm maml --test-lr 0.1 nan",
            "--test-lr must be one rate or more, each above 0 and finite, got (0.1, nan)",
        ),
        ("--algorithm maml --inner-scale centered", "did you mean 'centred'"),
        ("--algorithm maml --test-episodes 0", "--test-episodes must be 1 or more"),
        ("--save-every 15", "multiple of --log-every"),
        ("--algorithm maml --policy gru", "--policy must be mlp"),
    ],
)
def test_bad_settings_are_one_sentence(tmp_path, capsys, words, says):
    assert cli.main(["rl", "train", *words.split(), "--run-dir", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_no_run_folder_is_one_sentence(tmp_path, capsys):
    assert cli.main(["rl", "evaluate", "--run-dir", str(tmp_path)]) == 2
    assert "no run folder" in capsys.readouterr().err


def test_rewards_that_are_no_numbers_stop_the_run(tmp_path, monkeypatch):
    config = dataclasses.replace(TINY, run_dir=str(tmp_path / "run"))
    env = env_of(config)

    def broken(key, state, action, task):
        state, step = env.step(key, state, action, task)
        return state, step._replace(reward=step.reward * np.nan)

    monkeypatch.setattr(train, "env_of", lambda _: env._replace(step=broken))
    with pytest.raises(RunError, match="rewards or losses are not finite"):
        train.train(config)


def test_too_little_memory_is_a_sentence(tmp_path, monkeypatch):
    def full(state):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.")

    monkeypatch.setattr(train, "advance", lambda agent, updates: full)
    with pytest.raises(
        RunError, match="512 tasks of 1 episodes don't fit into the device's memory: give a smaller --tasks"
    ):
        train.train(dataclasses.replace(defaults(), run_dir=str(tmp_path / "run")))


def test_no_other_error_is_taken_for_too_little_memory():
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"), enough_memory("too little"):
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")


@pytest.mark.parametrize(
    ("changes", "best"),
    [
        ({"env": "dependent-bandit", "p": 0.25, "pulls": 100}, 74.0),
        ({"env": "mdp", "states": 2, "actions": 2, "horizon": 2, "episodes": 2}, None),
        ({"env": "navigation", "horizon": 100}, -0.506),
        ({"env": "cart-pole"}, None),
    ],
)
def test_what_is_known_of_an_environment(changes, best):
    config = dataclasses.replace(Config(), **changes)
    known = references(config, env_of(config), tasks=300)
    if config.env == "cart-pole":
        assert known == []
        return
    assert best is None or known[0].total == pytest.approx(best, abs=1e-3)
    assert all(row.total <= known[0].total for row in known)
    if config.env == "mdp":
        names = ["knows the MDP", "UCRL2, a tenth of its bounds", "OPSRL", "PSRL", "greedy", "random"]
        assert [row.name for row in known] == names
        for row in known:
            assert row.rounds is not None and sum(row.rounds) == pytest.approx(row.total, rel=1e-4)


def test_defaults_are_of_the_environment():
    assert defaults("rl2", "mdp").episodes == 10
    assert defaults("maml", "navigation").policy == "mlp"
    assert isinstance(defaults("rl2", "no-such"), Config)


def test_real_actions_are_in_units_of_their_bounds():
    """So that one rate is right for all layers of a policy, whatever the size of actions."""
    assert env_of(defaults("maml", "navigation")).action == Box(2, -1.0, 1.0)
    assert env_of(defaults("maml", "cart-pole")).action == Discrete(2)


def test_defaults_of_a_bandit_are_for_its_length():
    short, long = start(["--pulls", "10"]), start(["--env=bandit", "--pulls=100"])
    assert short == defaults() and long.pulls == 100
    assert (short.discount, short.trace, long.discount, long.trace) == (1.0, 1.0, 0.99, 0.95)
    assert start(["--pulls", "many"]) == short
    assert start(["--env", "dependent-bandit", "--pulls", "100"]) == defaults("rl2", "dependent-bandit")
    assert start(["--env", "gaussian-bandit", "--pulls", "100"]) == defaults("rl2", "gaussian-bandit")
