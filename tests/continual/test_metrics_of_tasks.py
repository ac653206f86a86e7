"""Metrics of R by hand, and its picture."""

import numpy as np
import pytest

from jmeta.continual.metrics import draw_accuracies, task_metrics

R = np.array([[0.9, 0.3, 0.2], [0.95, 0.8, 0.4], [0.5, 0.6, 0.7]])
B = np.array([0.1, 0.2, 0.3])


def test_by_hand():
    """Catches means of the transfers over T in place of T - 1, R with its axes exchanged, a best that is the own."""
    found = task_metrics(R, B)
    assert found.retained == pytest.approx((0.5 + 0.6 + 0.7) / 3)
    assert found.learning == pytest.approx((0.9 + 0.8 + 0.7) / 3)
    assert found.backward == pytest.approx((-0.4 - 0.2) / 2)
    assert found.forward == pytest.approx((0.1 + 0.1) / 2)
    assert found.forgetting == pytest.approx((0.45 + 0.2) / 2)
    assert task_metrics(R).forward is None


def test_seeds_are_a_leading_axis():
    found = task_metrics(np.stack([R, R.T]), np.stack([B, B]))
    for seed, one in enumerate((R, R.T)):
        for mine, alone in zip(found, task_metrics(one, B), strict=True):
            assert mine is not None and mine[seed] == pytest.approx(alone)


@pytest.mark.parametrize(
    ("r", "b", "said"),
    [
        (np.ones((2, 3)), None, "of two tasks or more"),
        (np.ones((1, 1)), None, "of two tasks or more"),
        (R, B[:2], "accuracies before must be"),
        (R * np.nan, None, "finite"),
    ],
)
def test_what_is_no_matrix_of_accuracies_is_refused(r, b, said):
    with pytest.raises(ValueError, match=said):
        task_metrics(r, b)


def test_the_picture_is_there(tmp_path):
    pytest.importorskip("matplotlib")
    assert draw_accuracies(R, tmp_path / "r.png", title="plain steps").stat().st_size > 1000
    with pytest.raises(ValueError, match="from 0 to 1"):
        draw_accuracies(100 * R, tmp_path / "r.png")
