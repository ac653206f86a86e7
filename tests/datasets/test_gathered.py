"""Pictures of more bytes than may be held are kept in a file, once, and are the same data set."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image

from jmeta import datasets
from jmeta.datasets import gathered, pictures
from jmeta.stored import Stored

BIG = pytest.mark.filterwarnings("ignore:.* needs .* GiB, more than")


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for k in range(3):
        for i in range(4):
            place = tmp_path / "set" / f"c{k}"
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 255, (9, 8, 3), np.uint8)).save(place / f"{i}.png")
    (tmp_path / "set" / "c1" / "4.png").write_bytes((tmp_path / "set" / "c1" / "0.png").read_bytes()[:90])
    return tmp_path / "set"


def files_of(suffix):
    return sorted(name for name in os.listdir(os.environ["JMETA_CACHE"]) if name.endswith(suffix))


@pytest.mark.filterwarnings("ignore:.* are left out")
def test_more_than_the_limit_is_the_same_data_set(folder, monkeypatch, tmp_path):
    """Also brought to another size for a learner that was trained on others, and to gray."""
    known = datasets.load(folder)
    monkeypatch.setenv("JMETA_MEMORY", "1_0")
    with pytest.raises(datasets.DataError, match="JMETA_MEMORY must be a number"):
        datasets.load(folder)
    monkeypatch.setenv("JMETA_MEMORY", str(known.examples.nbytes / 2**30))
    assert isinstance(datasets.load(folder).examples.rows, np.ndarray)
    monkeypatch.setenv("JMETA_MEMORY", str((known.examples.nbytes - 1) / 2**30))
    with pytest.warns(UserWarning, match=r"set needs .* GiB, more than the .*\.rows, and each episode reads its own"):
        found = datasets.load(folder)
    assert isinstance(found.examples.rows, Stored) and len(files_of(".rows")) == 1
    assert found[3:] == known[3:] and found.class_names == known.class_names and found.counts.tolist() == [4, 4, 4]
    np.testing.assert_array_equal(np.asarray(found.examples.rows), known.examples.rows)
    np.testing.assert_array_equal(found.images[2, 1], known.images[2, 1])
    like = known.look._replace(size=(5, 6), channels=1)
    (one, said), (other, same) = pictures.match(found, like), pictures.match(known, like)
    assert isinstance(one.examples.rows, Stored) and one.checksum == other.checksum and said == same


@BIG
def test_files_are_read_once_and_again_where_one_has_changed(folder, monkeypatch):
    """Catches what is kept of other files, of a part of them, or read at each start; and old copies that pile up."""
    monkeypatch.setenv("JMETA_MEMORY", "0")
    said = pytest.warns(UserWarning, match=r"1 of 13 files .*c1/4\.png: they are left out")
    with said:
        first = datasets.load(folder)
    (kept,) = files_of(".rows")

    def fails(*_, **__):
        raise AssertionError("a file was decoded again")

    with monkeypatch.context() as patch, said:
        patch.setattr("jmeta.datasets.files.as_learned", fails)
        patch.setattr("pathlib.Path.touch", lambda *_: os.stat("/nowhere"))  # of a folder for reading alone
        assert datasets.load(folder).checksum == first.checksum  # and the file that is none is told again
    place = os.path.join(os.environ["JMETA_CACHE"], kept)
    for damage in (lambda file: file.truncate(500), lambda file: file.write(b"damaged")):
        with open(place, "rb+") as file:
            damage(file)
        with said:
            assert datasets.load(folder).checksum == first.checksum
    with said:
        datasets.load(folder, size=5)
    old = os.path.getmtime(place) - 2 * 24 * 3600
    os.utime(place.replace(".rows", ".json"), (old, old))
    Image.fromarray(np.full((9, 8, 3), 7, np.uint8)).save(folder / "c0" / "0.png")
    with said:
        changed = datasets.load(folder)
    left = files_of(".rows")
    assert (changed.images[0, 0] == 7).all() and kept not in left
    assert len(left) == len(files_of(".json")) == 2 and left[0].startswith("set-5x5x3-")


@BIG
def test_a_place_has_one_file_however_it_is_named(folder, monkeypatch, tmp_path):
    """A relative and an absolute path, and a table that has both; and another folder of the same name has its own."""
    (folder / "c1" / "4.png").unlink()
    above = [f"{folder.parent}/", "", ""]
    rows = [f"{above[k]}set/c{k}/{i}.png,c{k}" for k in range(3) for i in range(4)]
    (tmp_path / "mine.csv").write_text("\n".join(["file,label", *rows]))
    known = datasets.load(folder).checksum
    monkeypatch.setenv("JMETA_MEMORY", "0")
    monkeypatch.chdir(tmp_path)
    for place in (folder, "set", "./set/../set"):
        assert datasets.load(place).checksum == known
    assert len(files_of(".rows")) == 1
    assert datasets.load(tmp_path / "mine.csv").counts.tolist() == [4, 4, 4]
    (tmp_path / "other").mkdir()
    shutil.copytree(folder, tmp_path / "other" / "set")
    datasets.load(tmp_path / "other" / "set")
    assert len(files_of(".rows")) == 3


@BIG
def test_a_file_that_goes_as_it_is_read_is_written_again(folder, monkeypatch):
    """As by another process that removes what it takes for old."""
    (folder / "c1" / "4.png").unlink()
    monkeypatch.setenv("JMETA_MEMORY", "0")
    first, whole, left = datasets.load(folder).checksum, gathered._whole, [1]

    def goes(path, *rest):
        if left:
            path.unlink(missing_ok=bool(left.pop()))
        return whole(path, *rest)

    monkeypatch.setattr(gathered, "_whole", goes)
    assert datasets.load(folder).checksum == first


@BIG
def test_pictures_that_are_all_cut_are_refused_as_in_memory(folder, monkeypatch):
    for path in folder.rglob("*.png"):
        path.write_bytes(path.read_bytes()[:-40])
    said = []
    for limit in ("1", "0"):
        monkeypatch.setenv("JMETA_MEMORY", limit)
        with pytest.raises(datasets.DataError, match=r"13 of 13 files that are no pictures") as caught:
            datasets.load(folder)
        said.append(str(caught.value))
    assert said[0] == said[1]


def test_rows_of_a_mapped_file_stay_there(tmp_path):
    x, y = np.random.default_rng(0).integers(0, 255, (12, 5, 5, 3), np.uint8), np.tile(["b", "a", "c"], 4)
    np.save(tmp_path / "x.npy", x)
    found = datasets.from_labels(np.load(tmp_path / "x.npy", mmap_mode="r"), y)
    assert isinstance(found.examples.rows, Stored) and found.class_names == ("a", "b", "c")
    assert found == datasets.from_labels(x, y)._replace(examples=found.examples)
    np.testing.assert_array_equal(np.asarray(found.examples[1]), x[y == "b"])


@BIG
@pytest.mark.filterwarnings("ignore:.* are left out")
def test_no_room_is_said_in_a_sentence(folder, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("JMETA_MEMORY", "0")
    monkeypatch.setenv("JMETA_CACHE", str(tmp_path / "file"))
    with pytest.raises(
        datasets.DataError, match=r"and can't be kept in .*file \(File exists\): correct the path, or set JM"
    ):
        datasets.load(folder)
    monkeypatch.setenv("JMETA_MEMORY", "much")
    with pytest.raises(datasets.DataError, match="JMETA_MEMORY must be a number of GiB, 0 or more, got 'much'"):
        datasets.load(folder)
