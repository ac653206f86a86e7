"""`jmeta list` and `jmeta run`: everything that has a name, and experiments by theirs."""

from pathlib import Path

import pytest

import jmeta
from jmeta.runs import catalog

pytestmark = pytest.mark.standard_promotion

ROOT = Path(jmeta.__file__).parent.parent
TOY = ROOT / "tests" / "contract" / "toy_experiment.py"


@pytest.mark.parametrize("kind", catalog.KINDS)
def test_every_row_is_listed_with_what_it_is(cli, kind):
    """Catches a row that says nothing of itself, and a paper without its address."""
    result = cli("list", kind)
    assert result.code == 0, result.err
    for name, what, paper in catalog.rows(kind):
        assert name in result.out and what and "\n" not in what and not what.endswith(".")
        assert not paper or ((" https://" in paper or " http://" in paper) and paper.partition(",")[0][-4:].isdigit())
    assert cli("list", kind, "--markdown").out == catalog.markdown(kind)


def test_readme_has_the_table_of_learners():
    assert catalog.markdown("learners") in (ROOT / "README.md").read_text()


def test_a_wrong_kind_is_answered_by_the_nearest(refused):
    assert "there is no kind of rows 'learner': did you mean 'learners'?" in refused("list", "learner")


def test_an_experiment_of_a_file_is_trained_and_goes_on(cli, refused, tmp_path):
    """Catches an experiment whose settings are no flags, or that its run folder does not bring back."""
    words = ("run", f"{TOY}:build", "--log-every", 10, "--save-every", 20, "--run-dir", tmp_path / "run")
    result = cli(*words, "--outer-steps", 20)
    assert result.code == 0, result.err
    assert "trained for 20 steps" in result.out and "next:" not in result.out
    assert cli("run", f"{TOY}:build", "--run-dir", tmp_path / "run", "--resume").code == 0
    message = refused("run", f"{TOY}:build", "--run-dir", tmp_path / "run", "--resume", "--outer-lr", 0.2)
    assert "belongs to another configuration" in message
    assert "must be an Area, or a function build(settings: S)" in refused("run", f"{TOY}:Settings")
    assert "did you mean 'few-shot'?" in refused("run", "few_shots")
    assert "takes the name of an experiment first" in refused("run")
