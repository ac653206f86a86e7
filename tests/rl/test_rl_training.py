"""`jmeta rl train` by the engine: resumed, stopped, swept, on several devices, and what stops it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from small_rl import BANDIT, ROOT, TINY, command, options, rows_of, without_clock

from jmeta import cli
from jmeta.errors import RunError
from jmeta.rl import experiment
from jmeta.rl.experiment import build, env_of
from jmeta.runs.engine import devices, folder, programs, record
from jmeta.runs.engine.checkpoints import restored
from jmeta.runs.engine.devices import enough_memory
from jmeta.runs.rl import train
from jmeta.settings import replaced, to_dict

pytestmark = [pytest.mark.standard_promotion, pytest.mark.optimized]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Two seeds in one program."""
    return train(TINY, options(tmp_path_factory.mktemp("rl") / "whole", seeds=2))


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """The second of them by itself."""
    return train(TINY, options(tmp_path_factory.mktemp("rl") / "single", seed=1))


@pytest.mark.long
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


@pytest.mark.long
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


@pytest.mark.long
def test_a_signal_stops_the_command_and_resuming_gives_the_same_bits(single, tmp_path):
    """As a scheduler does it: SIGTERM once the first row is written, then the same command with --resume."""
    run_dir = tmp_path / "run"
    words = [sys.executable, "-m", "jmeta", "rl", "train", *BANDIT.split(), "--seed", "1", "--run-dir", str(run_dir)]
    words[words.index("--updates") + 1] = "200000"
    words += ["--outer-schedule", "constant", "--entropy-coef", "0"]
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
    free = replaced(TINY, {"outer_schedule": "constant", "entropy_coef": 0.0, "updates": end})
    until = lambda: signal.SIGTERM if len(rows_of(run_dir)) == end else None
    resumed = train(replaced(free, {"updates": 200_000}), options(run_dir, seed=1, resume=True), stop=until)
    straight = train(free, options(tmp_path / "straight", seed=1))
    assert resumed.step == end
    jax.tree.map(np.testing.assert_array_equal, resumed.states[""].params, straight.params)


@pytest.mark.long
def test_swept_rates_are_runs_of_their_own(tmp_path, capsys):
    assert command(tmp_path / "swept", "--sweep", "outer_lr=0.003,0.1", "entropy_coef=0.01,0.3") == 0
    names = record.members_of(tmp_path / "swept")
    assert names == [f"outer_lr{lr}-entropy_coef{entropy}" for lr in (0.003, 0.1) for entropy in (0.01, 0.3)]
    assert command(tmp_path / "own", "--outer-lr", 0.1, "--entropy-coef", 0.3) == 0
    paths = tmp_path / "swept" / names[-1], tmp_path / "own"
    swept, own = (restored(path, build(TINY).init, "newest")[1] for path in paths)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4), swept.params, own.params)
    assert len({json.dumps(rows_of(tmp_path / "swept" / name)) for name in names}) == 4
    assert cli.main(["rl", "evaluate", "--run-dir", str(tmp_path / "swept"), "--tasks", "20"]) == 2
    assert "several settings (outer_lr=0.003,0.1, entropy_coef=0.01,0.3): name one" in capsys.readouterr().err
    assert cli.main(["rl", "evaluate", "--run-dir", str(tmp_path / "swept" / names[0]), "--tasks", "20"]) == 0
    assert command(tmp_path / "other", "--sweep", "clip=0.1,0.2") == 2
    assert "--sweep takes" in capsys.readouterr().err


@pytest.mark.long
def test_devices_share_the_tasks_of_a_run(single, tmp_path):
    four = train(TINY, options(tmp_path / "four", seed=1, devices=4))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5), four.params, single.params)
    assert record.load(four.run_dir).values["devices"] == 4
    assert record.load(single.run_dir).values["devices"] == 1
    with pytest.raises(RunError, match="--meta-batch-size must be a multiple of the 3 devices, got 8"):
        train(TINY, options(tmp_path / "three", devices=3))


@pytest.mark.long
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
        RunError,
        match="8 tasks of a step don't fit into the device's memory: give a smaller --meta-batch-size, --episodes or",
    ):
        train(TINY, options(tmp_path / "runs" / "run"))
    assert list(tmp_path.iterdir()) == [], "a folder that was made before it was known whether the run fits"


@pytest.mark.parametrize("updates", [pytest.param(1, marks=pytest.mark.long), 5])
def test_as_many_updates_are_taken_as_are_asked_for(tmp_path, updates):
    """Rows come every ten, and checkpoints every hundred: a run that ends before is not rounded up to them."""
    result = train(replaced(TINY, {"updates": updates}), options(tmp_path / "run", log_every=10, save_every=100))
    assert result.step == int(result.states[""].step) == updates
    assert [row["step"] for row in result.rows] == [updates]
    assert restored(result.run_dir, build(TINY).init, "best")[0] == updates


def test_memory_at_hand_is_that_of_the_container(monkeypatch):
    """Of a check by the machine's memory alone, of which a container may have a part."""
    monkeypatch.setattr(devices, "memory_at_hand", lambda: 2**30)
    devices.check_memory(2**30, "they", "ask for less")
    with pytest.raises(RunError, match=r"they take 1\.5 GiB, and 1 GiB are free: ask for less"):
        devices.check_memory(3 * 2**29, "they", "ask for less")


def test_no_other_error_is_taken_for_too_little_memory():
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"), enough_memory("too little"):
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")
    with pytest.raises(RunError, match="too little"), enough_memory("too little"):
        raise jax.errors.JaxRuntimeError("INTERNAL: Error dispatching computation: Out of memory allocating 9 bytes.")
    with pytest.raises(RunError, match="too little"), enough_memory("too little"):
        raise MemoryError("Unable to allocate 1.00 TiB for an array")


@pytest.mark.long
def test_a_finished_run_goes_on_to_more_updates_and_not_to_fewer(single, tmp_path, capsys):
    """Rate and entropy fall to the new end: what they were before is done."""
    run_dir = shutil.copytree(single.run_dir, tmp_path / "run")
    assert command(run_dir, "--seed", 1, "--resume", "--updates", 8) == 0
    told = capsys.readouterr()
    assert "grows from --updates 4 to 8: rates that follow a schedule are now those" in told.out + told.err
    assert [row["step"] for row in rows_of(run_dir)] == list(range(1, 9))
    assert rows_of(run_dir)[:4] == rows_of(single.run_dir)
    with pytest.raises(RunError, match="--updates 8, not 6"):
        train(replaced(TINY, {"updates": 6}), options(run_dir, seed=1, resume=True))


def test_a_run_starts_from_the_parameters_of_another_with_other_rewards(single, tmp_path):
    """Catches a start from anything else, and rewards of another size that take a hundred updates to be known."""
    still = {"outer_lr": 1e-30, "updates": 1}
    begun = options(tmp_path / "run", init_from=str(single.run_dir))
    policy, paid = train(replaced(TINY, still), begun).states[""].params
    there = restored(single.run_dir, build(TINY).init, "best")[1].params
    jax.tree.map(np.testing.assert_array_equal, policy, there.policy)
    assert there.paid.mean.batches >= 2 and paid.mean.batches == 2


@pytest.mark.parametrize(
    "words", [["--units", "8"], ["--arms", "3"], ["--policy", "attention"]], ids=["units", "actions", "policy"]
)
def test_parameters_that_do_not_fit_are_named_with_what_decides_them(single, tmp_path, capsys, words):
    assert command(tmp_path / "run", *words, "--init-from", single.run_dir) == 2
    told = capsys.readouterr().err
    assert (
        "has other parameters, policy/" in told and "the same --algorithm, --policy and --units, and an --env" in told
    )
    assert not (tmp_path / "run").exists()
