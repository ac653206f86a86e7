"""`jmeta rl`, end to end: train, resume to the same bits, evaluate, plot, and what it refuses."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jmeta import cli
from jmeta.errors import RunError
from jmeta.rl import experiment
from jmeta.rl.experiment import agent_of, build, env_of, rate_of
from jmeta.rl.policies import Decision
from jmeta.rl.rollout import Trajectory
from jmeta.rl.settings import Choice, check, defaults
from jmeta.rl.types import Box, Discrete
from jmeta.runs.engine import folder, programs, record
from jmeta.runs.engine.area import presets
from jmeta.runs.engine.memory import enough_memory
from jmeta.runs.engine.options import Options
from jmeta.runs.engine.restore import restored
from jmeta.runs.engine.train import train as train_by_engine
from jmeta.runs.rl import AREA, PROGRAMS, evaluate, plot, train
from jmeta.runs.rl.references import references
from jmeta.runs.rl.trained import load
from jmeta.settings import read, replaced, to_dict

pytestmark = pytest.mark.standard_promotion
ROOT = str(Path(cli.__file__).parent.parent)

TINY = replaced(
    defaults(Choice("rl2", "bandit")),
    {"arms": 2, "pulls": 3, "units": 4, "tasks": 8, "val_tasks": 16, "minibatches": 2, "epochs": 1, "updates": 4},
)
EVERY = Options(log_every=1, save_every=2)
BANDIT = "--env bandit --arms 2 --pulls 3 --units 4 --tasks 8 --val-tasks 16 --minibatches 2 --epochs 1 --updates 4 "
BANDIT += "--log-every 1 --save-every 2"


def options(folder, **changes):
    return replaced(EVERY, {"run_dir": str(folder), **changes})


def command(folder, *words):
    return cli.main(["rl", "train", *BANDIT.split(), *map(str, words), "--run-dir", str(folder)])


def without_clock(rows):
    return [{k: v for k, v in row.items() if "second" not in k} for row in rows]


def rows_of(folder_of_run):
    return without_clock(folder.read_rows(folder_of_run / folder.METRICS))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Two seeds in one program."""
    return train(TINY, options(tmp_path_factory.mktemp("rl") / "whole", seeds=2))


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """The second of them by itself."""
    return train(TINY, options(tmp_path_factory.mktemp("rl") / "single", seed=1))


def test_a_stopped_run_resumes_to_the_same_bits(whole, tmp_path):
    own = options(tmp_path / "cut", seeds=2)
    asked = iter([None, None, None, 15])
    cut = train(TINY, own, stop=lambda: next(asked))
    assert (cut.step, cut.stopped_by) == (3, 15)
    result = train(TINY, replaced(own, {"resume": True}))
    assert result.step == whole.step == 4
    for name in ("seed0", "seed1"):
        jax.tree.map(np.testing.assert_array_equal, result.states[name].params, whole.states[name].params)
        assert rows_of(result.run_dir / name) == rows_of(whole.run_dir / name)
        assert [row["step"] for row in rows_of(result.run_dir / name)] == [1, 2, 3, 4]
    with pytest.raises(RunError, match="already holds a run"):
        train(TINY, own)
    with pytest.raises(RunError, match=r"another configuration .*--arms 2, not 3"):
        train(replaced(TINY, {"arms": 3}), replaced(own, {"resume": True}))


def test_each_seed_of_a_group_is_its_single_run(whole, single):
    jax.tree.map(np.testing.assert_array_equal, whole.states["seed1"].params, single.params)
    assert rows_of(whole.run_dir / "seed1") == without_clock(single.rows) != rows_of(whole.run_dir / "seed0")
    for name in ("best", "newest"):
        of_group, alone = (restored(path, build(TINY).init, name) for path in (whole.run_dir / "seed1", single.run_dir))
        assert of_group[0] == alone[0]
        jax.tree.map(np.testing.assert_array_equal, of_group[1].params, alone[1].params)


def test_the_record_says_what_was_trained_by_what(single):
    stored = record.load(single.run_dir)
    assert stored.kind == "rl"
    assert to_dict(TINY).items() <= stored.values.items()
    assert stored.facts["versions"]["jax"] == jax.__version__
    assert stored.facts["parameters"] == sum(leaf.size for leaf in jax.tree.leaves(single.params))
    assert (stored.facts["horizon"], stored.facts["action"]) == (3, {"n": 2})
    row = single.rows[-1]
    assert row["tasks_per_second"] > 0
    assert row["env_steps_per_second"] == pytest.approx(3 * row["tasks_per_second"], rel=1e-3)


def test_the_best_checkpoint_is_that_of_the_best_validation(tmp_path):
    """A rate that ruins the policy later on: the best comes before the newest, and evaluation may have either."""
    result = train(replaced(TINY, {"lr": 0.5, "updates": 6}), options(tmp_path / "run", save_every=1))
    scores = [row["val_returns"] for row in result.rows]
    best = 1 + int(np.argmax(scores))
    assert best < 6, "choose another seed"
    assert restored(result.run_dir, build(TINY).init, "best")[0] == best
    for checkpoint, step in (("best", best), ("newest", 6)):
        config = evaluate.Config(run_dir=str(result.run_dir), tasks=50, compare=False, checkpoint=checkpoint)
        assert evaluate.main(config)["steps"] == [step]


def test_a_signal_stops_the_command_and_resuming_gives_the_same_bits(single, tmp_path):
    """As a scheduler does it: SIGTERM once the first row is written, then the same command with --resume."""
    run_dir = tmp_path / "run"
    words = [sys.executable, "-m", "jmeta", "rl", "train", *BANDIT.split(), "--seed", "1", "--run-dir", str(run_dir)]
    words[words.index("--updates") + 1] = "200000"
    words += ["--lr-schedule", "constant", "--entropy", "0"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": ROOT})
    waited = time.monotonic() + 120
    while time.monotonic() < waited and process.poll() is None:
        if (run_dir / folder.METRICS).exists() and (run_dir / folder.METRICS).read_text().endswith("}\n"):
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 143, error
    stopped = len(rows_of(run_dir))
    assert f"stopped and saved at step {stopped}" in error and stopped >= 1
    end = stopped + 3
    free = replaced(TINY, {"lr_schedule": "constant", "entropy": 0.0, "updates": end})
    resumed = train(free, options(run_dir, seed=1, resume=True))
    straight = train(free, options(tmp_path / "straight", seed=1))
    assert resumed.step == end
    jax.tree.map(np.testing.assert_array_equal, resumed.params, straight.params)


def test_swept_rates_are_runs_of_their_own(tmp_path, capsys):
    assert command(tmp_path / "swept", "--sweep", "lr=0.003,0.1", "entropy=0.01,0.3") == 0
    names = record.members_of(tmp_path / "swept")
    assert names == [f"lr{lr}-entropy{entropy}" for lr in (0.003, 0.1) for entropy in (0.01, 0.3)]
    assert command(tmp_path / "own", "--lr", 0.1, "--entropy", 0.3) == 0
    paths = tmp_path / "swept" / names[-1], tmp_path / "own"
    swept, own = (restored(path, build(TINY).init, "newest")[1] for path in paths)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4), swept.params, own.params)
    assert len({json.dumps(rows_of(tmp_path / "swept" / name)) for name in names}) == 4
    assert cli.main(["rl", "evaluate", "--run-dir", str(tmp_path / "swept"), "--tasks", "20"]) == 2
    assert "several settings (lr=0.003,0.1, entropy=0.01,0.3): name one" in capsys.readouterr().err
    assert cli.main(["rl", "evaluate", "--run-dir", str(tmp_path / "swept" / names[0]), "--tasks", "20"]) == 0
    assert command(tmp_path / "other", "--sweep", "clip=0.1,0.2") == 2
    assert "--sweep takes" in capsys.readouterr().err


def test_devices_share_the_tasks_of_a_run(single, tmp_path):
    four = train(TINY, options(tmp_path / "four", seed=1, devices=4))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5), four.params, single.params)
    assert record.load(four.run_dir).values["devices"] == 4
    assert record.load(single.run_dir).values["devices"] == 1
    with pytest.raises(RunError, match="--tasks must be a multiple of the 3 devices, got 8"):
        train(TINY, options(tmp_path / "three", devices=3))


def test_a_seed_that_diverged_is_left_out(whole, tmp_path):
    path = shutil.copytree(whole.run_dir, tmp_path / "group")
    summary = json.loads((path / folder.SUMMARY).read_text())
    summary["members"]["seed0"] = {"diverged_at": 3}
    (path / folder.SUMMARY).write_text(json.dumps(summary))
    assert list(load(path, "newest").params) == [path / "seed1"]


def test_evaluation_stands_beside_the_exact_optimum(whole, capsys):
    result = evaluate.main(evaluate.Config(run_dir=str(whole.run_dir), tasks=200))
    shown = capsys.readouterr().out
    assert json.loads((whole.run_dir / "evaluation.json").read_text())["mean"] == result["mean"]
    assert result["tasks"] == 200
    assert len(result["seeds"]) == 2 and result["steps"] == [4, 4]
    alone = [
        evaluate.main(evaluate.Config(run_dir=str(whole.run_dir / name), tasks=200, compare=False))["mean"]
        for name in ("seed0", "seed1")
    ]
    assert result["seeds"] == alone and result["mean"] == pytest.approx(np.mean(alone))
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
    assert "exact optimum" in shown and "step 2/2" in shown
    assert cli.main(["rl"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in PROGRAMS)


def test_a_run_of_maml_is_resumed_evaluated_and_drawn(tmp_path, capsys):
    folder = tmp_path / "run"
    words = "--algorithm maml --env navigation --horizon 5 --units 4 --tasks 2 --episodes 2 --test-episodes 2 "
    words += "--val-tasks 2 --inner-lr 0.1 0.05 --lr-schedule constant --updates 2 --log-every 1 --save-every 1"
    assert cli.main(["rl", "train", *words.split(), "--run-dir", str(folder)]) == 0
    resumed = load(folder, "newest").settings
    assert (resumed.algorithm, resumed.learner.inner_lr, resumed.world.horizon) == ("maml", (0.1, 0.05), 5)
    assert cli.main(["rl", "train", "--resume", "--updates", "3", "--run-dir", str(folder)]) == 0
    assert cli.main(["rl", "train", "--resume", "--units", "8", "--run-dir", str(folder)]) == 2
    assert "--units 4, not 8" in capsys.readouterr().err
    assert cli.main(["rl", "evaluate", "--run-dir", str(folder), "--tasks", "4"]) == 0
    shown = capsys.readouterr().out
    assert "(1 seed)" in shown and "| inner steps | 0 | 1 | 2 | 3 |" in shown
    assert cli.main(["rl", "plot", "--run-dir", str(folder), "--tasks", "4", "--paths", "2"]) == 0
    assert all((folder / name).stat().st_size > 5000 for name in ("training.png", "rounds.png", "paths.png"))


def test_each_inner_step_has_its_rate():
    np.testing.assert_allclose([rate_of((0.1, 0.05), step) for step in range(4)], [0.1, 0.05, 0.05, 0.05])


def test_the_test_has_rates_of_its_own_where_they_are_given():
    small = {"horizon": 5, "units": 4, "tasks": 2, "episodes": 2, "test_steps": 2}
    settings = replaced(defaults(Choice("maml", "navigation")), small)
    env, key, goal = env_of(settings.env, settings.world), jax.random.key(0), jnp.array([0.3, 0.1])

    def rounds(**rates):
        agent = agent_of(replaced(settings, rates), env)
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
        ("--discount 1.5", "--discount must be 0 to 1, got 1.5"),
        ("--lr 0", "--lr must be a number above 0, got 0.0"),
        ("--lr inf", "--lr must be a number above 0, got inf"),
        ("--entropy nan", "--entropy must be 0 or more, got nan"),
        ("--policy slots", "bandit shows nothing to remember things by"),
        (
            "--algorithm maml --inner-lr 0.1 0",
            "--inner-lr must be a number above 0, got 0.0",
        ),
        (
            "--algorithm maml --test-lr 0.1 nan",
            "--test-lr must be a number above 0, got nan",
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
    env = env_of(TINY.env, TINY.world)

    def broken(key, state, action, task):
        state, step = env.step(key, state, action, task)
        return state, step._replace(reward=step.reward * np.nan)

    monkeypatch.setattr(experiment, "env_of", lambda *_: env._replace(step=broken))
    with pytest.raises(RunError, match="no longer finite at step 1; there is no checkpoint yet"):
        train(TINY, options(tmp_path / "run"))


def test_too_little_memory_is_a_sentence(tmp_path, monkeypatch):
    compiled = programs.compiled

    def of_a_full_device(*args):
        made = compiled(*args)

        def full(states, steps):
            if isinstance(states.step, jax.core.Tracer):
                return made.advance(states, steps)
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.")

        return made._replace(advance=full)

    monkeypatch.setattr(programs, "compiled", of_a_full_device)
    with pytest.raises(
        RunError, match="8 tasks of a step don't fit into the device's memory: give a smaller --tasks, --episodes or"
    ):
        train(TINY, options(tmp_path / "run"))


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
    env = changes.pop("env")
    settings = replaced(defaults(Choice("rl2", env)), changes)
    known = references(env, settings.world, env_of(env, settings.world), settings.learner.episodes, tasks=300)
    if env == "cart-pole":
        assert known == []
        return
    assert best is None or known[0].total == pytest.approx(best, abs=1e-3)
    assert all(row.total <= known[0].total for row in known)
    if env == "mdp":
        names = ["knows the MDP", "UCRL2, a tenth of its bounds", "OPSRL", "PSRL", "greedy", "random"]
        assert [row.name for row in known] == names
        for row in known:
            assert row.rounds is not None and sum(row.rounds) == pytest.approx(row.total, rel=1e-4)


def test_defaults_are_of_the_environment():
    assert defaults(Choice("rl2", "mdp")).learner.episodes == 10
    assert defaults(Choice("maml", "navigation")).network.policy == "mlp"
    assert AREA.defaults(Choice("rl2", "mdp"))[1] == Options(log_every=5, save_every=10)
    with pytest.raises(RunError, match="there is no environment 'navigatoin': did you mean 'navigation'"):
        defaults(Choice("maml", "navigatoin"))


def test_real_actions_are_in_units_of_their_bounds():
    """So that one rate is right for all layers of a policy, whatever the size of actions."""
    for env, action in (("navigation", Box(2, -1.0, 1.0)), ("cart-pole", Discrete(2))):
        assert env_of(env, defaults(Choice("maml", env)).world).action == action


def test_defaults_of_a_bandit_are_for_its_length(tmp_path):
    short, long = (defaults(Choice(pulls=pulls)) for pulls in (10, 100))
    assert short == defaults() and long.world.pulls == 100
    assert (short.returns.discount, short.returns.trace) == (1.0, 1.0)
    assert (long.returns.discount, long.returns.trace, long.training.tasks) == (0.99, 0.95, 1024)
    for env in ("dependent-bandit", "gaussian-bandit"):
        assert defaults(Choice("rl2", env, 100)) == defaults(Choice("rl2", env))
    words = "--pulls 40 --tasks 4 --units 2 --updates 1 --log-every 1 --save-every 1 --val-tasks 2 --run-dir"
    assert cli.main(["rl", "train", *words.split(), str(tmp_path / "run")]) == 0
    stored = record.load(tmp_path / "run").values
    assert (stored["pulls"], stored["discount"], stored["tasks"]) == (40, 0.99, 4)


def test_a_run_whose_length_decides_goes_on_to_the_same_end_alone(single, tmp_path):
    """Rate and entropy fall over all updates: another number of them would have made other ones before."""
    run_dir = shutil.copytree(single.run_dir, tmp_path / "run")
    assert command(run_dir, "--seed", 1, "--resume", "--updates", 8) == 2
    with pytest.raises(RunError, match=r"--updates 4, not 8.* over which its rate or entropy falls"):
        train(replaced(TINY, {"updates": 8}), options(run_dir, seed=1, resume=True))
    assert train(TINY, options(run_dir, seed=1, resume=True)).step == 4


@pytest.mark.parametrize(
    "words",
    [
        "--env bandit --horizon 5",
        "--env navigation --arms 3",
        "--algorithm maml --env navigation --minibatches 2",
        "--algorithm rl2 --inner-lr 0.1",
        "--algorithm rl2 --log-std 0.5",
    ],
)
def test_what_an_algorithm_or_an_environment_lacks_has_no_flag(tmp_path, capsys, words):
    assert cli.main(["rl", "train", *words.split(), "--run-dir", str(tmp_path / "run")]) == 2
    assert words.split()[-2] in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", sorted(presets(AREA)))
def test_presets_name_their_source_and_build(name):
    values = presets(AREA)[name]
    assert values.pop("source")
    choice = Choice(values["algorithm"], values["env"], values.get("pulls"))
    settings = read(AREA.defaults(choice)[0], values, name)
    check(settings)
    experiment = build(settings)
    state = jax.eval_shape(experiment.init, jax.random.key(0))
    assert jax.tree.structure(jax.eval_shape(experiment.update, state)[0]) == jax.tree.structure(state)
    assert values.items() <= to_dict(settings).items()


def test_a_preset_is_a_start(tmp_path):
    small = "--units 2 --tasks 4 --val-tasks 2 --updates 1 --log-every 1 --save-every 1 --run-dir"
    assert cli.main(["rl", "train", "--preset", "rl2-bandit-100", *small.split(), str(tmp_path / "run")]) == 0
    stored = record.load(tmp_path / "run").values
    assert (stored["preset"], stored["pulls"], stored["discount"], stored["tasks"]) == ("rl2-bandit-100", 100, 0.99, 4)


def test_another_experiment_is_no_run_of_this_area(tmp_path):
    result = train_by_engine(build, TINY, options(tmp_path / "run"), kind="other")
    with pytest.raises(RunError, match="no run of jmeta rl train, but of other"):
        load(result.run_dir, "newest")
