"""The programs of scripts/, run small: their numbers move the way the published ones do."""

import importlib.util
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"


def load(name):
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.standard_promotion
def test_sinusoid_learns_to_learn_and_keeps_its_record(tmp_path):
    sinusoid, output = load("sinusoid"), tmp_path / "sinusoid.json"
    config = sinusoid.Config(algorithms=("fomaml",), outer_steps=2000, seeds=2, tasks=300, output=str(output))
    result = sinusoid.main(config)["fomaml"]
    after_1, after_5, after_10 = result["median"]
    # The mean curve, which is the best answer without a look at the support set, has a median of 1.9.
    assert after_1 > after_5 > after_10
    assert after_10 < 1.2
    assert len(result["mean_of_seed"]) == 2
    assert result["mean_of_seed"][0] != result["mean_of_seed"][1]
    assert json.loads(output.read_text())["results"]["fomaml"]["median"] == result["median"]


def test_sinusoid_refuses_an_unknown_learner():
    sinusoid = load("sinusoid")
    with pytest.raises(SystemExit, match="choose from maml"):
        sinusoid.main(sinusoid.Config(algorithms=("mammal",)))


def test_sinusoid_summary_counts_divergence():
    errors = np.array([[[1.0, 3.0], [1.0, 3.0], [1e6, 1.0]]])
    result = load("sinusoid").summary(errors, 1.0)
    assert result["mean"][0] == 2.0
    np.testing.assert_allclose(result["ci95"][0], 1.96 * np.sqrt(2.0) / np.sqrt(2))
    assert result["diverged"] == [0.0, 0.0, 0.5]


@pytest.mark.parametrize("script", ["environment.sh", "quickstart.sh", "test.sh"])
def test_shell_scripts_parse(script):
    checked = subprocess.run(["bash", "-n", SCRIPTS / script], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
