"""The documentation site is built without a warning: docstrings, links within it, notebooks in the long tests."""

import subprocess
import sys

import pytest

from scripts import publish

DOCS = publish.ROOT / "docs"


def build(place, *options):
    words = ["-W", "--keep-going", "-q", "-b", "html", "-d", place / "doctrees", *options, DOCS, place / "html"]
    return subprocess.run([sys.executable, "-m", "sphinx", *words], capture_output=True, text=True, check=False)


def test_the_site_is_built_without_a_warning(tmp_path):
    """Catches a formula that is no block, a link to a page that is not there, and a name that is gone."""
    done = build(tmp_path, "-D", "nb_execution_mode=off", "-D", "suppress_warnings=myst-nb.lexer")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "html" / "reference" / "learners.html").read_text()
    assert "jmeta.algorithms.maml" in page and "Alias for field number" not in page


@pytest.mark.long
def test_all_notebooks_run(tmp_path):
    """On this Python and JAX; each output stands on its page."""
    done = build(tmp_path, "-D", "nb_execution_mode=force")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "html" / "tutorials" / "first_maml.html").read_text()
    assert "where guessing has 20%" in page and "image/png" not in page and ".png" in page
