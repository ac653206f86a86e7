"""A small learnable data set, a way to call the command line, and one finished run that many tests look at."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from small_runs import TINY

from jmeta.cli import main


class Result(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(scope="session", autouse=True)
def places(tmp_path_factory):
    """Compiled programs and data are kept apart from the user's own."""
    before = {name: os.environ.get(name) for name in ("JMETA_CACHE", "JMETA_DATA")}
    real = before["JMETA_DATA"]
    os.environ["JMETA_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    os.environ["JMETA_DATA"] = str(tmp_path_factory.mktemp("data"))
    yield real
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value


@pytest.fixture(scope="session")
def shapes(tmp_path_factory) -> str:
    """16 classes of 8 noisy copies of a random 8 x 8 pattern."""
    rng = np.random.default_rng(0)
    patterns = 255.0 * (rng.random((16, 1, 8, 8, 1)) > 0.5)
    images = np.clip(patterns + 60 * rng.standard_normal((16, 8, 8, 8, 1)), 0, 255).astype(np.uint8)
    path = tmp_path_factory.mktemp("shapes") / "shapes.npz"
    np.savez(path, images=images)
    return str(path)


@pytest.fixture
def cli(capfd):
    """`cli(*words)` runs a command in this process."""

    def run(*words) -> Result:
        capfd.readouterr()
        code = main([str(word) for word in words])
        return Result(code, *capfd.readouterr())

    return run


@pytest.fixture
def refused(cli):
    """`refused(*words)` expects one sentence, exit code 2 and no traceback, and returns the sentence."""

    def run(*words) -> str:
        result = cli(*words)
        assert result.code == 2, result
        assert result.err.startswith("jmeta: ") and result.err.count("\n") == 1, result.err
        assert "Traceback" not in result.err
        return result.err

    return run


@pytest.fixture(scope="session")
def finished(shapes, places, tmp_path_factory) -> Path:
    """A finished run; not to be changed."""
    run_dir = tmp_path_factory.mktemp("finished") / "run"
    assert main(["train", "--dataset", shapes, *TINY, "--run-dir", str(run_dir)]) == 0
    return run_dir
