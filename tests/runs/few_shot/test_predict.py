import csv
import json
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from jmeta.runs.few_shot.pictures import read_picture
from jmeta.runs.few_shot.plot import PlotConfig, inner_steps_of, plot
from jmeta.runs.few_shot.trained import load_trained

pytestmark = pytest.mark.standard_promotion


def draw(path, pattern, *, light=False, size=24, seed=0):
    noise = np.random.default_rng(seed).normal(0, 20, pattern.shape)
    ink = np.clip(255.0 * pattern + noise, 0, 255).astype(np.uint8)
    picture = Image.fromarray(255 - ink if light else ink).resize((size, size), Image.Resampling.NEAREST)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.convert("RGB" if light else "L").save(path)


@pytest.fixture
def pictures(tmp_path):
    """Three classes, with one to three pictures each, and six pictures to be named; some dark on light."""
    patterns = np.zeros((3, 8, 8), bool)
    patterns[0, 2:6, 2:4], patterns[1, 2:4, 1:7], patterns[2, 4:7, 4:7] = True, True, True
    for k, name in enumerate(("bar", "dash", "dot")):
        for i in range(k + 1):
            draw(tmp_path / "support" / name / f"{i}.png", patterns[k], light=bool(i % 2), seed=10 * k + i)
        for i in range(2):
            draw(tmp_path / "query" / f"{name}{i}.png", patterns[k], light=bool(i), size=17 + i, seed=50 + 10 * k + i)
    (tmp_path / "query" / ".hidden").write_text("x")
    return tmp_path


def test_pictures_are_named(cli, finished, pictures):
    words = ("predict", "--run-dir", finished, "--support", pictures / "support", "--query", pictures / "query")
    result = cli(*words, "--inner-steps", 20, "--csv", pictures / "named.csv")
    assert result.code == 0, result
    with open(pictures / "named.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [str(p) for p in sorted((pictures / "query").glob("*.png"))]
    assert all(row["path"].startswith(str(pictures / "query" / row["class"])) for row in rows), rows
    assert all(1 / 3 < float(row["probability"]) <= 1 for row in rows)
    shown = cli(*words, "--inner-steps", 20)
    assert shown.code == 0 and len(shown.out.splitlines()) == 6
    assert shown.out.splitlines()[0].split()[:2] == [str(pictures / "query" / "bar0.png"), "bar"]


def test_bad_pictures_are_refused(refused, finished, pictures):
    def words(support="support", query="query"):
        return ("predict", "--run-dir", finished, "--support", pictures / support, "--query", pictures / query)

    assert "is no folder" in refused(*words(support="nowhere"))
    assert "is no folder" in refused(*words(query="nowhere"))
    assert "0 sub-folders" in refused(*words(support="query"))
    assert "no pictures" in refused(*words(query="support"))
    assert "--invert" in refused(*words(), "--invert", "perhaps")
    assert "is in no folder" in refused(*words(), "--csv", pictures / "no" / "where.csv")
    (pictures / "query" / "broken.png").write_bytes(b"not a picture")
    assert "broken.png is not a picture" in refused(*words(), "--csv", pictures / "named.csv")
    assert not (pictures / "named.csv").exists()
    (pictures / "support" / "empty").mkdir()
    assert "empty has no pictures" in refused(*words())


def test_pictures_are_made_like_those_of_training(tmp_path):
    ink = np.full((10, 30), 255, np.uint8)
    ink[4:6, 10:20] = 0
    Image.fromarray(ink).save(tmp_path / "a.png")
    bright = read_picture(tmp_path / "a.png", (28, 28, 1))
    assert bright.shape == (28, 28, 1) and bright[0, 0, 0] == 0 and bright[14, 14, 0] > 150
    assert 1 <= (bright[:, 14, 0] > 60).sum() <= 3, "its proportions are kept"
    assert read_picture(tmp_path / "a.png", (28, 28, 1), "no")[0, 0, 0] == 255
    assert read_picture(tmp_path / "a.png", (28, 28, 3)).shape == (28, 28, 3)
    glass = np.zeros((12, 12, 4), np.uint8)
    glass[4:8, 4:8, 3] = 255
    Image.fromarray(glass).save(tmp_path / "b.png")
    assert read_picture(tmp_path / "b.png", (12, 12, 1))[:, :, 0].tolist() == (glass[..., 3]).tolist()


def test_a_run_is_drawn(finished, tmp_path):
    pytest.importorskip("matplotlib")
    shutil.copytree(finished, tmp_path / "run")
    written = plot(PlotConfig(str(tmp_path / "run"), episodes=5))
    assert [path.name for path in written] == ["training.png", "episodes.png", "inner_steps.png"]
    for path in written:
        with Image.open(path) as picture:
            assert min(picture.size) > 200 and np.asarray(picture.convert("L")).std() > 5
    assert not list((tmp_path / "run").glob(".*"))


def test_an_evaluation_of_another_checkpoint_is_not_drawn(finished, tmp_path, capsys):
    """Trained on, a run keeps its evaluation.json, whose curve would stand below that of the new training."""
    run = shutil.copytree(finished, tmp_path / "run")
    config, step = PlotConfig(str(run), episodes=5), load_trained(run).step
    for measured in (step, step - 10):
        (run / "evaluation.json").write_text(json.dumps({"checkpoint_step": measured, "steps": "kept"}))
        found = inner_steps_of(config, step)
        assert (found["steps"] == "kept") == (measured == step) and found["checkpoint_step"] == step
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"evaluation.json is of step {step - 10}, and the best checkpoint of" in said


def test_drawing_without_matplotlib_says_what_to_install(refused, finished, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert "pip install 'jmeta[plots]'" in refused("plot", "--run-dir", finished)
