"""What is wrong with a command line is one sentence, whatever the width of the terminal."""

import pytest

from jmeta import cli
from jmeta.runs.engine.words import complaint, in_words

WRONG = {
    "train --outer-stepz 3": "jmeta train has no --outer-stepz: did you mean --outer-steps?",
    "train --foo --bar 2": "jmeta train has no --foo: see jmeta train --help.",
    "train --rotations 3": "jmeta train has no use for 3: leave it out, or see jmeta train --help.",
    "train --seed=1.5": "--seed takes a whole number, got '1.5': see jmeta train --help.",
    "train --features 8 b": "--features takes whole numbers, with spaces between them, got '8' 'b': "
    "see jmeta train --help.",
    "evaluate --episodes": "--episodes has too little after it: give its value, or see jmeta evaluate --help.",
    "predict --run-dir a": "jmeta predict needs --support and --query: see jmeta predict --help.",
    "data prepare": "jmeta data prepare needs one more word, of the data set, such as omniglot, or a path: "
    "see jmeta data prepare --help.",
    f"predict --run-dir a --support b --query c --invrt {'long/' * 30}": "jmeta predict has no --invrt: "
    "did you mean --invert?",
    f"list a {'long/' * 30}": f"jmeta list has no use for {'long/' * 30}: leave it out, or see jmeta list --help.",
    "train --way 3 --way x": "--way takes a whole number, got 'x': see jmeta train --help.",
    "train --features 3,2": "--features takes whole numbers, with spaces between them, got '3,2': "
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


@pytest.mark.parametrize(
    ("takes", "said"),
    [
        ("INT", "a whole number"),
        ("{None}|FLOAT", "a number"),
        ("{None}|{[INT [INT ...]]}", "whole numbers, with spaces between them"),
        ("FLOAT FLOAT", "2 numbers"),
        ("{best,newest}", "{best,newest}"),
    ],
)
def test_values_are_told_in_words(takes, said):
    """Catches an option of several numbers that is said to take None."""
    assert in_words(takes) == said


def test_what_is_not_known_is_told_in_one_line_too():
    box = "╭─ Odd ────╮\n│ Something odd. │\n│ ────────── │\n│ And why. │\n╰────────╯"
    assert complaint(box, [], "jmeta odd") == "Something odd. And why.: see jmeta odd --help."
