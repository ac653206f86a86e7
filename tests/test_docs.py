"""Examples in docstrings, in the README and in the documentation run."""

import doctest
import importlib
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import jmeta

ROOT = Path(jmeta.__file__).parent.parent
MODULES = sorted(
    module.name for module in pkgutil.walk_packages(jmeta.__path__, "jmeta.") if not module.name.endswith("__main__")
)
MODULES += sorted(".".join(path.relative_to(ROOT).with_suffix("").parts) for path in (ROOT / "scripts").glob("*/*.py"))


def examples(text):
    """Fenced blocks of Python, with the line each starts at."""
    return [
        (text[: match.start()].count("\n") + 1, match.group(1))
        for match in re.finditer(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    ]


def run(code, folder):
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "JMETA_CACHE": str(folder / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.standard_promotion
@pytest.mark.parametrize("name", ["jmeta", *MODULES])
def test_docstrings(name):
    module = importlib.import_module(name)
    assert module.__doc__
    assert doctest.testmod(module).failed == 0


PAGES = ("README.md", "docs/concepts.md", "docs/migration.md", "docs/results/multi_task.md")
SHOWN = [
    pytest.param(code, id=f"{Path(page).stem}-line-{line}")
    for page in PAGES
    for line, code in examples((ROOT / page).read_text())
]


@pytest.mark.parametrize("code", SHOWN)
def test_examples_run(code, tmp_path):
    """Those of a percentage in a comment print it, within five points: machines and versions differ by one or two."""
    done = run(code, tmp_path)
    assert done.returncode == 0, done.stderr
    if told := re.search(r"# about (\d+)%", code):
        assert float(done.stdout.partition("%")[0]) == pytest.approx(float(told[1]), abs=5)


def test_what_concepts_say_is_printed(tmp_path):
    code = examples((ROOT / "docs/concepts.md").read_text())[0][1]
    assert f"It prints `{run(code, tmp_path).stdout.strip()}`" in (ROOT / "docs/concepts.md").read_text()


def test_examples_are_found_and_failures_noticed(tmp_path):
    text = "x\n```python\nassert 1 == 1\n```\n\n```bash\nfalse\n```\n```python\nassert 1 == 2\n```\n"
    found = examples(text)
    assert found == [(2, "assert 1 == 1\n"), (9, "assert 1 == 2\n")]
    assert [run(code, tmp_path).returncode for _, code in found] == [0, 1]
