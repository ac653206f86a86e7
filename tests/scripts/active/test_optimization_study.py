"""The study of learned surrogates, small: its rows, its table, its pictures, and what it refuses."""

import pytest

from jmeta.errors import RunError
from scripts.active.optimization import Config, study
from scripts.study import run


def small(place, **changes):
    given = {"families": ("ripples",), "learners": ("RBF",), "steps": 3, "functions": 6, "evaluations": 5}
    return Config(str(place), **{**given, **changes})


@pytest.mark.long
def test_rows_table_and_pictures(tmp_path, capsys):
    """Catches a picture that fails after minutes of training, and regret that rises."""
    found = run(study, small(tmp_path))
    assert list(found["rows"]) == ["ripples, none, random", "ripples, RBF kernel, expected improvement"]
    for row in found["rows"].values():
        regret = [each["mean"] for each in row["regret"]]
        assert len(regret) == 5 and regret == sorted(regret, reverse=True) and regret[-1] >= 0
        picture = row["picture"]
        assert [len(m["mean"]) for m in picture["moments"]] == [41] and len(set(picture["picks"])) == 5
    assert {path.name for path in tmp_path.glob("*.png")} == {"regret.png", "ripples.png"}
    head, _, random, learned = (tmp_path / "table.md").read_text().splitlines()
    assert "regret after 3" in head and "regret after 5" in head and "after 8" not in head
    assert "| random " in random and "| RBF kernel" in learned
    assert "kept in" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"families": ("gpp",)}, "there is no family 'gpp': choose of gp, ripples"),
        ({"learners": ("tnp",)}, "there is no learner 'tnp': choose of transformer, conditional, deep, RBF"),
        ({"families": ()}, "--families needs one or more"),
        ({"evaluations": 26}, "--evaluations must be .*25, got 26"),
    ],
)
def test_what_can_not_be_is_refused_before_anything_is_measured(changes, says, tmp_path):
    with pytest.raises(RunError, match=says):
        run(study, small(tmp_path, **changes))
    assert not (tmp_path / "results.json").exists()
