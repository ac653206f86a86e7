"""What docs/agents.md shows does what it says: the very text, at a small size and at its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import jmeta
from jmeta import cli

pytestmark = pytest.mark.standard_promotion
ROOT = Path(jmeta.__file__).parent.parent
FILES = dict(re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```", (ROOT / "docs/agents.md").read_text(), re.M | re.S))
COMMANDS = re.findall(r"^jmeta rl .*", (ROOT / "docs/agents.md").read_text(), re.M)
TINY = "--units 4 --meta-batch-size 4 --val-tasks 2 --minibatches 2 --epochs 1 --log-every 1 --save-every 1".split()


@pytest.fixture
def home(tmp_path, monkeypatch):
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JMETA_CACHE", str(tmp_path / "cache"))
    return tmp_path


def printed(text, folder):
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [float(number) for number in re.findall(r"\d+\.\d+", done.stdout)]


def smaller(text, sizes):
    for size, less in sizes.items():
        assert text.count(size) == 1, size
        text = text.replace(size, less)
    return text


def test_the_example_runs_and_its_optimum_is_exact(home):
    sizes = {"trials=256": "trials=8", "), 100)": "), 2)", "20_000": "50", "units=32": "units=4"}
    text = smaller(FILES["doors.py"], sizes)
    got, best = printed(text, home)
    assert best == 6.0 and 1.0 < got < 6.5
    assert len([line for line in text.splitlines() if line]) <= 20


@pytest.mark.long
def test_the_example_comes_close_to_the_optimum(home):
    got, best = printed(FILES["doors.py"], home)
    assert best == 6.0 and got == pytest.approx(best, abs=0.06)


@pytest.mark.parametrize("file", [pytest.param("doors.py", marks=pytest.mark.long), "poles.py"])
def test_the_commands_of_a_file_run(home, file):
    """Each as it is shown, and smaller by more flags."""
    found = [words.partition("#")[0].split()[1:] for words in COMMANDS]
    runs = {words[words.index("--run-dir") + 1] for words in found if any(word.startswith(file) for word in words)}
    own = [words for words in found if words[words.index("--run-dir") + 1] in runs]
    assert len(own) >= 2
    for words in own:
        if words[1] == "train":
            updates = ["--updates", "2" if "--resume" in words else "1"]
            words = [*words, *TINY, *updates]
        else:
            words = [*words, "--tasks", "4"]
        assert cli.main([*words, *["--horizon", "4"] * ("poles" in file and words[1] == "train")]) == 0
