"""`jmeta rl`, end to end: train, evaluate, plot, presets, and what it refuses."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_rl import TINY, options

from jmeta import cli
from jmeta.errors import RunError
from jmeta.rl.experiment import agent_of, build, env_of, rate_of
from jmeta.rl.policies import Decision
from jmeta.rl.rollout import Trajectory
from jmeta.rl.settings import Choice, check, defaults
from jmeta.rl.types import Box, Discrete
from jmeta.runs.engine import folder, record
from jmeta.runs.engine.area import from_preset, presets
from jmeta.runs.engine.checkpoints import restored
from jmeta.runs.engine.options import Options
from jmeta.runs.rl import AREA, PROGRAMS, evaluate, plot, train
from jmeta.runs.rl.references import references
from jmeta.runs.rl.trained import load
from jmeta.settings import replaced, to_dict

pytestmark = pytest.mark.standard_promotion


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Two seeds in one program."""
    return train(TINY, options(tmp_path_factory.mktemp("rl") / "whole", seeds=2))


@pytest.mark.long
def test_the_best_checkpoint_is_that_of_the_best_validation(tmp_path):
    """A rate that ruins the policy later on: the best comes before the newest, and evaluation may have either."""
    result = train(replaced(TINY, {"outer_lr": 0.5, "updates": 6}), options(tmp_path / "run", save_every=1, seed=2))
    scores = [row["val_returns"] for row in result.rows]
    best = 1 + int(np.argmax(scores))
    assert best < 6, "choose another seed"
    assert restored(result.run_dir, build(TINY).init, "best")[0] == best
    for checkpoint, step in (("best", best), ("newest", 6)):
        config = evaluate.Config(run_dir=str(result.run_dir), tasks=50, compare=False, checkpoint=checkpoint)
        assert evaluate.main(config)["steps"] == [step]


@pytest.mark.long
def test_a_seed_that_diverged_is_left_out(whole, tmp_path):
    path = shutil.copytree(whole.run_dir, tmp_path / "group")
    summary = json.loads((path / folder.SUMMARY).read_text())
    summary["members"]["seed0"] = {"diverged_at": 3}
    (path / folder.SUMMARY).write_text(json.dumps(summary))
    assert list(load(path, "newest").params) == [path / "seed1"]


@pytest.mark.parametrize("value", [1, None])
def test_a_name_that_is_no_setting_is_refused_by_all_that_read_the_folder(whole, tmp_path, value):
    """Whoever goes on and whoever evaluates; of a group, in the folder of each member too."""
    for name in (folder.GROUP, f"seed1/{folder.CONFIG}"):
        path = shutil.copytree(whole.run_dir, tmp_path / name.replace("/", "-"))
        stored = json.loads((path / name).read_text())
        (path / name).write_text(json.dumps({**stored, "updats": value}))
        for read in (lambda at: load(at, "newest"), lambda at: train(TINY, options(at, seeds=2, resume=True))):
            with pytest.raises(RunError, match="has updats, which is no setting here: did you mean updates"):
                read(path)


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


def test_more_tasks_than_memory_has_room_for_are_refused(whole, monkeypatch, capsys):
    """Catches keys that are drawn before anybody asks how many: a traceback, or a machine without memory."""
    monkeypatch.setattr("jmeta.runs.engine.devices._memory", lambda: 2.0**30)
    for program in ("evaluate", "plot"):
        assert cli.main(["rl", program, "--run-dir", str(whole.run_dir), "--tasks", "100000000"]) == 2
        assert "the tasks of --tasks 100000000 take 2.24 GiB, and 1 GiB are free" in capsys.readouterr().err


def test_the_whole_command(tmp_path, capsys):
    folder = str(tmp_path / "run")
    words = "--algorithm rl2 --env dependent-bandit --p 0.2 --pulls 5 --units 4 --meta-batch-size 8 --updates 2 "
    words += "--log-every 1"
    assert cli.main(["rl", "train", *words.split(), "--save-every", "1", "--run-dir", folder]) == 0
    assert cli.main(["rl", "train", "--resume", "--run-dir", folder, "--env", "dependent-bandit"]) == 0
    assert cli.main(["rl", "evaluate", "--run-dir", folder, "--tasks", "50"]) == 0
    shown = capsys.readouterr().out
    assert "exact optimum" in shown and "step 2/2" in shown
    assert cli.main(["rl"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in PROGRAMS)


@pytest.mark.long
def test_a_run_of_maml_is_resumed_evaluated_and_drawn(tmp_path, capsys):
    folder = tmp_path / "run"
    words = (
        "--algorithm maml --env navigation --horizon 5 --units 4 --meta-batch-size 2 --episodes 2 --test-episodes 2 "
    )
    words += "--val-tasks 2 --inner-lr 0.1 0.05 --outer-schedule constant --updates 2 --log-every 1 --save-every 1"
    assert cli.main(["rl", "train", *words.split(), "--run-dir", str(folder)]) == 0
    resumed = load(folder, "newest").settings
    assert (resumed.algorithm, resumed.learner.inner_lr, resumed.world.horizon) == ("maml", (0.1, 0.05), 5)
    assert cli.main(["rl", "train", "--resume", "--updates", "3", "--run-dir", str(folder)]) == 0
    assert cli.main(["rl", "train", "--resume", "--units", "8", "--run-dir", str(folder)]) == 2
    assert "--units 4, not 8" in capsys.readouterr().err
    assert cli.main(["rl", "evaluate", "--run-dir", str(folder), "--tasks", "4"]) == 0
    shown = capsys.readouterr().out
    assert "(1 seed)" in shown and "| inner steps |" in shown
    assert cli.main(["rl", "plot", "--run-dir", str(folder), "--tasks", "4", "--paths", "2"]) == 0
    assert all((folder / name).stat().st_size > 5000 for name in ("training.png", "rounds.png", "paths.png"))


def test_each_inner_step_has_its_rate():
    np.testing.assert_allclose([rate_of((0.1, 0.05), step) for step in range(4)], [0.1, 0.05, 0.05, 0.05])


def test_the_test_has_rates_of_its_own_where_they_are_given():
    small = {"horizon": 5, "units": 4, "meta_batch_size": 2, "episodes": 2, "test_steps": 2}
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
        ("--meta-batch-size 6 --minibatches 4", "divide the 6 trials"),
        ("--updates 0", "--updates must be 1 or more, got 0"),
        ("--discount 1.5", "--discount must be 0 to 1, got 1.5"),
        ("--outer-lr 0", "--outer-lr must be a number above 0, got 0.0"),
        ("--outer-lr inf", "--outer-lr must be a number above 0, got inf"),
        ("--entropy-coef nan", "--entropy-coef must be 0 or more, got nan"),
        ("--policy slots", "bandit shows nothing to remember things by"),
        (
            "--algorithm maml --inner-lr 0.1 0",
            "--inner-lr must be a number above 0, got 0.0",
        ),
        (
            "--algorithm maml --test-lr 0.1 nan",
            "--test-lr must be a number above 0, got nan",
        ),
        ("--algorithm maml --inner-scale centred", "did you mean 'centered'"),
        ("--algorithm maml --test-episodes 0", "--test-episodes must be 1 or more"),
        ("--save-every 15 --log-every 10", "multiple of --log-every"),
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


@pytest.mark.parametrize(
    ("changes", "best"),
    [
        pytest.param({"env": "dependent-bandit", "p": 0.25, "pulls": 100}, 74.0, marks=pytest.mark.long),
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
    assert (short.returns.discount, short.returns.gae_lambda) == (1.0, 1.0)
    assert (long.returns.discount, long.returns.gae_lambda, long.training.meta_batch_size) == (0.99, 0.95, 1024)
    for env in ("dependent-bandit", "gaussian-bandit"):
        assert defaults(Choice("rl2", env, 100)) == defaults(Choice("rl2", env))
    words = "--pulls 40 --meta-batch-size 4 --units 2 --updates 1 --log-every 1 --save-every 1 --val-tasks 2 --run-dir"
    assert cli.main(["rl", "train", *words.split(), str(tmp_path / "run")]) == 0
    stored = record.load(tmp_path / "run").values
    assert (stored["pulls"], stored["discount"], stored["meta_batch_size"]) == (40, 0.99, 4)


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
def test_presets_name_their_source_and_all_that_they_set(name):
    settings, options = from_preset(AREA, name)
    assert presets(AREA)[name]["source"] and options.preset == name
    check(settings)
    # What is published must not move with a default.
    stated = {name for name, value in to_dict(settings).items() if value is not None}
    assert stated <= presets(AREA)[name].keys()


TRACED = ("maml-navigation", "rl2-mdp")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in TRACED else [pytest.mark.long]) for name in sorted(presets(AREA))]
)
def test_an_update_of_a_preset_keeps_the_form_of_its_state(name):
    experiment = build(from_preset(AREA, name)[0])
    state = jax.eval_shape(experiment.init, jax.random.key(0))
    assert jax.tree.structure(jax.eval_shape(experiment.update, state)[0]) == jax.tree.structure(state)


@pytest.mark.long
def test_a_preset_is_a_start(tmp_path):
    small = "--units 2 --meta-batch-size 4 --val-tasks 2 --updates 1 --log-every 1 --save-every 1 --run-dir"
    assert cli.main(["rl", "train", "--preset", "rl2-bandit-100", *small.split(), str(tmp_path / "run")]) == 0
    stored = record.load(tmp_path / "run").values
    assert (stored["preset"], stored["pulls"], stored["discount"], stored["meta_batch_size"]) == (
        "rl2-bandit-100",
        100,
        0.99,
        4,
    )


def test_another_experiment_is_no_run_of_this_area(whole, tmp_path):
    path = shutil.copytree(whole.run_dir / "seed1", tmp_path / "run")
    stored = json.loads((path / folder.CONFIG).read_text())
    assert stored["experiment"] == AREA.kind
    (path / folder.CONFIG).write_text(json.dumps({**stored, "experiment": "other"}))
    with pytest.raises(RunError, match="is a run of other, not rl"):
        load(path, "newest")
