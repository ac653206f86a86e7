import sys
import types

import numpy as np
import pytest

from jmeta import datasets


def test_digits():
    dataset = datasets.load("digits")
    assert dataset.counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    images = dataset.examples.padded()
    assert images.shape == (10, 183, 8, 8, 1)
    assert dataset.class_names == tuple("0123456789")
    assert images.max() == 255
    from sklearn.datasets import load_digits

    source = load_digits()
    seven = source.images[source.target == 7]
    np.testing.assert_allclose(images[7, :179, ..., 0] * (16 / 255), seven, atol=0.04)
    assert not images[7, 179:].any()


def test_digits_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(datasets.DataError, match=r"digits needs scikit-learn.*pip install 'jmeta\[digits\]'"):
        datasets.load("digits")


@pytest.mark.parametrize("name", ["no_such_set", "", " ", "tfds", "glyph:3"])
def test_unknown_name(name, tmp_path):
    with pytest.raises(datasets.DataError, match=r"there is no data set .*choose one of omniglot, .*digits"):
        datasets.load(name, tmp_path)


@pytest.mark.parametrize("name", ["no/such/folder", "flowers/", "no.npz", "/no/such.zip"])
def test_a_path_that_is_not_there(name, tmp_path):
    """Catches a list of data sets, and of places such as `flowers/.npz`, where a path is misspelled."""
    with pytest.raises(datasets.DataError, match=r"there is no data set .*: no file or folder has that path") as caught:
        datasets.load(name, tmp_path)
    assert "/.npz" not in str(caught.value)


def test_a_misspelled_folder_is_told_as_what_it_is(tmp_path, monkeypatch):
    """Catches a list of known sets where a folder beside has almost that name."""
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(datasets.DataError, match="there is no data set 'photo': did you mean 'photos', which is in"):
        datasets.load("photo", tmp_path)


@pytest.mark.parametrize("count", ["", "0", "-3", "many", "1.5", "²"])
def test_bad_number_of_glyphs(count):
    with pytest.raises(datasets.DataError, match="needs N to be a number of classes"):
        datasets.load(f"glyphs:{count}")


@pytest.mark.parametrize(("name", "classes"), [("glyphs", 50), ("glyphs:7", 7)])
def test_glyphs_are_asked_for_by_number(name, classes, monkeypatch):
    def load(classes=50):
        return datasets.make_dataset("glyphs", np.zeros((classes, 1, 1, 1), np.uint8))

    glyphs = types.ModuleType("jmeta.datasets.glyphs")
    glyphs.load = load
    monkeypatch.setitem(sys.modules, "jmeta.datasets.glyphs", glyphs)
    monkeypatch.setattr(datasets, "glyphs", glyphs, raising=False)
    assert len(datasets.load(name).class_names) == classes


def test_root_comes_from_the_environment(tmp_path, monkeypatch):
    np.savez(tmp_path / "mine.npz", images=np.full((2, 2, 3, 3, 1), 5, np.uint8))
    monkeypatch.setenv("JMETA_DATA", str(tmp_path))
    assert datasets.load("mine.npz").images.mean() == 5


def test_the_one_shot_test_is_no_data_set(tmp_path):
    with pytest.raises(datasets.DataError, match="take it with jmeta evaluate --dataset omniglot-runs"):
        datasets.load("omniglot-runs", tmp_path)


def test_available_without_any_files(tmp_path):
    status = {entry.name: entry.status for entry in datasets.available(tmp_path)}
    assert status["omniglot"].startswith("lacks images_background.zip, images_evaluation.zip from github.com/")
    assert status["omniglot-runs"].startswith("lacks all_runs.zip from github.com/")
    assert status["glyphs, glyphs:N"] == "built in"
    assert "digits" in status


def test_available_says_where_omniglot_is(real_data):
    entries = {entry.name: entry for entry in datasets.available(real_data)}
    assert entries["omniglot"].status == str(real_data / "omniglot")
    assert entries["omniglot"].what.startswith("1623 handwritten characters x 20")
    assert entries["omniglot-runs"].status == str(real_data / "omniglot")
    assert entries["mnist28"].status == str(real_data / "mnist28.npz")


def test_real_npz_files(real_data):
    mnist = datasets.load("mnist28.npz", real_data)
    assert mnist.images.shape == (10, 600, 28, 28, 1) and mnist.class_names == tuple("0123456789")
    ones, zeros = mnist.images[1].mean(), mnist.images[0].mean()
    assert 15 < ones < 25 and 38 < zeros < 50  # a one has less than half the ink of a nought
    cifar = datasets.load("cifar10_32", real_data)
    assert cifar.images.shape == (10, 250, 32, 32, 3) and cifar.class_names[0] == "airplane"
