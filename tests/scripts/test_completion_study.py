"""Pictures completed from some of their pixels: a study at a small size."""

import numpy as np
import pytest

from scripts.generative import completion
from scripts.study import run

pytestmark = pytest.mark.standard_promotion


def test_a_learner_is_trained_in_pieces_and_measured_beside_what_learns_nothing(tmp_path, monkeypatch):
    """Catches a training that starts again, and errors of the pixels that are asked for in training alone."""
    config = completion.Config(
        run_dir=str(tmp_path), dataset="glyphs:60", shots=(3, 40), learners=("cnp",), steps=2, asked=20, pictures=20,
    )  # fmt: skip
    monkeypatch.setattr(completion, "EVERY", 1)
    rows = run(completion.study, config)["rows"]
    assert [*rows] == [completion.MEAN, completion.NEAREST, "cnp"] and rows["cnp"]["seconds"] > 0
    assert (tmp_path / "cnp.npz").exists() and (tmp_path / "completed.png").exists()
    near = rows[completion.NEAREST]
    assert near["40"]["mean"] < near["3"]["mean"]
    train, test, _ = completion.parts(config)
    mean = train.mean(axis=0) / 255
    apart = np.square(mean - test / 255).mean()  # of all pictures, of which twenty are drawn
    assert rows[completion.MEAN]["3"]["mean"] == pytest.approx(apart, rel=0.3)
    monkeypatch.setattr(completion.training, "make_run", lambda *args, **told: pytest.fail("trained again"))
    assert run(completion.study, config)["rows"] == rows
