"""Environments that other libraries have names for, on the command line from training to the end."""

import importlib
import json
import shutil

import jax
import pytest

from jmeta import cli
from jmeta.errors import RunError
from jmeta.rl.envs import installed
from jmeta.rl.envs.catalog import ENVIRONMENTS
from jmeta.rl.experiment import env_of
from jmeta.rl.settings import Choice, defaults
from jmeta.rl.types import Box, Discrete
from jmeta.settings import replaced

pytest.importorskip("gymnasium", reason="Gymnasium is not installed")
pytest.importorskip("gymnax", reason="gymnax is not installed")
pytestmark = pytest.mark.standard_promotion

TINY = "--units 4 --meta-batch-size 4 --val-tasks 2 --minibatches 2 --epochs 1 --updates 2 --log-every 1 --save-every 1"


def made(name, **changes):
    settings = replaced(defaults(Choice("rl2", name)), changes)
    return env_of(settings.env, settings.world)


@pytest.mark.parametrize(
    ("name", "action", "size", "horizon"),
    [
        ("gymnasium:CartPole-v1", Discrete(2), 4, 500),
        ("gymnasium:FrozenLake8x8-v1", Discrete(4), 64, 200),
        ("gymnasium:Pendulum-v1", Box(1, -1.0, 1.0), 3, 200),
        ("gymnax:CartPole-v1", Discrete(2), 4, 500),
        ("gymnax:BernoulliBandit-misc", Discrete(2), 4, 100),
    ],
)
def test_an_environment_is_made_by_its_name(name, action, size, horizon):
    """Catches a horizon that is not the library's own, and a name that loses its capitals on the way."""
    env = made(name)
    assert (env.action, env.observation_size, env.horizon) == (action, size, horizon)
    assert made(name, horizon=7).horizon == 7


def test_its_own_parameters_are_settings_and_reach_it():
    """Catches flags that are stored and never handed on, and those of a registered variant that are forgotten."""
    assert ENVIRONMENTS.get("gymnasium:FrozenLake8x8-v1").settings().map_name == "8x8"
    assert made("gymnasium:FrozenLake-v1", map_name="8x8").observation_size == 64
    key = jax.random.key(0)

    def falls(gravity):
        env = made("gymnax:CartPole-v1", gravity=gravity)
        task = env.sample_task(key)
        state, _ = env.reset(key, task)
        return env.step(key, state, jax.numpy.int32(1), task)[1].observation

    assert (falls(9.8) != falls(90.0)).any()


@pytest.mark.parametrize(
    ("name", "words", "told"),
    [
        ("gymnasium:FrozenLake-v1", "--no-is-slippery", {"is_slippery": False}),
        pytest.param("gymnax:CartPole-v1", "--gravity 9", {"gravity": 9.0}, marks=pytest.mark.long),
    ],
)
def test_a_run_is_trained_resumed_and_evaluated(name, words, told, tmp_path, capsys, monkeypatch):
    """Catches a run folder that does not bring its environment back, or asks for its code to be trusted."""
    monkeypatch.setenv("JMETA_CACHE", str(tmp_path / "cache"))
    run = str(tmp_path / "run")
    assert cli.main(["rl", "train", "--env", name, *f"{words} --horizon 5 {TINY}".split(), "--run-dir", run]) == 0
    stored = json.loads((tmp_path / "run" / "config.json").read_text())
    assert {"env": name, "horizon": 5, **told}.items() <= stored.items()
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "2")
    assert cli.main(["rl", "train", "--run-dir", run, "--resume"]) == 0
    assert cli.main(["rl", "evaluate", "--run-dir", run, "--tasks", "3"]) == 0
    capsys.readouterr()
    assert cli.main(["rl", "train", "--run-dir", run, "--resume", "--env", "gymnasium:CartPole-v1"]) == 2
    assert f"--env {name}, not gymnasium:CartPole-v1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gymnasium:CartPol-v1", r"gymnasium has no environment 'CartPol-v1': did you mean gymnasium:CartPole-v1\?"),
        ("gymnasium:cartpole-v1", r"did you mean gymnasium:CartPole-v1\?"),
        ("gymnasium:Pendulum", r"did you mean gymnasium:Pendulum-v1\?"),
        ("gymnax:CartPol", r"gymnax has no environment 'CartPol': did you mean gymnax:CartPole-v1\?"),
        ("gymnasium:Qqq", "choose one of its own, such as .*, or register yours in FILE.py and give FILE.py:NAME"),
        ("gymnasium", "there is no environment 'gymnasium': did you mean 'gymnasium:NAME'"),
        ("CartPole-v1", "there is no environment 'CartPole-v1': did you mean 'gymnasium:CartPole-v1'"),
        ("gym:FrozenLake-v1", "did you mean 'gymnasium:FrozenLake-v1'"),
    ],
)
def test_what_is_no_environment_is_answered_by_what_to_type(name, message):
    with pytest.raises(RunError, match=message) as caught:
        made(name)
    assert "\n" not in str(caught.value)


def test_an_environment_that_lacks_a_package_says_which():
    with pytest.raises(RunError, match=r"can't be made: ImportError: To use the gym compatibility .* run `pip install"):
        made("gymnasium:GymV21Environment-v0", horizon=5)


def test_an_environment_without_a_limit_of_steps_asks_for_one():
    with pytest.raises(RunError, match="gymnasium:Blackjack-v1 has no limit of steps of its own: give --horizon"):
        made("gymnasium:Blackjack-v1")
    assert made("gymnasium:Blackjack-v1", horizon=9).horizon == 9


@pytest.mark.parametrize("library", ["gymnasium", "gymnax"])
def test_a_library_that_is_not_installed_is_said(library, monkeypatch):
    def without(name, *rest):
        raise ImportError(name)

    monkeypatch.setattr(installed.importlib, "import_module", without)
    with pytest.raises(RunError, match=rf"{library}:NAME needs {library}, .*: pip install 'jmeta\[rl\]'"):
        ENVIRONMENTS.get(f"{library}:Nowhere-v0")
    monkeypatch.setattr(installed, "importlib", importlib)
