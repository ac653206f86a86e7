"""An environment of a file outside the package, on the command line from training to the end."""

import json

import jax
import jax.numpy as jnp
import pytest

from jmeta import cli
from jmeta.errors import RunError
from jmeta.rl.envs.catalog import ENVIRONMENTS
from jmeta.rl.experiment import env_of
from jmeta.rl.settings import Choice, defaults
from jmeta.settings import replaced, to_dict

pytestmark = pytest.mark.standard_promotion

MINE = '''
"""What a user would write."""

import types

import jax
import jax.numpy as jnp

from jmeta.rl.types import Discrete, Env, Step


def guess(kinds=3, horizon=4):
    """Which of some numbers is it?"""
    observation = jnp.ones((1,), jnp.float32)

    def reset(key, task):
        return jnp.int32(0), observation

    def step(key, state, action, task):
        reward = (action == task).astype(jnp.float32)
        return state + 1, Step(observation, reward, state + 1 >= horizon)

    sample = lambda key: jax.random.randint(key, (), 0, kinds, jnp.int32)
    return Env(sample, reset, step, Discrete(kinds), 1, horizon, (0.0, 1.0))


ready = guess(2)
wrong = guess()._replace(observation_size=7)


def clashes(val_tasks=3):
    return guess(val_tasks)


def nothing():
    return 3


class Walk:
    """A walk in Python"""

    action_space = types.SimpleNamespace(n=2, start=0, shape=())

    def __init__(self, length=3, render_mode="none"):
        self.length = length

    def reset(self, seed=None):
        self.place = 0
        return [0.0], {}

    def step(self, action):
        self.place += 1
        return [self.place], float(self.length), self.place == self.length, False, {}


ends = Walk()


class Breaks(Walk):
    """One whose motor breaks in its third step."""

    def __init__(self, pay=1.0):
        self.length, self.pay = 9, pay

    def step(self, action):
        if self.place == 2 and self.pay > 0:
            raise RuntimeError("the motor broke")
        pay = self.pay if self.place == 2 else 1.0
        return [self.place], pay, *super().step(action)[2:]
'''
TINY = "--units 4 --meta-batch-size 8 --val-tasks 4 --minibatches 2 --epochs 1 --updates 4 --log-every 1 --save-every 2"


@pytest.fixture
def home(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JMETA_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_an_environment_of_a_file_goes_all_the_way(home, capsys):
    """Catches settings of an own environment that are no flags, or are not found again in config.json."""
    words = ["rl", "train", "--env", "mine.py:guess", "--kinds", "2", *TINY.split()]
    assert cli.main([*words, "--run-dir", "run"]) == 0
    stored = json.loads((home / "run" / "config.json").read_text())
    assert (stored["env"], stored["kinds"], stored["horizon"]) == ("mine.py:guess", 2, 4)
    assert cli.main(["rl", "train", "--run-dir", "run", "--resume", "--updates", "4"]) == 2
    assert "--trust-code" in capsys.readouterr().err  # a file named it, and nobody by hand
    trusted = ["rl", "train", "--run-dir", "run", "--resume", "--trust-code"]
    assert cli.main([*trusted, "--updates", "4"]) == 0
    capsys.readouterr()
    assert cli.main([*trusted, "--kinds", "3"]) == 2
    assert "--kinds 2, not 3" in capsys.readouterr().err
    assert cli.main(["rl", "evaluate", "--run-dir", "run", "--tasks", "20"]) == 2
    assert cli.main(["rl", "evaluate", "--run-dir", "run", "--tasks", "20", "--trust-code"]) == 0
    assert json.loads((home / "run" / "evaluation.json").read_text())["references"] == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mine.py:gess", r"mine.py has no environment 'gess': did you mean mine.py:guess\?"),
        ("mine.py:nothing", "mine.py:nothing must be an Env, a function .* or a Row .*a int"),
        ("mine.py:ends", "a Gymnasium environment that is there already serves no second episode: give its class"),
        ("mine.py:wrong", r"mine.py:wrong must be an Env, .*observation of reset must be float32 \[7\]"),
        ("navigatoin", "there is no environment 'navigatoin': did you mean 'navigation'"),
    ],
)
def test_what_is_no_environment_is_said(home, name, message):
    with pytest.raises(RunError, match=message):
        ENVIRONMENTS.get(name)


def test_a_gymnasium_environment_is_taken_as_it_is(home):
    """Catches one that has to be wrapped by hand, is the same for all episodes, or is not told its settings."""
    start = defaults(Choice("rl2", "mine.py:Walk"))
    assert to_dict(start.world) == {"horizon": None, "length": 3} and start.training.meta_batch_size == 16
    with pytest.raises(RunError, match=r"mine.py:Walk has no limit of steps of its own: give --horizon"):
        env_of(start.env, start.world)
    env, key = env_of(start.env, replaced(start, {"horizon": 4, "length": 2}).world), jax.random.key(0)
    assert (env.horizon, env.observation_size, env.action.n) == (4, 1, 2)
    one, other = (env.reset(key, jnp.int32(0))[0] for _ in range(2))
    for state in (one, other):
        state, first = env.step(key, state, jnp.int32(1), 0)
        _, second = env.step(key, state, jnp.int32(1), 0)
        assert (first.reward, first.done.item(), second.done.item()) == (2.0, False, True)


@pytest.mark.parametrize(
    ("words", "said", "line"),
    [
        ([], "RuntimeError: the motor broke", 'raise RuntimeError("the motor broke")'),
        pytest.param(
            ["--pay=-inf"],
            "ValueError: the reward of step must be finite, got -inf for action",
            None,
            marks=pytest.mark.long,
        ),
    ],
    ids=["raises", "pays-nonsense"],
)
def test_what_an_environment_raises_in_training_is_a_sentence_with_its_own_lines(home, capsys, words, said, line):
    """Catches a traceback of JAX, whose text alone has what was raised."""
    words = ["rl", "train", "--env", "mine.py:Breaks", *words, "--horizon", "5", *TINY.split(), "--run-dir", "run"]
    assert cli.main(words) == 2
    told = capsys.readouterr().err
    assert f"jmeta: your code raised {said}" in told and told.endswith(": mend it.\n") and "jax" not in told
    assert told.count("\n") == 1 if line is None else line in told


def test_an_environment_as_it_is_and_a_setting_of_a_taken_name(home, capsys):
    assert ENVIRONMENTS.get("mine.py:ready").make(ENVIRONMENTS.get("mine.py:ready").settings()).action.n == 2
    assert cli.main(["rl", "train", "--env", "mine.py:clashes", "--run-dir", "run"]) == 2
    assert "two settings are called val_tasks" in capsys.readouterr().err
