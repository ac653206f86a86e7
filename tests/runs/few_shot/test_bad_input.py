"""Each mistake gets one sentence that says what to do, exit code 2, and leaves nothing behind."""

import errno
import json

import numpy as np
import pytest
from small_runs import TINY

from jmeta.errors import RunError, advice, unknown
from jmeta.runs.few_shot.trained import load_settings

pytestmark = pytest.mark.standard_promotion

SETTINGS = [
    (["--way", "0"], "--way must be 1 or more, got 0"),
    (["--shot", "0"], "--shot must be 1 or more, got 0"),
    (["--query-shot", "-1"], "--query-shot must be 1 or more, got -1"),
    (["--outer-steps", "0"], "--outer-steps must be 1 or more"),
    (["--inner-steps", "-1"], "--inner-steps must be 0 or more, got -1"),
    (["--meta-batch-size", "0"], "--meta-batch-size must be 1 or more"),
    (["--seed", "-1"], "--seed must be 0 to 4294967295"),
    (["--seed", str(2**32)], "--seed must be 0 to 4294967295"),
    (["--inner-lr", "0"], "--inner-lr must be a number above 0, got 0"),
    (["--outer-lr", "nan"], "--outer-lr must be a number above 0, got nan"),
    (["--features", "0"], "--features must be 1 or more, got 0"),
    (["--features"], "--features must be numbers of 1 or more, got none"),
    (["--chunk-size", "3"], "--chunk-size must divide --meta-batch-size, got 3 and 4"),
    (["--save-every", "7"], "try --save-every 10"),
    (["--way", "9"], "9-way episodes need 9 classes, and the train part of shapes (classes) has 8"),
    (["--way", "5"], "the val part of shapes (classes) has 4"),
    (["--shot", "8"], "of 8 support and 2 query examples of the train part needs 10 examples of each"),
    (
        ["--train-shot", "7", "--algorithm", "reptile"],
        "of 7 support and 2 query examples of the train part needs 9 examples",
    ),
    (["--algorithm", "reptil"], "did you mean 'reptile'?"),
    (["--network", "conv5"], "did you mean 'conv4'?"),
    (["--norm", "bath"], "did you mean 'batch'?"),
    (["--inner-optimizer", "xyz"], "choose one of sgd, momentum, nesterov, adam, adam-b0"),
    (["--outer-schedule", "cosin"], "did you mean 'cosine'?"),
    (["--inner-grad", "mixd"], "did you mean 'mixed'?"),
    (["--precision", "float16"], "did you mean 'bfloat16'?"),
    (["--truncation", "-1"], "--truncation must be 0 or more, got -1"),
    (["--split", "finn"], "no split protocol 'finn'"),
]


@pytest.mark.parametrize(("words", "part"), SETTINGS, ids=[" ".join(words) for words, _ in SETTINGS])
def test_settings_that_make_no_sense(refused, shapes, tmp_path, words, part):
    assert part in refused("train", "--dataset", shapes, *TINY, "--run-dir", tmp_path / "run", *words)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--dataset", "omniglo"], "there is no data set 'omniglo': did you mean 'omniglot'?"),
        (["--dataset", "qqqq"], "there is no data set 'qqqq'"),
        (["--dataset", "glyphs:none"], "glyphs:N needs N"),
        (["--preset", "maml-omniglot-5w"], "did you mean one of maml-omniglot-5w1s, maml-omniglot-5w5s?"),
        (["--preset", "zzz"], "choose one of anil-omniglot-20w1s, "),
        (["--dataset", "sinusoid", "--network", "conv4"], "sinusoid has no pictures"),
        (["--dataset", "sinusoid", "--way", "5"], "sinusoid has tasks of one way, 1, got --way 5: leave it out"),
        (["--dataset", "sinusoid", "--algorithm", "siamese"], "siamese tells classes apart, and sinusoid has none"),
        (["--algorithm", "maml", "--train-way", "20"], "maml has parameters for each of its 5 classes"),
        (["--algorithm", "relation", "--network", "convnet2-512"], "relation has no network with a 512-unit layer"),
    ],
)
def test_names_that_are_not_there(refused, tmp_path, words, part):
    assert part in refused("train", *words, "--run-dir", tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_a_missing_archive_is_named_at_once(refused, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    monkeypatch.setattr("jmeta.datasets.downloads.reachable", lambda url: False)
    words = ("train", "--preset", "maml-omniglot-5w1s", "--data-dir", tmp_path / "data", "--run-dir", tmp_path / "run")
    message = refused(*words)
    assert "images_background.zip" in message and str(tmp_path / "data") in message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("keep", [0, 100, -30])
def test_a_cut_data_file_is_named(refused, shapes, tmp_path, keep):
    with open(shapes, "rb") as file:
        (tmp_path / "cut.npz").write_bytes(file.read()[:keep])
    message = refused("train", "--dataset", tmp_path / "cut.npz", *TINY, "--run-dir", tmp_path / "run")
    assert "cut.npz" in message
    assert not (tmp_path / "run").exists()


def test_rotations_need_square_pictures(refused, tmp_path):
    np.savez(tmp_path / "wide.npz", images=np.zeros((16, 8, 4, 6, 1), np.uint8))
    message = refused("train", "--dataset", tmp_path / "wide.npz", *TINY, "--rotations", "--run-dir", tmp_path / "run")
    assert "use --no-rotations" in message


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["--episodes", "0"], "--episodes must be 2 or more, got 0"),
        (["--way", "0"], "--way must be 1 or more, got 0"),
        (["--way", "5"], "5-way episodes need 5 classes, and the test part"),
        (["--shot", "9"], "of each of 2 classes, and the largest of shapes there has 8: give a smaller --shot"),
        (["--inner-steps", "-2"], "--inner-steps must be 0 or more, got -2"),
        (["--part", "tset"], "did you mean 'test'?"),
        (["--checkpoint", "bets"], "did you mean 'best'?"),
        (["--dataset", "sinusoid"], "can't be shown sinusoid"),
        (["--dataset", "omniglott"], "did you mean 'omniglot'?"),
        (["--output", "/no/such/folder/e.json"], "in no folder that exists"),
    ],
)
def test_evaluations_that_make_no_sense(refused, finished, words, part):
    assert part in refused("evaluate", "--run-dir", finished, *words)
    assert not (finished / "evaluation.json").exists()


def test_folders_that_are_no_runs(refused, finished, tmp_path):
    for command in ("evaluate", "plot"):
        assert "is no run folder" in refused(command, "--run-dir", tmp_path / "nothing")
    (tmp_path / "config.json").write_text("{")
    assert "config.json is damaged" in refused("evaluate", "--run-dir", tmp_path)
    (tmp_path / "config.json").write_text("{}")
    assert "config.json lacks experiment" in refused("evaluate", "--run-dir", tmp_path)
    (tmp_path / "config.json").write_text('{"experiment": "few-shot"}')
    assert "config.json lacks algorithm, dataset" in refused("evaluate", "--run-dir", tmp_path)
    stored = json.loads((finished / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({k: v for k, v in stored.items() if k != "shot"}))
    assert "config.json lacks shot" in refused("evaluate", "--run-dir", tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({k: v for k, v in stored.items() if k != "image_size"}))
    assert load_settings(tmp_path)[0].tasks.image_size is None, "a setting that is younger than the run"
    (tmp_path / "config.json").write_text(json.dumps({**stored, "facts": {"checksum": "c"}}))
    assert "config.json lacks protocol, split_hash, input_shape" in refused("evaluate", "--run-dir", tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({**stored, "experiment": "rl"}))
    assert "is a run of rl, not few-shot" in refused("evaluate", "--run-dir", tmp_path)
    (tmp_path / "config.json").write_bytes((finished / "config.json").read_bytes())
    assert "has no checkpoint yet" in refused("evaluate", "--run-dir", tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({**stored, "shto": None}))
    for command in ("evaluate", "plot", "train"):
        words = ("--resume",) if command == "train" else ()
        assert "has shto, which is no setting here: did you mean shot?" in refused(
            command, "--run-dir", tmp_path, *words
        )


def test_a_full_disk_leaves_the_evaluation_before(refused, finished, tmp_path, monkeypatch):
    output = tmp_path / "e.json"
    output.write_text("{}")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    message = refused("evaluate", "--run-dir", finished, "--episodes", 5, "--output", output)
    assert "No space left on device" in message and f"({output}): make room or choose another folder" in message
    assert output.read_text() == "{}" and [path.name for path in tmp_path.iterdir()] == ["e.json"]


def test_a_folder_that_cannot_be_made(refused, shapes, tmp_path):
    (tmp_path / "file").write_text("")
    message = refused("train", "--dataset", shapes, *TINY, "--run-dir", tmp_path / "file" / "run")
    assert "Not a directory" in message and f"{tmp_path / 'file'}" in message and "correct the path" in message
    assert "make room" not in message


def test_other_commands(refused, cli):
    assert "did you mean 'train'?" in refused("trian")
    assert "did you mean 'list'?" in refused("data", "lst")
    assert cli("data", "prepare").code == 2
    assert cli("data", "list", "--data-dir=/nowhere", "bogus").code == 2
    assert "takes no arguments" in refused("presets", "maml")
    assert "there is no data set 'qqqq'" in refused("data", "prepare", "qqqq")
    assert cli("train", "--way", "three").code == 2
    assert cli("train", "--no-such-flag").code == 2


def test_advice_is_about_the_error():
    """Making room helps where there is none, and nowhere else."""
    said = {
        name: advice(OSError(getattr(errno, name), "")) for name in ("ENOSPC", "EDQUOT", "EACCES", "ENOENT", "EMFILE")
    }
    assert said["ENOSPC"] == said["EDQUOT"] == "make room or choose another folder"
    assert "right to use it" in said["EACCES"] and said["ENOENT"] == "correct the path" and "ulimit" in said["EMFILE"]
    assert advice(OSError("odd")) == "see that the disk and the network are well"
    assert advice(ValueError("it failed [os_error_code='28']")) == said["ENOSPC"], "as a library tells it"


def test_close_matches():
    error = unknown("thing", "forx", ["fork", "spoon"])
    assert isinstance(error, RunError) and str(error) == "there is no thing 'forx': did you mean 'fork'?"
    assert str(unknown("thing", "qqq", ["fork", "spoon"])) == "there is no thing 'qqq': choose one of fork, spoon."
