"""`jmeta active`: a small run from training to pictures, and suggestions out of folders of pictures."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from jmeta import cli

pytestmark = pytest.mark.standard_promotion
SMALL = ["--dataset", "glyphs:60", "--way", "3", "--pool-shot", "3", "--query-shot", "2", "--labels", "3"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A run of few-shot learning, hardly trained."""
    place = tmp_path_factory.mktemp("encoder") / "run"
    words = ["train", "--algorithm", "prototypical", "--dataset", "glyphs:60", "--network", "mlp", "--features", "8"]
    words += ["--norm", "none", "--outer-steps", "2", "--val-episodes", "2", "--log-every", "1", "--save-every", "2"]
    assert cli.main([*words, "--run-dir", str(place)]) == 0
    return place


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Two classes of one picture, dark and half dark, and a pool of four, of which two stand apart."""
    place = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)

    def write(name, level):
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((level + rng.integers(0, 20, (28, 28))).astype(np.uint8)).save(path)

    for name, level in (("support/a/0.png", 0), ("support/b/0.png", 60), ("pool/0.png", 0), ("pool/1.png", 60)):
        write(name, level)
    write("pool/2.png", 140)
    write("pool/3.png", 220)
    return place


def test_suggest_names_the_pictures_that_are_unlike_what_is_labelled(encoder, pictures, tmp_path, capsys):
    """Catches indices that count the labelled pictures, and a pool whose ink is read another way than the support's."""
    words = ["active", "suggest", "--run-dir", str(encoder), "--support", str(pictures / "support")]
    words += ["--pool", str(pictures / "pool"), "--invert", "no"]
    out = tmp_path / "next.csv"
    assert cli.main([*words, "--labels", "1", "--rule", "k-centre", "--csv", str(out)]) == 0
    assert "3.png" in capsys.readouterr().out
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [row["path"] for row in rows] == [str(pictures / "pool" / "3.png")] and rows[0]["rank"] == "1"
    assert rows[0]["class"] in ("a", "b") and 0 <= float(rows[0]["probability"]) <= 1
    capsys.readouterr()
    assert cli.main([*words, "--labels", "5"]) == 2
    assert "5 labels were asked for of a pool of 4" in capsys.readouterr().err
    assert cli.main([*words, "--labels", "2", "--rule", "k-center"]) == 2
    assert "there is no rule 'k-center' here" in capsys.readouterr().err
    (tmp_path / "none").mkdir()
    assert cli.main([*words[:-3], str(tmp_path / "none"), "--labels", "2"]) == 2
    assert "has no pictures" in capsys.readouterr().err


def test_labels_beyond_the_pool_and_other_algorithms_are_refused(capsys):
    assert cli.main(["active"]) == 0
    assert "suggest" in capsys.readouterr().out
    assert cli.main(["active", "train", *SMALL[:-1], "10"]) == 2
    assert "--labels 10 are more than a pool of --way 3 times --pool-shot 3" in capsys.readouterr().err
    assert cli.main(["active", "few_shot"]) == 2
    assert "python -m scripts.active.few_shot" in capsys.readouterr().err


@pytest.mark.long
def test_a_run_on_an_encoder_is_trained_evaluated_drawn_and_asked(encoder, pictures, tmp_path, capsys):
    """Catches pools that differ between rules, other features than the encoder's, and a rule that is not read back."""
    run = tmp_path / "run"
    words = [*SMALL, "--encoder", str(encoder), "--outer-steps", "4", "--val-pools", "3", "--meta-batch-size", "2"]
    assert cli.main(["active", "train", *words, "--log-every", "2", "--save-every", "2", "--run-dir", str(run)]) == 0
    capsys.readouterr()
    assert cli.main(["active", "plot", "--run-dir", str(run)]) == 2
    assert "has not been evaluated" in capsys.readouterr().err
    assert cli.main(["active", "evaluate", "--run-dir", str(run), "--pools", "8"]) == 0
    assert "above random" in capsys.readouterr().out
    rows = json.loads((run / "evaluation.json").read_text())["rows"]
    assert set(rows) == {"random", "entropy", "margin", "k-centre", "k-means", "coverage", "stratified", "learned"}
    assert len({row["curve"][0] for row in rows.values()}) == 1 and rows["random"]["above_random"] == 0
    assert cli.main(["active", "plot", "--run-dir", str(run)]) == 0
    assert (run / "labels.png").stat().st_size > 10_000 and (run / "training.png").exists()
    words = ["--support", str(pictures / "support"), "--pool", str(pictures / "pool"), "--labels", "2"]
    capsys.readouterr()
    assert cli.main(["active", "suggest", "--run-dir", str(encoder), *words, "--rule", str(run)]) == 0
    assert capsys.readouterr().out.count(".png") == 2
