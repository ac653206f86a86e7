"""Own data from the command line: parts that share nothing, features, and a test of other data."""

import json
import warnings

import jax
import numpy as np
import pytest
from small_runs import PLAIN

from jmeta.datasets import make_dataset
from jmeta.runs.few_shot.pages import shortened
from jmeta.runs.few_shot.parts import large_enough, parts_of
from jmeta.runs.few_shot.problems import problem_of
from jmeta.runs.few_shot.settings import Tasks

pytestmark = pytest.mark.standard_promotion


def noise(*shape):
    return np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)


def test_no_two_parts_share_a_picture():
    """Catches a copy of a test picture, under another name, that is trained on."""
    images = noise(10, 4, 5, 5, 1)
    images[0, 1], images[1, 0], images[2, 3] = images[8, 0], images[6, 2], 0
    images[9, 3] = 0  # blank, as another is: kept
    data = make_dataset("copies", images)
    split = data.split("classes")
    order = np.concatenate([split.train, split.val, split.test])
    moved = make_dataset("copies", images[np.argsort(order)])  # class k of `images` is the k-th of the parts
    with pytest.warns(UserWarning, match="copies has 2 pictures in training or validation that are in a later part"):
        parts = parts_of(moved, split, own=True)
    rows = {name: {row.tobytes() for row in part.examples.rows if row.any()} for name, part in parts.items()}
    assert not rows["train"] & rows["test"] and not rows["val"] & rows["test"] and not rows["train"] & rows["val"]
    assert sum(part.examples.counts.sum() for part in parts.values()) == 38
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert parts_of(moved, split, own=False)["train"].examples.counts.sum() == 4 * len(split.train)


@pytest.mark.parametrize("part", ["train", "test"])
def test_the_classes_of_an_episode_are_those_it_was_drawn_from(part):
    """Catches names of other classes below the pictures: after turns, a part's own order, and copies left out."""
    levels = 10 * np.arange(20)[:, None] + np.arange(6)  # of class k, 10 k to 10 k + 5
    images = np.tile(levels[:, :, None, None, None], (2, 2, 1)).astype(np.uint8)
    images[:, :, 0, 0] += 1
    problem = problem_of(Tasks(dataset="levels", rotations=True), make_dataset("levels", images))
    assert problem.classes is not None
    for key in jax.random.split(jax.random.key(0), 3):
        drawn, told = problem.sampler(part, 4, 2, 3)(key), problem.classes(part, 4, 2, 3)(key)
        for found, known in ((drawn.support, told.support), (drawn.query, told.query)):
            assert (np.rint(np.asarray(found.x).min(axis=(1, 2, 3)) * 255).astype(int) // 10 == known.x[:, 0]).all()


def test_names_in_a_picture_can_be_told_apart():
    """Catches two classes of one episode that are called the same."""
    names = ["Latin/character03", "Greek/character03", "American_Crow_(adult)", "American_Robin_(adult)", "_rose"]
    assert shortened(names) == ["character03 1", "character03 2", "Ameri…adult) 1", "Ameri…adult) 2", " _rose"]


def test_a_run_is_evaluated_from_another_folder_than_it_was_trained_in(cli, tmp_path, monkeypatch):
    """Catches a relative path that leads nowhere from there, and one that leads to other data of that name."""
    rng = np.random.default_rng(0)
    for place in (tmp_path / "here", tmp_path / "there"):
        place.mkdir()
        kinds = np.repeat(np.arange(20), 6)
        features = (rng.normal(size=(20, 1, 4)) * 9 + rng.normal(size=(20, 6, 4))).reshape(-1, 4).astype(np.float32)
        np.savez(place / "mine.npz", features=features, labels=kinds)
        names = [str(i) for i in (range(20) if place.name == "here" else reversed(range(20)))]
        parts = {"train": names[:8], "val": names[8:13], "test": names[13:]}
        (place / "parts.json").write_text(json.dumps({"mine": parts}))
    monkeypatch.chdir(tmp_path / "here")
    words = ("--algorithm", "prototypical", "--network", "linear", "--query-shot", 2, "--outer-steps", 2)
    assert cli("train", "--dataset", "mine.npz", "--split", "parts.json:mine", *words, "--run-dir", "run").code == 0
    asked = ("evaluate", "--run-dir", tmp_path / "here" / "run", "--episodes", 20, "--output")
    assert cli(*asked, "a.json").code == 0
    monkeypatch.chdir(tmp_path / "there")
    assert cli(*asked, "b.json").code == 0
    first, second = (json.loads((tmp_path / name).read_text()) for name in ("here/a.json", "there/b.json"))
    for part in ("values", "data_checksum", "split_hash", "protocol"):
        assert first[part] == second[part], part
    parts = tmp_path / "here" / "parts.json"
    parts.write_text((tmp_path / "there" / "parts.json").read_text())
    refused = cli(*asked, "c.json")
    assert refused.code == 2 and "may have been trained on" in refused.err


def test_small_classes_are_left_out_and_named():
    counts = np.array([4, 1, 4, 4, 2, 4, 4, 4, 4, 4])
    data = make_dataset("few", noise(10, 4, 5, 5, 1), [f"k{i}" for i in range(10)], counts=counts)
    part = parts_of(data, data.split("all"), own=False)["test"]
    with pytest.warns(UserWarning, match="few has 2 classes of fewer than 3 examples, k1, k4: they are left out"):
        kept = large_enough(part, data, 3, 5, "an episode")
    assert kept.classes.tolist() == [0, 2, 3, 5, 6, 7, 8, 9] and (kept.examples.counts == 4).all()
    says = "needs 4 examples of each of 9 classes, and only 8 of the 10 of few there have as many .not k1, k4.: give"
    with pytest.raises(ValueError, match=says):
        large_enough(part, data, 4, 9, "an episode")


WORDS = ("train", "--algorithm", "prototypical", *PLAIN)


def test_features_are_trained_on_and_tested_on_others(cli, tmp_path):
    """Vectors of a file, told apart by where they lie; the test is of another file's classes."""
    rng = np.random.default_rng(0)
    for name in ("mine", "other"):
        means = rng.normal(size=(12, 1, 6))
        np.savez(tmp_path / f"{name}.npz", features=(means + 0.2 * rng.normal(size=(12, 8, 6))).astype(np.float32))
    words = (*WORDS, "--dataset", tmp_path / "mine.npz", "--test-dataset", tmp_path / "other.npz")
    result = cli(*words, "--run-dir", tmp_path / "run")
    assert result.code == 0, result
    assert (
        "mine, split test= " in result.out + result.err
        and "train 7 classes, 56 examples; val 5" in result.out + result.err
    )
    assert cli("evaluate", "--run-dir", tmp_path / "run", "--episodes", 20).code == 0
    found = json.loads((tmp_path / "run" / "evaluation-other.json").read_text())
    assert found["dataset"] == "other" and found["seen_classes"] == 0 and found["accuracy"] > 0.9


def test_all_classes_are_trained_on_and_the_test_is_elsewhere(cli, refused, tmp_path):
    """Catches a split that other data for the test push aside, and an empty test that is told as one too small."""
    for name in ("mine", "other"):
        np.savez(tmp_path / f"{name}.npz", features=noise(8, 6, 5) / 255)
    (tmp_path / "all.json").write_text(json.dumps({"train": [f"{k}" for k in range(8)], "test": []}))
    own = (*WORDS, "--dataset", tmp_path / "mine.npz", "--split", tmp_path / "all.json", "--run-dir")
    result = cli(*own, tmp_path / "both", "--test-dataset", tmp_path / "other.npz")
    assert result.code == 0 and "train 8 classes" in result.out + result.err, result
    assert cli("evaluate", "--run-dir", tmp_path / "both", "--episodes", 5).code == 0
    assert (tmp_path / "both" / "evaluation-other.json").exists()
    assert cli("plot", "--run-dir", tmp_path / "both").code == 0  # episodes of the other data
    assert (tmp_path / "both" / "episodes.png").exists()
    assert cli(*own, tmp_path / "alone").code == 0
    told = refused("evaluate", "--run-dir", tmp_path / "alone", "--episodes", 5)
    assert "the test part of mine (all.json) has no classes: name another --part or --split, or other data" in told


def test_pictures_are_refused_where_a_network_of_pictures_meets_vectors(refused, tmp_path):
    np.savez(tmp_path / "mine.npz", features=noise(8, 6, 5) / 255)
    words = ("train", "--dataset", tmp_path / "mine.npz", "--network", "conv4", "--run-dir", tmp_path / "run")
    assert "has no pictures, so --network must be mlp or linear" in refused(*words)
    told = refused(
        "train", "--dataset", "glyphs:40", "--split", "classes", "--test-classes", "a", "--run-dir", tmp_path / "run"
    )
    assert "each say what the test is" in told
    for nothing in ("", " , "):  # which would mean another split
        told = refused("train", "--dataset", "glyphs:40", "--test-classes", nothing, "--run-dir", tmp_path / "run")
        assert "--test-classes must name classes" in told
