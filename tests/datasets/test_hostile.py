"""Files of others: nothing in them is run, and what is no data is one sentence."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from jmeta import datasets
from jmeta.datasets import omniglot, tfds_images

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n%%EndComments\n%%EOF\n"


def classes(folder):
    for name in "ab":
        (folder / name).mkdir(parents=True)
        Image.fromarray(np.eye(8, dtype=np.uint8) * 255).save(folder / name / "0.png")
    return folder


@pytest.mark.parametrize(
    "features",
    [
        {"pythonClassName": "evil.Feature", "featuresDict": {"features": {}}},
        {"python_class_name": "evil.Feature"},
        {"type": "evil.Feature", "content": {}},
        {"pythonClassName": "tensorflow_datasets.core.features.features_dict.FeaturesDict", "featuresDict": {
            "features": {"image": {"pythonClassName": "evil.Feature"}}}},
        {"type": "tensorflow_datasets.core.features.image_feature.Image", "content": [{"x": {"type": "evil.Feature"}}]},
    ],
)  # fmt: skip
def test_features_of_a_tfds_folder_import_nothing(tmp_path, monkeypatch, features):
    """Fails where TFDS imports the module that a features.json names, at any depth and in either of its spellings."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'was-run')!r}, 'w').close()\n")
    place = tmp_path / "set" / "1.0.0"
    place.mkdir(parents=True)
    info = {"name": "set", "version": "1.0.0", "fileFormat": "array_record", "splits": []}
    (place / "dataset_info.json").write_text(json.dumps(info))
    (place / "features.json").write_text(json.dumps(features))
    for name in (f"tfds:{place}", "tfds:set"):
        with pytest.raises(datasets.DataError, match=r"names features whose code is not TFDS's own, evil\.Feature"):
            datasets.load(name, tmp_path)
    assert not (tmp_path / "was-run").exists()


@pytest.mark.parametrize("content", [b"[" * 10**5, b"{", b"\xff"])
def test_features_that_cannot_be_read(tmp_path, content):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "features.json").write_bytes(content)
    with pytest.raises(datasets.DataError, match=r"features\.json can't be read"):
        datasets.load("tfds:set", tmp_path)


@pytest.mark.parametrize("name", ["huggingface:mnist", "kaggle:x/y", "../set", "a b"])
def test_names_of_tfds_that_would_fetch_code(tmp_path, name):
    with pytest.raises(datasets.DataError, match="its own sets alone are taken"):
        datasets.load(f"tfds:{name}", tmp_path)


def test_images_of_tfds_are_of_the_formats_that_are_taken():
    with pytest.raises(datasets.DataError, match="has an image that can't be read"):
        tfds_images._decoded("set", lambda image: pytest.fail("was decoded"), EPS)


def test_the_working_directory_is_not_imported_from(tmp_path):
    """Fails where `python -m jmeta` finds a module of the folder that it is called in."""
    (tmp_path / "sklearn.py").write_text("open('was-run', 'w').close()\n")
    words = [sys.executable, "-m", "jmeta", "data", "prepare", "digits"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, timeout=120, check=False)
    assert not (tmp_path / "was-run").exists()


def test_no_program_is_started_for_a_picture(tmp_path, monkeypatch):
    """Fails where a .png that is PostScript is given to Ghostscript."""
    tools, folder = tmp_path / "tools", classes(tmp_path / "set")
    tools.mkdir()
    (tools / "gs").write_text(f"#!/bin/sh\ntouch '{tmp_path}/was-run'\nexit 1\n")
    (tools / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", str(tools), prepend=os.pathsep)
    (folder / "a" / "1.png").write_bytes(EPS)
    with pytest.raises(datasets.DataError, match=r"files that are no pictures or can't be read, .*a/1\.png: mend"):
        datasets.load(str(folder), strict=True)
    assert not (tmp_path / "was-run").exists()


def test_pipes_and_devices_among_pictures(tmp_path):
    """Fails by waiting for ever."""
    folder = classes(tmp_path / "set")
    os.mkfifo(folder / "b" / "pipe.png")
    with pytest.raises(datasets.DataError, match=r"files that are no pictures or can't be read, .*b/pipe\.png: mend"):
        datasets.load(str(folder), strict=True)
    (folder / "b" / "pipe.png").unlink()
    (folder / "b" / "zero.png").symlink_to("/dev/zero")
    with pytest.raises(datasets.DataError, match=r"1 of 3 files .*b/zero\.png: mend"):
        datasets.load(str(folder), strict=True)


@pytest.mark.parametrize(
    ("arrays", "part"),
    [
        ({"class_names": np.array(5)}, "class_names must be a list of names"),
        ({"class_names": np.zeros((4, 2))}, "class_names must be a list of names"),
        ({"groups": np.array("a")}, "groups must be a list of names"),
        ({"counts": np.array(["a"] * 4)}, "counts must be an integer for each of the 4 classes, got <U1"),
        ({"counts": np.array([1, 2, 3, np.nan])}, "counts must be an integer for each of the 4 classes"),
        ({"counts": np.array(3)}, r"for each of the 4 classes, got int64 of shape \[\]"),
    ],
)
def test_what_stands_beside_the_images_is_one_sentence(tmp_path, arrays, part):
    images = np.random.default_rng(0).integers(0, 256, (4, 3, 5, 6)).astype(np.uint8)
    np.savez(tmp_path / "a.npz", images=images, **arrays)
    with pytest.raises(datasets.DataError, match=part):
        datasets.load(str(tmp_path / "a.npz"))


def test_names_cannot_send_escapes_and_those_that_are_not_utf8_are_shown(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (3, 2, 5, 6)).astype(np.uint8)
    np.savez(tmp_path / "a.npz", images=images, class_names=np.array([b"a\x1b[31m", b"\xff", "\u00e9".encode()]))
    assert datasets.load(str(tmp_path / "a.npz")).class_names == ("a\\x1b[31m", "\\udcff", "\u00e9")


def test_sizes_that_do_not_fit_are_refused_before_anything_is_made():
    for name in ("glyphs:99999999999", "glyphs:" + "9" * 19):
        with pytest.raises(datasets.DataError, match="of memory are at hand"):
            datasets.load(name)
    with pytest.raises(datasets.DataError, match="glyphs:N needs N"):
        datasets.load("glyphs:" + "9" * 5000)


def test_large_drawings_of_an_archive_are_not_decoded():
    with pytest.raises(ValueError, match="pixels instead of 105x105"):
        omniglot.read_drawing(_huge())


def _huge():
    """The head of a PNG file of 30,000 x 30,000 pixels, which has none."""
    import struct
    import zlib

    def chunk(kind, content):
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    size = struct.pack(">IIBBBBB", 9_000, 9_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def test_a_pipe_in_place_of_a_data_set_is_said_to_be_one(tmp_path):
    """It was said not to be there, and looked for twice in one place."""
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(datasets.DataError, match="neither a file nor a folder"):
        datasets.load(str(tmp_path / "pipe.npz"))
