import csv
import json
import os
import shutil
import sys

import numpy as np
import pytest
from PIL import Image, ImageOps
from small_runs import PLAIN, TINY

import jmeta
from jmeta.datasets import load, make_dataset
from jmeta.errors import RunError
from jmeta.runs.engine.folder import read_rows
from jmeta.runs.few_shot.given import as_trained
from jmeta.runs.few_shot.plot import PlotConfig, inner_steps_of, plot, training_curve
from jmeta.runs.few_shot.trained import load_trained
from jmeta.runs.few_shot.transfer import show

pytestmark = pytest.mark.standard_promotion


def draw(path, pattern, *, mode="L", size=24, seed=0):
    noise = np.random.default_rng(seed).normal(0, 20, pattern.shape)
    ink = np.clip(255.0 * pattern + noise, 0, 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(ink).resize((size, size), Image.Resampling.NEAREST).convert(mode).save(path)


@pytest.fixture
def pictures(tmp_path):
    """Three classes, with one to three pictures each, and six pictures to be named; of several modes."""
    patterns = np.zeros((3, 8, 8), bool)
    patterns[0, 2:6, 2:4], patterns[1, 2:4, 1:7], patterns[2, 4:7, 4:7] = True, True, True
    for k, name in enumerate(("bar", "dash", "dot")):
        for i in range(k + 1):
            draw(tmp_path / "support" / name / f"{i}.png", patterns[k], mode=("L", "RGB", "P")[i], seed=10 * k + i)
        for i in range(2):
            draw(tmp_path / "query" / f"{name}{i}.png", patterns[k], size=17 + i, seed=50 + 10 * k + i)
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


def test_pictures_are_named_with_their_mirror_images(cli, finished, pictures):
    """The same probabilities where all pictures are turned; a few of them alone, others."""
    for name in ("support", "query"):
        for path in (pictures / name).rglob("*.png"):
            turned = pictures / "turned" / path.relative_to(pictures)
            turned.parent.mkdir(parents=True, exist_ok=True)
            with Image.open(path) as picture:
                ImageOps.mirror(picture).save(turned)

    def probabilities(support, *words):
        table = pictures / "named.csv"
        asked = ("--support", pictures / support / "support", "--query", pictures / "query", "--csv", table)
        assert cli("predict", "--run-dir", finished, *asked, *words).code == 0
        return [float(row["probability"]) for row in csv.DictReader(table.read_text().splitlines())]

    both = probabilities("", "--views", "mirror")
    np.testing.assert_allclose(probabilities("turned", "--views", "mirror"), both, atol=2e-4)
    assert np.abs(np.subtract(probabilities(""), both)).max() > 1e-3


def test_bad_pictures_are_refused(refused, finished, pictures):
    def words(support="support", query="query"):
        return ("predict", "--run-dir", finished, "--support", pictures / support, "--query", pictures / query)

    assert "is no folder" in refused(*words(support="nowhere"))
    assert "is no folder" in refused(*words(query="nowhere"))
    assert "is no folder and no file: give a picture" in refused(*words(), pictures / "query" / "gone.png")
    assert "or an empty word" in refused(*words()[:-1], "")  # which was the whole current folder
    assert "0 sub-folders" in refused(*words(support="query"))
    (pictures / "nothing").mkdir()
    assert "no pictures" in refused(*words(query="nothing"))
    assert "--invert" in refused(*words(), "--invert", "perhaps")
    assert "is in no folder" in refused(*words(), "--csv", pictures / "no" / "where.csv")
    before = (finished / "config.json").read_bytes()
    assert "a file of run folders" in refused(*words(), "--csv", finished / "config.json")
    (pictures / "linked.csv").symlink_to(finished / "metrics.jsonl")
    assert "a file of run folders" in refused(*words(), "--csv", pictures / "linked.csv")
    assert (finished / "config.json").read_bytes() == before
    assert "which it would replace" in refused(*words(), "--csv", pictures / "query" / "bar0.png")
    assert "which it would replace" in refused(*words(), "--csv", pictures / "support" / "bar" / "0.png")
    (pictures / "query" / "broken.png").write_bytes(b"not a picture")
    told = refused(*words(), "--strict", "--csv", pictures / "named.csv")
    assert "has 1 of 13 files that are no pictures or can't be read" in told and "broken.png: mend" in told
    assert not (pictures / "named.csv").exists()
    (pictures / "support" / "empty").mkdir()
    assert "empty has no pictures" in refused(*words())


def test_a_run_on_a_folder_says_how_its_pictures_looked(cli, tmp_path):
    """Fails where `predict` or `evaluate --dataset` decide anew what the run has decided."""
    rng = np.random.default_rng(0)
    for k in range(12):
        (tmp_path / "data" / f"class{k:02}").mkdir(parents=True)
        for i in range(4):
            ink = np.zeros((8, 8, 2), np.uint8)  # black on transparent paper
            ink[1 + k // 3 : 4 + k // 3, 1 + k % 6, 1] = rng.integers(150, 255, 3)
            picture = Image.fromarray(ink) if i else Image.fromarray(ink).resize((24, 16))
            picture.save(tmp_path / "data" / f"class{k:02}" / f"{i}.png")
    words = [*TINY, "--outer-steps", 10, "--image-size", 8, "--run-dir", tmp_path / "run"]
    assert cli("train", "--dataset", tmp_path / "data", *words).code == 0
    trained = load_trained(tmp_path / "run")
    facts = json.loads((tmp_path / "run" / "config.json").read_text())["facts"]
    assert facts["look"] == {"size": [8, 8], "channels": 1, "ink": "light", "files": "dark"}
    assert trained.look == ((8, 8), 1, "light", "dark")
    files = sorted((tmp_path / "data").rglob("*.png"))
    images = load(str(tmp_path / "data"), size=8).images
    assert show(trained).problem.checksum == facts["checksum"] == load(str(tmp_path / "data"), size=8).checksum
    np.testing.assert_array_equal(as_trained(trained.look, files), images.reshape(-1, 8, 8, 1))
    assert 0 < images.mean() < 50
    np.savez(tmp_path / "arrays.npz", images=255 - images)
    shown = show(trained, str(tmp_path / "arrays.npz")).problem
    np.testing.assert_array_equal(shown.dataset.images, images)
    assert shown.changes == ("inverted (dark ink here and light ink in training)",)
    assert shown.checksum == shown.dataset.checksum == make_dataset("arrays", images).checksum
    older = {name: value for name, value in trained.facts.items() if name != "look"}
    assert trained._replace(facts=older).look == ((8, 8), 1, "light", None)
    assert trained._replace(facts={"input_shape": [8, 8, 3]}).look == ((8, 8), 3, "none", None)


def test_a_run_is_drawn(finished, tmp_path):
    pytest.importorskip("matplotlib")
    shutil.copytree(finished, tmp_path / "run")
    written = plot(PlotConfig(str(tmp_path / "run"), episodes=5))
    assert [path.name for path in written] == ["training.png", "episodes.png", "inner_steps.png"]
    for path in written:
        with Image.open(path) as picture:
            assert min(picture.size) > 200 and np.asarray(picture.convert("L")).std() > 5
    assert not list((tmp_path / "run").glob(".*"))
    curves = training_curve(load_trained(tmp_path / "run"), read_rows(tmp_path / "run" / "metrics.jsonl")[:1])
    assert all(ax.lines[0].get_marker() == "o" for ax in curves.axes)  # one point alone is no line


def test_an_evaluation_of_another_checkpoint_is_not_drawn(finished, tmp_path, capsys):
    """Trained on, a run keeps its evaluation.json, whose curve would stand below that of the new training."""
    run = shutil.copytree(finished, tmp_path / "run")
    config, step = PlotConfig(str(run), episodes=5), load_trained(run).step
    kept = [{"inner_steps": 0, "accuracy": 0.25, "ci95": 0.125}]
    for measured in (step, step - 10):
        own = {"algorithm": "maml", "dataset": "x", "way": 2, "shot": 1, "episodes": 2, "steps": kept, "accuracy": 0.25}
        (run / "evaluation.json").write_text(json.dumps({"checkpoint_step": measured, **own}))
        found = inner_steps_of(config, step)
        assert (list(found["steps"]) == kept) == (measured == step) and found["checkpoint_step"] == step
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"evaluation.json is of step {step - 10}, and the best checkpoint of" in said


def test_drawing_without_matplotlib_says_what_to_install(refused, finished, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert "pip install 'jmeta[plots]'" in refused("plot", "--run-dir", finished)


def test_names_of_files_cannot_send_escapes(cli, finished, tmp_path):
    """Fails where the title of a terminal, or its color, is set by the name of a picture or of a class."""
    for name in (b"a", b"b\x1b[31mred\xff"):
        place = os.path.join(os.fsencode(tmp_path), name)
        os.mkdir(place)
        with open(os.path.join(place, b"p\x1b]0;title\x07\n.png"), "wb") as file:
            Image.fromarray(np.eye(8, dtype=np.uint8) * 255).save(file, "png")
    words = ("predict", "--run-dir", finished, "--support", tmp_path, "--query", tmp_path / "a")
    result = cli(*words)
    assert result.code == 0 and "\x1b" not in result.out and "p\\x1b]0;title\\x07\\n.png" in result.out
    assert cli(*words, "--csv", tmp_path / "found.csv").code == 0
    result = cli("predict", "--run-dir", tmp_path / "no\x1b[31m", "--support", tmp_path, "--query", tmp_path / "a")
    assert result.code == 2 and "\x1b" not in result.err and result.err.count("\n") == 1


def test_pictures_in_color_are_told_where_gray_ones_were_trained_on(cli, finished, pictures):
    """Catches photographs that a run on drawings names without a word, and a warning of gray ones in three channels."""
    red = np.zeros((20, 20, 3), np.uint8)
    red[5:15, 5:10, 0] = 255
    Image.fromarray(red).save(pictures / "query" / "red.png")
    sheet = np.full((20, 20, 3), (240, 228, 210), np.uint8)
    sheet[4:16, 4:8] = 20
    Image.fromarray(sheet).save(pictures / "query" / "sheet.png")  # black ink on yellowish paper is no color
    words = ("predict", "--run-dir", finished, "--support", pictures / "support", "--query")
    with pytest.warns(UserWarning, match="1 of 14 pictures are in color, and the run was trained on gray ones of"):
        assert cli(*words, pictures / "query").code == 0


def test_sub_folders_single_pictures_and_junk_are_taken_as_they_come(cli, finished, pictures):
    """Catches a query deep in a folder that is passed over, and junk that stops the rest."""
    (pictures / "query" / "deep" / "er").mkdir(parents=True)
    shutil.copy(pictures / "query" / "bar0.png", pictures / "query" / "deep" / "er" / "x.png")
    (pictures / "query" / "Thumbs.db").write_bytes(b"no picture")
    (pictures / "query" / "notes.txt").write_text("no picture")
    words = ("predict", "--run-dir", finished, "--support", pictures / "support", "--inner-steps", 20, "--query")
    with pytest.warns(UserWarning, match=r"1 of 14 files that are no pictures .*notes\.txt: they are left out"):
        result = cli(*words, pictures / "query")
    lines = [line.split() for line in result.out.splitlines()]
    assert len(lines) == 7 and [str(pictures / "query" / "deep" / "er" / "x.png"), "bar"] in [
        line[:2] for line in lines
    ]
    several = cli(*words, pictures / "query" / "dot1.png", pictures / "query" / "deep")
    assert [line.split()[1] for line in several.out.splitlines()] == ["dot", "bar"]
    alone = cli(*words, pictures / "query" / "bar0.png")
    assert alone.code == 0 and alone.out.split()[:2] == [str(pictures / "query" / "bar0.png"), "bar"]


PICTURES = {"a": np.zeros((2, 8, 8, 1)), "b": np.ones((2, 8, 8, 1))}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"support": 3}, "support must be a folder"),
        ({"support": ""}, "support must be a folder"),
        ({"query": np.array(3.0)}, "examples must be an array"),
        ({"query": b"q"}, "examples must be an array"),
        ({"query": ""}, "a path of examples is empty"),
        ({"query": np.array([[{}]])}, "examples must be numbers"),
        ({"query": np.zeros((2, 0, 0, 1))}, "without any values"),
        ({"query": np.zeros((8, 8, 1))}, r"got one example \[8, 8, 1\]: give it as array\[None\]"),
        ({"support": {**PICTURES, "c": np.zeros((8, 8, 1))}}, "got one example"),
        ({"inner_steps": -1}, "--inner-steps must be a whole number of 0 or more"),
        ({"inner_steps": "3"}, "--inner-steps must be a whole number of 0 or more"),
        ({"inner_steps": True}, "--inner-steps must be a whole number of 0 or more"),
        ({"inner_steps": 10**12}, "--inner-steps must be a whole number of 0 or more"),
        ({"statistics": None}, "a choice for --statistics is a name"),
        ({"checkpoint": 5}, "a checkpoint is a name"),
        ({"views": "no"}, "there is no choice for --views"),
        ({"strict": "no"}, "strict is True or False"),
        ({"run": None}, "a run is named by its folder"),
    ],
)
def test_what_a_script_gives_by_mistake_is_refused(finished, words, said):
    """Catches what ended in an error of numpy's or Python's own, and a picture whose rows were named one by one."""
    given = {"run": finished, "support": PICTURES, "query": np.zeros((1, 8, 8, 1)), **words}
    with pytest.raises(RunError, match=said):
        jmeta.predict(**given)


def test_what_a_learner_has_not_is_refused(cli, refused, tmp_path):
    """Inner steps of prototypes, and what is of pictures after vectors."""
    vectors = np.random.default_rng(0).normal(size=(12, 6, 5)).astype(np.float32)
    np.savez(tmp_path / "mine.npz", features=vectors)
    words = (*PLAIN, "--algorithm", "prototypical", "--network", "mlp", "--features", 4, "--norm", "none")
    trained = cli("train", "--dataset", tmp_path / "mine.npz", *words, "--run-dir", tmp_path / "run")
    assert trained.code == 0, trained
    for command in (("evaluate",), ("predict", "--support", tmp_path / "mine.npz", "--query", tmp_path / "mine.npz")):
        asked = (*command, "--run-dir", tmp_path / "run")
        assert "prototypical has no inner steps" in refused(*asked, "--inner-steps", 3)
    assert "--invert yes is for pictures, and the run was trained on none" in refused(*asked, "--invert", "yes")
