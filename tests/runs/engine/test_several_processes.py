"""Training on many devices and in several processes: the results of one, kept by the first, ended by any."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import unittest.mock
from contextlib import ExitStack
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_runs import TINY, arrays_of, assert_same_run, rows_of

from jmeta.errors import RunError
from jmeta.runs.engine import devices, processes, programs
from jmeta.runs.engine.options import Options, Place
from jmeta.runs.few_shot import settings_of, train
from jmeta.runs.few_shot.experiment import tasks_at_once
from jmeta.runs.few_shot.settings import Outer
from jmeta.settings import to_dict

pytestmark = pytest.mark.standard_promotion

PAIR = ("--coordinator", "127.0.0.1:1234", "--num-processes", "2")


def assert_close_run(one, other):
    """Rows and parameters agree to rounding."""
    for row, expected in zip(rows_of(one), rows_of(other), strict=True):
        assert row.keys() == expected.keys()
        for name, value in row.items():
            assert value == pytest.approx(expected[name], rel=1e-6, abs=1e-6), (name, row["step"])
    for a, b in zip(arrays_of(one), arrays_of(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def changed(path, name, value):
    stored = json.loads(path.read_text())
    path.write_text(json.dumps({**stored, name: value}))


@pytest.mark.parametrize("number", [pytest.param(2, marks=pytest.mark.long), 4])
def test_many_devices_train_what_one_does(cli, finished, shapes, tmp_path, monkeypatch, number):
    run_dir = tmp_path / "run"
    seen = []
    compiled = programs.compiled

    def watched(*args):
        made = compiled(*args)

        def advance(states, steps):
            seen.append(made.advance(states, steps))
            return seen[-1]

        return made._replace(advance=advance)

    monkeypatch.setattr(programs, "compiled", watched)
    assert cli("train", "--dataset", shapes, *TINY, "--devices", number, "--run-dir", run_dir).code == 0
    assert_close_run(run_dir, finished)
    assert all(len(a.sharding.device_set) == number for a in jax.tree.leaves(seen[-1][0].params))
    assert json.loads((run_dir / "config.json").read_text())["devices"] == number
    assert json.loads((finished / "config.json").read_text())["devices"] == 1


def test_a_run_goes_on_with_the_devices_it_had(cli, refused, shapes, tmp_path, monkeypatch):
    meshes = []
    made = devices.mesh_of
    monkeypatch.setattr(devices, "_cores", lambda: 1)
    monkeypatch.setattr(devices, "mesh_of", lambda number: meshes.append(number) or made(number))
    words = ("train", "--dataset", shapes, *TINY, "--outer-steps", 5, "--run-dir", tmp_path / "run")
    resume = ("train", "--run-dir", tmp_path / "run", "--resume")
    assert cli(*words, "--devices", 2).code == 0
    assert cli(*resume).code == 0 and cli(*resume, "--devices", 4).code == 0
    changed(tmp_path / "run" / "config.json", "devices", 64)
    assert cli(*resume).code == 0
    assert meshes == [2, 2, 4, 1]
    assert "--devices must be at most 4" in refused(*resume, "--devices", 64)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--devices", "0"], "--devices must be 1 or more, got 0"),
        (["--devices", "5"], "at most 4, which is all there are, got 5: ask for fewer, or set XLA_FLAGS="),
        (
            ["--devices", "4", "--meta-batch-size", "25"],
            "--meta-batch-size must be a multiple of the 4 devices, got 25: choose 24 or 28, or --devices 1.",
        ),
        (["--devices", "4", "--meta-batch-size", "6"], "got 6: choose 4 or 8, or --devices 3."),
        (["--devices", "4", "--meta-batch-size", "2"], "got 2: choose 4, or --devices 2."),
        (
            ["--devices", "2", "--meta-batch-size", "12", "--chunk-size", "4"],
            "--chunk-size must divide the 6 episodes of each of the 2 devices, got 4: choose 3, or another --devices.",
        ),
        (["--coordinator", "a:1"], "got no --num-processes and no --process-id: give all three, or none"),
        (["--num-processes", "2"], "got no --coordinator and no --process-id"),
        (["--process-id", "0", "--num-processes", "1"], "got no --coordinator"),
        ([*PAIR, "--process-id", "2"], "--process-id must be 0 to 1 for --num-processes 2, got 2"),
        (["--coordinator", "a:1", "--num-processes", "0", "--process-id", "0"], "--num-processes must be 1 or more"),
        *(
            (["--coordinator", text, "--num-processes", "2", "--process-id", "0"], "HOST:PORT of the first process, s")
            for text in ("host", "host:", ":80", "host:99999", "http://host:80", "::1:80")
        ),
    ],
)
def test_devices_and_processes_that_make_no_sense(refused, shapes, tmp_path, monkeypatch, words, part):
    """Before there is a folder or anything is asked of another machine."""
    monkeypatch.setattr(jax.distributed, "initialize", lambda *_: pytest.fail("waited for others"))
    assert part in refused("train", "--dataset", shapes, *TINY, *words, "--run-dir", tmp_path / "run")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("light", "cores", "tasks", "expected"),
    [(False, 2, 32, 2), (False, 3, 32, 2), (False, 3, 33, 3), (False, 64, 32, 4), (True, 2, 32, 1)],
)
def test_each_core_is_a_device_for_what_is_worth_it(monkeypatch, light, cores, tasks, expected):
    """As many of the four that tests have as there are cores, and as divide the tasks."""
    monkeypatch.setattr(devices, "_cores", lambda: cores)
    assert devices.number_of(None, tasks, named="--tasks", light=light) == expected


def test_the_command_line_makes_the_cores_devices():
    """In a process of its own, unless the environment says how many devices there are."""
    program = "from jmeta.runs.engine import devices, processes; import jax; devices._cores = lambda: 3\n"
    program += "with processes.joined(processes.Place()): print(jax.device_count())"
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    environment |= {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(Path(__file__).parents[3])}
    for flags, expected in (({}, "3\n"), ({"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}, "2\n")):
        command = [sys.executable, "-c", program]
        assert subprocess.run(command, env=environment | flags, capture_output=True, text=True).stdout == expected


def test_what_is_small_is_computed_by_one_thread_unless_the_environment_says_how_many(cli, monkeypatch, tmp_path):
    monkeypatch.delenv("NPROC", raising=False)
    words = ("--way", 0, "--run-dir", tmp_path / "run")  # refused once the threads are settled
    assert cli("train", "--dataset", "glyphs", *words).code == 2
    assert "NPROC" not in os.environ
    assert cli("train", "--dataset", "sinusoid", *words).code == 2
    assert os.environ["NPROC"] == "1"
    monkeypatch.setenv("NPROC", "3")
    assert cli("train", "--preset", "maml-sinusoid", *words).code == 2
    assert os.environ["NPROC"] == "3"


def test_chunks_are_of_each_device():
    assert tasks_at_once(Outer(meta_batch_size=24, chunk_size=24), 4) == 6
    assert tasks_at_once(Outer(meta_batch_size=24, chunk_size=3), 4) == 3
    assert tasks_at_once(Outer(meta_batch_size=24, chunk_size=12), 1) == 12
    assert tasks_at_once(Outer(meta_batch_size=24), 4) is None
    assert devices.mesh_of(1) is None


SLURM = {"SLURM_JOB_ID": "7", "SLURM_STEP_NODELIST": "n[1-2]", "SLURM_PROCID": "1", "SLURM_LOCALID": "0"}
MPI = {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"}


@pytest.mark.parametrize(
    ("environment", "several"),
    [
        ({}, False),
        ({**SLURM, "SLURM_NTASKS": "2"}, True),
        ({**SLURM, "SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "2"}, True),
        ({**SLURM, "SLURM_NTASKS": "2", "SLURM_STEP_NUM_TASKS": "1"}, False),  # a shell in a job of two
        ({**SLURM, "SLURM_NTASKS": "1"}, False),
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "2", "SLURM_PROCID": "0"}, False),  # a batch script before its srun
        ({**MPI, "OMPI_MCA_orte_hnp_uri": "1.0;tcp://10.0.0.1:1"}, True),
        ({"OMPI_COMM_WORLD_SIZE": "1", "OMPI_MCA_orte_hnp_uri": "1.0;tcp://10.0.0.1:1"}, False),
        ({"TPU_WORKER_HOSTNAMES": "a,b", "TPU_ML_PLATFORM": "JAX"}, True),
        ({"TPU_WORKER_HOSTNAMES": "localhost", "TPU_ML_PLATFORM": "JAX"}, False),
        ({"TPU_ML_PLATFORM": "JAX"}, True),
        ({"TPU_ML_PLATFORM": "JAX", "JAX_PLATFORMS": "cpu"}, False),
        ({"TPU_ML_PLATFORM": "JAX", "TPU_SKIP_MDS_QUERY": "1"}, False),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, False),
    ],
)
def test_processes_that_jax_finds_by_itself(environment, several):
    assert processes.place_in(processes.Place(), environment) == (processes.Place() if several else None)
    assert processes.place_in(Place(num_processes=1), environment) is None
    given = processes.Place("127.0.0.1:1234", 2, 1)
    assert processes.place_in(given, environment) == given


def test_an_open_mpi_that_jax_cannot_read_is_named():
    with pytest.raises(RunError, match=r"give --coordinator HOST:PORT --num-processes \$OMPI_COMM_WORLD_SIZE"):
        processes.place_in(processes.Place(), MPI)
    assert processes.place_in(processes.Place(), {**MPI, "OMPI_COMM_WORLD_SIZE": "1"}) is None


def test_processes_that_cannot_meet_say_so(refused, tmp_path, monkeypatch):
    alone = RuntimeError("DEADLINE_EXCEEDED: nobody is there\nmore")
    monkeypatch.setattr(jax.distributed, "initialize", unittest.mock.Mock(side_effect=alone))
    message = refused("train", *PAIR, "--process-id", 1, "--run-dir", tmp_path / "run")
    assert "could not meet at 127.0.0.1:1234 (DEADLINE_EXCEEDED: nobody is there): start all of them" in message
    with pytest.raises(RunError, match="could not meet"):
        train(settings_of(), Options(meeting=Place("127.0.0.1:1234", 2, 1)))


@pytest.fixture
def as_second(monkeypatch):
    """As if this were the second of two processes; what the first says is given."""
    said = []
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    monkeypatch.setattr(processes, "_all_texts", lambda text: [said.pop(0), text])
    return said


def test_what_fails_in_one_process_fails_in_all(as_second):
    as_second[:] = ["no room", "", "bad", "", '{"a": 1}']
    with pytest.raises(RunError, match="process 0 could not go on: no room"):
        processes.together(lambda: 3)
    assert processes.together(lambda: 3) == 3
    with pytest.raises(KeyError, match="mine"):
        processes.together({}.__getitem__, "mine")
    assert processes.on_first(lambda: pytest.fail("the second does not")) is None
    assert processes.said_by_first(None) == {"a": 1}


def test_all_processes_have_the_options_of_the_first_and_places_of_their_own(as_second):
    settings = settings_of(way=3)
    there, mine = Options("there", seed=1, resume=True), Options("here", seed=1, meeting=Place(process_id=1))
    as_second[:] = [json.dumps({**to_dict(settings), **to_dict(there)})] * 2
    found, options = processes.same_settings(settings, mine)
    assert found == settings
    assert (options.seed, options.run_dir, options.resume, options.meeting.process_id) == (1, "there", True, 1)
    with pytest.raises(RunError, match=r"process 1 was started with other settings than process 0 \(--way 4, not 3"):
        processes.same_settings(settings_of(way=4), mine)


def test_arrays_are_sent_bit_for_bit(as_second, monkeypatch):
    tree = {"a": jnp.array([-0.0, jnp.nan, 1e-45]), "b": jnp.int32(7), "key": jax.random.key(3), "none": None}
    sent = []
    monkeypatch.setattr(processes.multihost_utils, "broadcast_one_to_all", lambda a: sent.append(a) or sent[0])
    monkeypatch.setattr(jax, "process_index", lambda: 0)
    processes.from_first(tree, jax.eval_shape(lambda: tree))
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    got = processes.from_first(None, jax.eval_shape(lambda: tree))
    assert not sent[1].any() and jax.tree.structure(got) == jax.tree.structure(tree)
    assert np.asarray(got["a"]).tobytes() == np.asarray(tree["a"]).tobytes() and int(got["b"]) == 7
    np.testing.assert_array_equal(jax.random.key_data(got["key"]), jax.random.key_data(tree["key"]))


STOPPING = """
import importlib, os, signal, sys
module = importlib.import_module("jmeta.runs.engine.train")
rounds = module._round

def interrupted(run, states, step, diverged):
    if step == 10:
        os.kill(os.getpid(), signal.SIGTERM)
    return rounds(run, states, step, diverged)

module._round = interrupted
"""
MAIN = "import sys; from jmeta.cli import main; sys.exit(main())"


def pair(folder, *words, second="", number=2):
    """Run two processes, each with a folder of its own to work in, and return (code, output, errors) of each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={number // 2}"
    environment = {
        **os.environ,
        "XLA_FLAGS": flags,
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(Path(__file__).parents[3]),
    }
    with ExitStack() as stack:
        started = []
        for index in range(2):
            place = folder / str(index)
            place.mkdir(parents=True, exist_ok=True)
            rank = ["--coordinator", f"127.0.0.1:{port}", "--num-processes", "2", "--process-id", str(index)]
            command = [sys.executable, "-c", (second if index else "") + MAIN, "train", *map(str, words), *rank]
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            process = subprocess.Popen(command, cwd=place, env=environment, text=True, **pipes)
            started.append(stack.enter_context(process))
            stack.callback(process.kill)
        results = [process.communicate(timeout=120) for process in started]
    return [(process.returncode, *result) for process, result in zip(started, results, strict=True)]


@pytest.fixture(scope="module")
def cut(shapes, tmp_path_factory):
    """Two processes that are stopped by a signal to the second, then resumed where only the first has the folder."""
    folder, words = tmp_path_factory.mktemp("cut"), ["--dataset", shapes, *TINY, "--devices", 4, "--run-dir", "run"]
    stopped = pair(folder, *words, second=STOPPING, number=4)
    assert [code for code, _, _ in stopped] == [128 + signal.SIGTERM] * 2, stopped
    assert "stopped and saved at step 10: jmeta train --run-dir run --resume goes on" in stopped[0][2]
    assert [row["step"] for row in rows_of(folder / "0" / "run")] == [5, 10]
    resumed = pair(folder, "--run-dir", "run", "--resume", number=4)
    assert [code for code, _, _ in resumed] == [0, 0], resumed
    assert "step 10 of 20: going on from its checkpoint" in resumed[0][1]
    for results in (stopped, resumed):
        only_the_first_speaks(results, folder)
    return folder / "0" / "run"


def only_the_first_speaks(results, folder):
    (_, first, _), (_, out, err) = results
    assert "loss" in first and "Gloo" not in first
    assert (out, err) == ("", "")
    assert [path.name for path in (folder / "0").iterdir()] == ["run"]
    assert not list((folder / "1").iterdir())


def test_two_processes_train_what_one_does(cut, finished):
    assert_close_run(cut, finished)
    stored = json.loads((cut / "config.json").read_text())
    assert (stored["devices"], stored["facts"]["processes"], stored["coordinator"]) == (4, 2, None)


@pytest.mark.long
def test_two_processes_that_are_stopped_go_on_to_the_same_bits(cut, finished, shapes, tmp_path):
    whole = pair(tmp_path, "--dataset", shapes, *TINY, "--devices", 4, "--run-dir", "run", number=4)
    assert [code for code, _, _ in whole] == [0, 0], whole
    only_the_first_speaks(whole, tmp_path)
    assert_close_run(tmp_path / "0" / "run", finished)
    assert_same_run(cut, tmp_path / "0" / "run")


@pytest.mark.long
def test_a_folder_that_the_first_process_may_not_use_stops_both(tmp_path):
    (tmp_path / "0" / "run").mkdir(parents=True)
    (tmp_path / "0" / "run" / "thesis.tex").write_text("x")
    results = pair(tmp_path, "--dataset", "sinusoid", "--meta-batch-size", 4, "--run-dir", "run")
    assert [code for code, _, _ in results] == [2, 2], results
    (_, out, err), (_, other_out, other_err) = results
    assert err == "jmeta: run is there and is no run folder: choose another --run-dir.\n" and not out
    assert other_err == err.replace("jmeta: ", "jmeta: process 0 could not go on: ") and not other_out


@pytest.mark.parametrize("slow", [True, False])
def test_a_wait_for_others_is_not_silent(monkeypatch, capfd, slow):
    """Catches a job of two processes, of which one was started, that says nothing for minutes."""

    def initialize(*place):
        time.sleep(0.2 if slow else 0)
        raise RuntimeError("nobody came")

    monkeypatch.setattr(processes, "PATIENCE", 0.05)
    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    monkeypatch.setenv("SLURM_NTASKS", "2")
    with pytest.raises(RunError, match="could not meet"):
        processes.join(Place())
    time.sleep(0.1)
    said = capfd.readouterr().err
    assert ("waiting for 2 processes to meet: --num-processes 1 runs this one alone." in said) == slow
