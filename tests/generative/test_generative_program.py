"""`jmeta generative`: a small run from training to drawings after pictures of one's own."""

import json

import numpy as np
import pytest
from PIL import Image

import jmeta
from jmeta import cli, datasets
from jmeta.generative import Generator

pytestmark = pytest.mark.standard_promotion
SMALL = ["--latent", "2", "--units", "8", "--samples", "2", "--seen", "2", "--query-shot", "2", "--val-classes", "3"]
SMALL += ["--outer-steps", "4", "--meta-batch-size", "2", "--log-every", "2", "--save-every", "2"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A set VAE of glyphs, hardly trained."""
    place = tmp_path_factory.mktemp("drawings") / "run"
    words = ["--algorithm", "set-vae", "--dataset", "glyphs:40", *SMALL, "--run-dir", str(place)]
    assert cli.main(["generative", "train", *words]) == 0
    return place


def test_it_is_evaluated_beside_what_needs_no_learning_and_drawn(run, capsys):
    """Catches densities per pixel, a mean over queries before the interval, and pictures that are not written."""
    assert cli.main(["generative", "evaluate", "--run-dir", str(run), "--shots", "0", "2", "--queries", "3"]) == 0
    said = capsys.readouterr().out
    rows = json.loads((run / "evaluation.json").read_text())["rows"]
    assert set(rows) == {"learned", "mean of the background", "Beta-Bernoulli", "what was seen, blurred"}
    assert rows["learned"]["shots"] == [0, 2] and all(name in said for name in rows)
    assert rows["mean of the background"]["nats"][0] == rows["mean of the background"]["nats"][1] > -400
    assert rows["Beta-Bernoulli"]["nats"][1] > rows["Beta-Bernoulli"]["nats"][0]
    assert cli.main(["generative", "plot", "--run-dir", str(run), "--classes", "2", "--number", "3"]) == 0
    for name in ("drawings.png", "training.png", "density.png"):
        assert (run / name).stat().st_size > 5_000


def test_pictures_of_ones_own_are_followed_by_new_ones(run, tmp_path):
    """Dark ink on white paper, as people draw. Catches ink that is not turned round, and a class in another's place."""
    glyphs = np.asarray(datasets.load("glyphs:40").images)
    for name in ("one", "two"):
        (tmp_path / "own" / name).mkdir(parents=True)
        for i in range(2):
            Image.fromarray(255 - glyphs[int(name == "two"), i, ..., 0]).save(tmp_path / "own" / name / f"{i}.png")
    (tmp_path / "own" / "one" / "notes.txt").write_text("no picture")
    words = ["--run-dir", str(run), "--support", str(tmp_path / "own"), "--number", "3"]
    with pytest.warns(UserWarning, match="1 of 5 files"):
        assert cli.main(["generative", "sample", *words, "--output", str(tmp_path / "new")]) == 0
    found = sorted(path.relative_to(tmp_path / "new").as_posix() for path in (tmp_path / "new").rglob("*.png"))
    assert found == sorted([*(f"{name}/00{i}.png" for name in ("one", "two") for i in (1, 2, 3)), "page.png"])
    pixels = np.asarray(Image.open(tmp_path / "new" / "one" / "001.png"))
    assert {*np.unique(pixels)} <= {0, 255} and pixels.shape == (112, 112)


def test_a_run_is_loaded_as_a_generator(run):
    found = jmeta.load(run)
    assert isinstance(found.learner, Generator) and found.facts["input_shape"] == [28, 28, 1]
    assert found.facts["look"]["ink"] == "light"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["sample", "--run-dir", "RUN", "--support", "nowhere"], "is no folder"),
        (["sample", "--run-dir", "RUN", "--support", "EMPTY"], "has no pictures"),
        (["evaluate", "--run-dir", "RUN", "--shots", "30"], "need 35 of each class"),
        (["evaluate", "--run-dir", "nowhere"], "nowhere"),
        (["train", "--dataset", "digits:3"], "digits"),
        (["train", "--heads", "3", "--dataset", "glyphs:40"], "must divide"),
        (["train", "--seen", "30", "--dataset", "glyphs:40"], "--dataset"),
        (["train", "--algorithm", "vae"], "set-vae"),
        (["omniglot"], "python -m scripts.generative.omniglot"),
    ],
)
def test_what_can_not_be_is_one_sentence(run, tmp_path, capsys, words, sentence):
    empty = tmp_path / "empty"
    empty.mkdir()
    told = [{"RUN": str(run), "EMPTY": str(empty)}.get(word, word) for word in words]
    if told[0] == "train":
        told += ["--run-dir", str(tmp_path / "refused")]
    assert cli.main(["generative", *told]) == 2
    err = capsys.readouterr().err.strip()
    assert sentence in err and "\n" not in err and not (tmp_path / "refused").exists()
