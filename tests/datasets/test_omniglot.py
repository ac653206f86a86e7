import io
import re
import shutil
import time
import zipfile

import numpy as np
import pytest
from fake_omniglot import drawing, png, write_archive
from PIL import Image

from jmeta import datasets
from jmeta.datasets import downloads
from jmeta.datasets import omniglot as source


def nearest_neighbor(images, episodes=2000, way=5):
    """Accuracy of 1-shot classification by distance between raw pixels."""
    rng = np.random.default_rng(0)
    flat = images.reshape(*images.shape[:2], -1).astype(np.float32) / 255
    correct = []
    for _ in range(episodes):
        classes = rng.choice(len(flat), way, replace=False)
        support, query = np.stack([rng.choice(flat.shape[1], 2, replace=False) for _ in classes]).T
        distance = np.sum((flat[classes, query][:, None] - flat[classes, support][None]) ** 2, -1)
        correct.append(np.mean(distance.argmin(1) == np.arange(way)))
    return np.mean(correct)


def test_real_omniglot_is_complete(omniglot_names):
    assert omniglot_names.images.shape == (1623, 20, 28, 28, 1)
    assert omniglot_names.images.dtype == np.uint8
    assert len(set(omniglot_names.groups)) == 50
    assert omniglot_names.class_names[0] == "Alphabet_of_the_Magi/character01"
    assert omniglot_names.class_names[964] == "Angelic/character01"
    assert omniglot_names.class_names[-1] == "ULOG/character26"
    assert set(omniglot_names.counts) == {20}


def test_real_ink_is_bright_on_black(drawings):
    ink = drawings.images.reshape(len(drawings.names) * 20, -1)
    assert np.all(ink.max(1) > 150), "a drawing without strokes"
    assert 0.07 < ink.mean() / 255 < 0.10
    corners = drawings.images[:, :, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert np.median(corners) == 0


def test_real_labels_are_right(drawings):
    """Raw pixels score about 41.5 %, a little more after smoothing by the resize; 20 % would be wrong labels."""
    assert 0.40 < nearest_neighbor(drawings.images) < 0.48
    shuffled = drawings.images.reshape(-1, 28, 28)[np.random.default_rng(1).permutation(len(drawings.names) * 20)]
    assert nearest_neighbor(shuffled.reshape(drawings.images.shape), 1000) < 0.23


def test_real_drawing_equals_its_png(drawings, real_data):
    """The pixel sum of one drawing follows from its PNG, so classes and drawings are in the order of their names."""
    index = drawings.names.index("Greek/character05")
    with zipfile.ZipFile(real_data / "omniglot" / "images_background.zip") as archive:
        names = sorted(n for n in archive.namelist() if "/Greek/character05/" in n and n.endswith(".png"))
        for drawer in (0, 7, 19):
            with Image.open(io.BytesIO(archive.read(names[drawer]))) as image:
                ink = 1 - np.asarray(image, np.float64)
            assert drawings.images[index, drawer].mean() / 255 == pytest.approx(ink.mean(), rel=0.12)


@pytest.mark.long
def test_real_small_sets_hold_the_same_drawings(omniglot, real_data, real_cache):
    small = datasets.load("omniglot-small1", real_data)
    assert small.images.shape == (136 + 659, 20, 28, 28, 1)
    where = [omniglot.class_names.index(name) for name in small.class_names]
    np.testing.assert_array_equal(small.images, omniglot.images[where])
    assert small.split().protocol == "small1"
    np.testing.assert_array_equal([where[i] for i in small.split().train], omniglot.split("small1").train)


def test_real_archives_in_tfds_manual_folder(omniglot_names, real_data, tmp_path):
    manual = tmp_path / "downloads" / "manual"
    manual.mkdir(parents=True)
    for file in source.ARCHIVES["omniglot"]:
        shutil.copy(real_data / "omniglot" / file, manual)
    assert datasets.load("tfds:omniglot", tmp_path).checksum == omniglot_names.checksum


def test_second_load_comes_from_the_cache(omniglot_names, real_data, monkeypatch):
    monkeypatch.setattr(source, "read_archive", lambda *_: pytest.fail("read the archive again"))
    start = time.perf_counter()
    again = datasets.load("omniglot", real_data)
    assert time.perf_counter() - start < 3
    assert again.checksum == omniglot_names.checksum


def test_archive_is_read_in_sorted_order(tmp_path):
    path = write_archive(tmp_path / "images_background.zip", {"Zulu": 1, "Alpha": 2})
    characters = source.read_archive(path, 3)
    assert characters.names == ("Alpha/character01", "Alpha/character02", "Zulu/character01")
    for row, number in enumerate((2, 3, 1)):
        exact = drawing(number)[:104, :104].reshape(26, 4, 26, 4).any((1, 3))
        strokes = np.asarray(Image.fromarray(characters.images[row, 0]).resize((26, 26))) > 100
        assert np.mean(exact == strokes) > 0.9


ENCODINGS = {
    "1 bit": lambda ink: ~ink,
    "0 and 1": lambda ink: (~ink).astype(np.uint8),
    "0 and 255": lambda ink: np.where(ink, 0, 255).astype(np.uint8),
    "color, 0 and 1": lambda ink: np.repeat((~ink).astype(np.uint8)[..., None], 3, -1),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_encoding_of_ink_reads_the_same(tmp_path, encoding):
    path = write_archive(tmp_path / "a.zip", {"A": 1}, encode=ENCODINGS[encoding])
    image = source.read_archive(path, 1).images[0, 0]
    ink = Image.fromarray(np.where(drawing(1), 255, 0).astype(np.uint8))
    np.testing.assert_array_equal(image, np.asarray(ink.resize((28, 28), Image.Resampling.LANCZOS)))
    assert image.max() > 200 and np.median(image) == 0


def test_copies_of_macos_are_passed_over(tmp_path):
    path = write_archive(tmp_path / "a.zip", {"A": 1})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("__MACOSX/a/A/character01/._0001_01.png", b"no image")
        archive.writestr("a/A/.DS_Store", b"no image")
    assert source.read_archive(path, 1).images.shape == (1, 20, 28, 28)


def test_truncated_archive(tmp_path):
    path = write_archive(tmp_path / "a.zip", {"A": 2})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(
        datasets.DataError, match=r"a\.zip is damaged or another file \(File is not a zip file\), \d+ bytes long"
    ):
        source.read_archive(path, 2)


def test_archive_with_flipped_bytes(tmp_path):
    path = write_archive(tmp_path / "a.zip", {"A": 2})
    content = bytearray(path.read_bytes())
    content[len(content) // 4 : len(content) // 2] = bytes(len(content) // 2 - len(content) // 4)
    path.write_bytes(content)
    with pytest.raises(datasets.DataError, match="is damaged"):
        source.read_archive(path, 2)


@pytest.mark.parametrize(
    ("characters", "drawings", "got"),
    [({"A": 2}, 20, "2 characters and 40 drawings"), ({"A": 3}, 19, "3 characters and 57 drawings"), ({}, 20, "0 ch")],
)
def test_archive_of_other_contents(tmp_path, characters, drawings, got):
    path = write_archive(tmp_path / "a.zip", characters, drawings)
    with pytest.raises(datasets.DataError, match=f"must have 3 characters of 20 drawings each, got {got}"):
        source.read_archive(path, 3)


def test_archive_with_drawings_of_another_size(tmp_path):
    path = write_archive(tmp_path / "a.zip", {"A": 1}, encode=lambda ink: ~ink[:50, :50])
    with pytest.raises(datasets.DataError, match="50x50 pixels instead of 105x105"):
        source.read_archive(path, 1)


def test_missing_archives_are_named_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "URL", "https://nothing.invalid/")
    write_archive(tmp_path / "omniglot" / "images_evaluation.zip", {"A": 1})
    start = time.perf_counter()
    with pytest.raises(datasets.DataError) as caught:
        datasets.load("omniglot", tmp_path)
    assert time.perf_counter() - start < 5
    message = str(caught.value)
    assert "needs images_background.zip, not found in" in message
    assert str(tmp_path / "omniglot") in message and "github.com/brendenlake/omniglot" in message
    assert "images_evaluation.zip" not in message


def test_a_server_that_never_answers_is_given_up(monkeypatch):
    def hang(*_, **__):
        time.sleep(1)
        raise OSError

    monkeypatch.setattr(downloads.urllib.request, "urlopen", hang)
    start = time.perf_counter()
    assert not downloads.reachable("https://example.org", seconds=0.2)
    assert time.perf_counter() - start < 0.9


def test_wrong_png_in_archive(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for drawer in range(1, 21):
            archive.writestr(f"a/A/character01/0001_{drawer:02d}.png", b"text" if drawer == 7 else png(~drawing(1)))
    with pytest.raises(
        datasets.DataError, match=re.escape(f"{path} is damaged or another file (cannot identify image file")
    ):
        source.read_archive(path, 1)
