import pytest

from jmeta.report.tables import markdown, number, percent, plus_minus, told


def test_columns_of_numbers_are_aligned_and_others_not():
    """A column with a word in it is no column of numbers, one with gaps and bold cells is."""
    rows = [("maml", "**98.7 +- 0.4**", "-"), ("a long name", "7.1", "-0.5"), ("x", "", "3 of 5")]
    lines = markdown(("learner", "accuracy, %", "less"), rows).splitlines()
    assert lines == [
        "| learner     |     accuracy, % |   less |",
        "| ----------- | --------------: | -----: |",
        "| maml        | **98.7 +- 0.4** |      - |",
        "| a long name |             7.1 |   -0.5 |",
        "| x           |                 | 3 of 5 |",
    ]
    with pytest.raises(ValueError, match="shorter"):
        markdown(("a", "b"), [("1",)])


def test_numbers_are_written_in_one_way():
    assert plus_minus(0.5, 0.021, digits=1, sign="+") == "+0.5 +- 0.0"
    assert percent(0.98765, 0.0123) == "98.77 +- 1.23" and percent(-0.01, digits=1, sign="+") == "-1.0"
    assert number("accuracy", 0.5) == "50.00 %" and number("loss", 0.5) == "0.5000"
    assert told("accuracy", 0.5, 0.01) == "accuracy 50.00 % +- 1.00" and told("loss", 2, None) == "loss 2.0000"
