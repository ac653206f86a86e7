"""What is wrong with a command line is one sentence, whatever the width of the terminal."""

import pytest

from jmeta import cli

WRONG = {
    "train --outer-stepz 3": "jmeta train has no --outer-stepz: did you mean --outer-steps?",
    "train --foo --bar 2": "jmeta train has no --foo: see jmeta train --help.",
    "train --rotations 3": "jmeta train has no use for 3: leave it out, or see jmeta train --help.",
    "train --seed=1.5": "--seed takes a whole number, got '1.5': see jmeta train --help.",
    "train --features 8 b": "--features takes whole numbers, got '8' 'b': see jmeta train --help.",
    "evaluate --episodes": "--episodes has nothing after it: give its value, or see jmeta evaluate --help.",
    "predict --run-dir a": "jmeta predict needs --support and --query: see jmeta predict --help.",
    "data prepare": "jmeta data prepare needs one more word, of the data set, such as omniglot, or a path: "
    "see jmeta data prepare --help.",
    "train --way 3 --way x": "--way takes a whole number, got 'x': see jmeta train --help.",
    "train --features 3,2": "--features takes whole numbers with spaces between them, got '3,2': "
    "see jmeta train --help.",
}


@pytest.mark.parametrize("width", ["200", "50"])
@pytest.mark.parametrize(("words", "sentence"), WRONG.items())
def test_each_is_a_sentence(words, sentence, width, monkeypatch, capsys):
    """Catches a box of tyro's, a sentence cut by the width, and a flag that is not the one meant."""
    monkeypatch.setenv("COLUMNS", width)
    assert cli.main(words.split()) == 2
    out, error = capsys.readouterr()
    assert (out, error) == ("", f"jmeta: {sentence}\n")


def test_help_is_still_help(capsys):
    """Catches help that is taken for a complaint."""
    assert cli.main(["predict", "--help"]) == 0
    out, error = capsys.readouterr()
    assert "--support" in out and error == ""
