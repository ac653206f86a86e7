"""The laptop Meta-Dataset: ranks with ties, and a run at a small size from its sources to its table."""

import json

import numpy as np
import pytest

from jmeta.errors import RunError
from scripts.few_shot import meta_dataset
from scripts.study import run

pytestmark = pytest.mark.standard_promotion


def test_learners_that_are_not_told_apart_share_a_rank():
    """Unpaired intervals would tie all three, which the same noise moves; no ties at all would give 1, 2, 3."""
    rng = np.random.default_rng(0)
    hard, own = rng.normal(size=200), lambda scale: scale * rng.normal(size=200)
    best, near, worse = 0.6 + hard, 0.6 - 1e-4 + hard + own(0.01), 0.5 + hard + own(0.01)
    assert meta_dataset.ranks([worse, best, near]) == [3, 1.5, 1.5]
    assert meta_dataset.ranks([best, best, best]) == [2, 2, 2]
    assert meta_dataset.ranks([best, worse, worse - 0.1]) == [1, 2, 3]


def test_sources_are_trained_on_together_and_tested_apart(tmp_path):
    """Three learners of different parts; the floor, which learns nothing, is measured on the same episodes."""
    config = meta_dataset.Config(
        run_dir=str(tmp_path), learners=("nearest", "prototypical", "fomaml"), trained=("glyphs:40", "glyphs:60"),
        others=("digits",), sizes=meta_dataset.Sizes(6, 12, 2, 8), features=(4,), steps=3, episodes=6,
    )  # fmt: skip
    run(meta_dataset.study, config)
    kept = json.loads((tmp_path / "results.json").read_text())
    assert [*kept["rows"]] == ["nearest", "prototypical", "fomaml"]
    for row in kept["rows"].values():
        assert [*row["accuracy"]] == ["glyphs:40", "glyphs:60", "digits"]
        assert all(len(values) == 6 and 0 <= min(values) <= max(values) <= 1 for values in row["accuracy"].values())
    assert np.mean(kept["rows"]["nearest"]["accuracy"]["digits"]) > 0.4  # guessing has a sixth or a fifth
    table = (tmp_path / "table.md").read_text()
    assert "| digits *" in table and "| mean rank " in table and "| mean rank, * |" in table


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"learners": ("baseline",)}, "baseline is not trained on episodes of classes"),
        ({"learners": ("prototypica",)}, "did you mean 'prototypical'"),
        ({"trained": ()}, "give at least one to --trained"),
        ({"sizes": meta_dataset.Sizes(max_support=10)}, "--max-support must be --max-way, 20, or more, got 10"),
        ({"trained": ("glyphs:8",), "others": ()}, "glyphs:8 has . classes for a part, and 5 are needed"),
    ],
)
def test_what_can_not_be_measured_is_refused(tmp_path, changes, said):
    with pytest.raises(RunError, match=said):
        run(meta_dataset.study, meta_dataset.Config(run_dir=str(tmp_path), **changes))
