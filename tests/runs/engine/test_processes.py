"""The command line as processes: killed at any moment, asked to stop, and asked for help."""

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from small_runs import TINY, assert_same_run, rows_of

from jmeta.cli import main
from jmeta.datasets import load

MAIN = "import sys; from jmeta.cli import main; sys.exit(main())"
LONG = [*TINY, "--outer-steps", "120", "--save-every", "5"]


def start(*words):
    return subprocess.Popen(
        [sys.executable, "-m", "jmeta", *map(str, words)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip


def wait_for_rows(process, run_dir, number):
    """Wait until there are this many rows, or the process has ended."""
    while process.poll() is None and len(rows_of(run_dir)) < number:
        time.sleep(0.002)


@pytest.mark.optimized  # as the processes are
def test_a_run_killed_at_random_moments_ends_the_same(shapes, tmp_path):
    words = ["train", "--dataset", shapes, *LONG]
    assert main([*words, "--run-dir", str(tmp_path / "whole")]) == 0
    draw = random.Random(time.time_ns())
    kills = 0
    for _ in range(2):
        resumes = ["--resume"] if (tmp_path / "killed").is_dir() else []
        process = start(*words, "--run-dir", tmp_path / "killed", *resumes)
        wait_for_rows(process, tmp_path / "killed", len(rows_of(tmp_path / "killed")) + draw.randint(1, 6))
        time.sleep(draw.random() * 0.2)
        process.kill()
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
    assert kills, "no kill came in time"
    assert main([*words, "--run-dir", str(tmp_path / "killed"), "--resume"]) == 0
    assert_same_run(tmp_path / "whole", tmp_path / "killed")
    assert not list((tmp_path / "killed").rglob("*tmp*"))


def test_sigterm_saves_and_says_how_to_go_on(shapes, tmp_path):
    run_dir = tmp_path / "run"
    process = start("train", "--dataset", shapes, *LONG, "--outer-steps", 100_000, "--run-dir", run_dir)
    wait_for_rows(process, run_dir, 4)
    process.terminate()
    out, err = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM, err
    assert f"jmeta train --run-dir {run_dir} --resume" in err and "Traceback" not in err
    last = rows_of(run_dir)[-1]["step"]
    assert str(last) in {path.name for path in (run_dir / "checkpoints").iterdir()}
    assert f"step {last}/100000" in out and "tasks/s" in out and "left" in out


def test_a_write_that_fails_half_way_leaves_the_run_whole(finished, shapes, tmp_path):
    words = ["train", "--dataset", shapes, *TINY, "--run-dir", str(tmp_path / "run")]
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000)); {MAIN}"
    environment = {**os.environ, "JMETA_COMPILE_CACHE": "0"}
    process = subprocess.run([sys.executable, "-c", limited, *words], capture_output=True, text=True, env=environment)
    assert process.returncode == 2
    assert "the checkpoint of step 10 could not be written" in process.stderr and "File too large" in process.stderr
    assert not list((tmp_path / "run" / "checkpoints").iterdir())
    assert main([*words, "--resume"]) == 0
    assert_same_run(finished, tmp_path / "run")


def test_help_and_mistakes_as_a_process(tmp_path):
    usage = start("--help")
    out, err = usage.communicate()
    assert usage.returncode == 0 and "jmeta train" in out and not err
    wrong = start("train", "--preset", "maml-omniglot")
    out, err = wrong.communicate()
    assert wrong.returncode == 2 and err.startswith("jmeta: there is no preset") and err.count("\n") == 1


def test_help_explains_every_setting(capsys):
    for command in ("train", "evaluate", "predict", "plot"):
        assert main([command, "--help"]) == 0
        text = capsys.readouterr().out
        assert "--run-dir" in text and "default" in text
    assert main([]) == 0 and main(["presets"]) == 0 and main(["presets", "--help"]) == 0
    assert "reptile-omniglot-5w1s" in capsys.readouterr().out


def test_data_list_and_prepare(cli, shapes, tmp_path):
    listed = cli("data", "list", "--data-dir", os.path.dirname(shapes))
    assert listed.code == 0 and "glyphs" in listed.out and "shapes" in listed.out
    prepared = cli("data", "prepare", shapes)
    assert prepared.code == 0 and "16 classes, up to 8 pictures each, 8 x 8 x 1" in prepared.out
    part = cli("data", "prepare", shapes, "--examples", 3, "--npz", tmp_path / "part.npz")
    assert part.code == 0 and "16 classes, up to 3 pictures each" in part.out
    np.testing.assert_array_equal(load("part", tmp_path).images, load(shapes).images[:, :3])
    assert cli("data", "prepare", shapes, "--examples", 0).code == 2
    assert cli("data", "prepare", shapes, "--npz", tmp_path / "part").code == 2
