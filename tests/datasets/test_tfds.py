import functools
import gzip
import http.server
import importlib.util
import json
import threading
import warnings

import numpy as np
import pytest
from fake_omniglot import write_archive

from jmeta import datasets
from jmeta.datasets import downloads, tfds_images
from jmeta.datasets import omniglot as source

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download import resource

CHARACTERS = {"images_background.zip": {"A": 2, "B": 1}, "images_evaluation.zip": {"C": 2}}


@pytest.fixture
def tiny_omniglot(monkeypatch):
    monkeypatch.setattr(source, "CLASSES", {file: sum(c.values()) for file, c in CHARACTERS.items()})


def put_in_download_cache(root, file):
    """Puts an archive where TFDS's downloader keeps it, and trusts it because of the .INFO file."""
    info = tfds.builder_cls("omniglot").url_infos[source.URL + file]
    written = write_archive(root / file, CHARACTERS[file])
    path = root / "downloads" / "omniglot" / resource.get_dl_fname(source.URL + file, info.checksum)
    path.parent.mkdir(parents=True, exist_ok=True)
    written.rename(path)
    resource.get_info_path(path).write_text(json.dumps({"original_fname": file, "url_info": {}}))
    return path


def test_omniglot_from_the_download_cache(tmp_path, tiny_omniglot):
    paths = {file: put_in_download_cache(tmp_path, file) for file in CHARACTERS}
    dataset = datasets.load("tfds:omniglot", tmp_path)
    assert dataset.class_names == ("A/character01", "A/character02", "B/character01", "C/character01", "C/character02")
    assert dataset.name == "omniglot" and dataset.images.shape == (5, 20, 28, 28, 1)
    manager = tfds.download.DownloadManager(
        download_dir=tmp_path / "downloads",
        dataset_name="omniglot",
        url_infos=tfds.builder_cls("omniglot").url_infos,
    )
    theirs = manager.download({file: source.URL + file for file in CHARACTERS})
    assert {file: str(path) for file, path in theirs.items()} == {file: str(path) for file, path in paths.items()}


def test_omniglot_from_the_users_default_tfds_folder(tmp_path, tiny_omniglot, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "elsewhere"))
    for file, characters in CHARACTERS.items():
        write_archive(tmp_path / "elsewhere" / "downloads" / "manual" / file, characters)
    assert datasets.load("omniglot", tmp_path / "empty").images.shape[0] == 5


def test_omniglot_without_archives_fails_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "reachable", lambda *_: False)
    monkeypatch.setattr(downloads, "download", lambda *_: pytest.fail("tried to download"))
    with pytest.raises(datasets.DataError, match=r"images_background\.zip and images_evaluation\.zip, not found in"):
        datasets.load("tfds:omniglot", tmp_path)


@pytest.fixture
def server(tmp_path):
    """Serves a folder; the address ends in a slash."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()
        thread.join()


def test_omniglot_is_downloaded_through_tfds(tmp_path, tiny_omniglot, server, monkeypatch):
    folder, url = server
    monkeypatch.setattr(source, "URL", url)
    for file, characters in CHARACTERS.items():
        write_archive(folder / file, characters)
    first = datasets.load("omniglot", tmp_path / "root")
    assert first.images.shape == (5, 20, 28, 28, 1)
    for file in CHARACTERS:
        (folder / file).unlink()
    assert datasets.load("omniglot", tmp_path / "root").checksum == first.checksum


def test_failed_download(tmp_path, server, monkeypatch):
    folder, url = server
    monkeypatch.setattr(source, "URL", url)
    (folder / "images_background.zip").write_bytes(b"x")
    with pytest.raises(datasets.DataError, match=r"images_evaluation\.zip to .* failed \(.*404"):
        datasets.load("omniglot", tmp_path / "root")


def test_mocked_mnist(tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "reachable", lambda *_: True)
    with tfds.testing.mock_data(num_examples=40):
        dataset = datasets.load("tfds:mnist", tmp_path)
        examples = list(tfds.builder("mnist", data_dir=tmp_path).as_data_source("train"))
    assert dataset.images.shape[2:] == (28, 28, 1) and dataset.name == "mnist"
    assert dataset.counts.sum() == 40
    for row, name in enumerate(dataset.class_names):
        mine = [e["image"] for e in examples if str(e["label"]) == name]
        np.testing.assert_array_equal(dataset.images[row, : dataset.counts[row]], mine)
        assert not dataset.images[row, dataset.counts[row] :].any()


def test_mocked_images_of_different_sizes_are_resized(tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "reachable", lambda *_: True)
    with tfds.testing.mock_data(num_examples=6):
        dataset = datasets.load("tfds:tf_flowers", tmp_path)
    assert dataset.images.shape[2:] == (84, 84, 3)
    assert set(dataset.class_names) <= {"dandelion", "daisy", "tulips", "sunflowers", "roses"}
    for row, count in enumerate(dataset.counts):
        assert abs(dataset.images[row, :count].mean() - 127.5) < 3


class Squares(tfds.core.GeneratorBasedBuilder):
    """Twelve classes; the gray of a picture is its label x 20 + its number in the class."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Tensor(shape=(6, 6, 1), dtype=np.uint8),
                "label": tfds.features.ClassLabel(names=[f"gray{i}" for i in range(12)]),
            }
        )
        return tfds.core.DatasetInfo(builder=self, features=features, supervised_keys=("image", "label"))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(0, 3), "test": self._generate_examples(3, 5)}

    def _generate_examples(self, first, last):
        for label in range(12):
            for i in range(first, last):
                yield f"{label}-{i}", {"image": np.full((6, 6, 1), 20 * label + i, np.uint8), "label": label}


@pytest.mark.parametrize("by", ["name", "folder"])
def test_prepared_set_is_read_from_all_splits(tmp_path, by):
    builder = Squares(data_dir=tmp_path)
    builder.download_and_prepare(file_format="array_record")
    dataset = datasets.load("tfds:squares" if by == "name" else f"tfds:{builder.data_path}", tmp_path)
    assert dataset.class_names == tuple(f"gray{i}" for i in range(12))
    np.testing.assert_array_equal(dataset.counts, 5)
    grays = 20 * np.arange(12)[:, None] + np.arange(5)
    np.testing.assert_array_equal(np.sort(dataset.images.max((2, 3, 4)), 1), grays)
    again = datasets.load("tfds:squares", tmp_path)
    assert again.checksum == dataset.checksum
    assert len(list((tmp_path / "cache").glob("tfds-squares-*.npz"))) == 1


def test_prepared_set_is_listed(tmp_path):
    Squares(data_dir=tmp_path).download_and_prepare(file_format="array_record")
    assert "tfds:squares" in {entry.name for entry in datasets.available(tmp_path)}


def test_set_without_network_fails_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "reachable", lambda *_: False)
    with pytest.raises(datasets.DataError, match=r"tfds:mnist is not prepared in .*train-images-idx3-ubyte\.gz"):
        datasets.load("tfds:mnist", tmp_path)


@pytest.mark.skipif(importlib.util.find_spec("tensorflow") is not None, reason="TensorFlow is installed")
def test_set_that_needs_tensorflow_to_be_prepared(tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "reachable", lambda *_: pytest.fail("asked the network for files that are there"))
    for url, info in tfds.builder_cls("mnist").url_infos.items():
        path = tmp_path / "downloads" / "mnist" / resource.get_dl_fname(url, info.checksum)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(b"text"))
        original = {"original_fname": url.rpartition("/")[2], "url_info": {}}
        resource.get_info_path(path).write_text(json.dumps(original))
    with pytest.raises(datasets.DataError, match=r"tfds:mnist could not be prepared in .* many sets need TensorFlow"):
        datasets.load("tfds:mnist", tmp_path)


def test_unknown_set(tmp_path):
    with pytest.raises(datasets.DataError, match=r"TFDS has no set 'no_such_set' .*choose a name"):
        datasets.load("tfds:no_such_set", tmp_path)


def test_set_that_is_no_image_classification(tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "reachable", lambda *_: True)
    with (
        tfds.testing.mock_data(num_examples=2),
        pytest.raises(datasets.DataError, match="is no image classification set, got the features"),
    ):
        datasets.load("tfds:imdb_reviews", tmp_path)


def test_set_too_large_for_memory(tmp_path, monkeypatch):
    Squares(data_dir=tmp_path).download_and_prepare(file_format="array_record")
    monkeypatch.setattr(tfds_images, "MAX_BYTES", 100)
    with pytest.raises(datasets.DataError, match="more than 100 bytes"):
        datasets.load("tfds:squares", tmp_path)
