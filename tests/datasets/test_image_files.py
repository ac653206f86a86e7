import re
import shutil
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jmeta import datasets


def noise(*shape):
    return np.random.default_rng(0).integers(0, 150, shape, dtype=np.uint8)


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.mark.parametrize("shape", [(4, 3, 5, 6, 3), (4, 3, 5, 6)])
def test_npz(tmp_path, shape):
    images = noise(*shape)
    np.savez(tmp_path / "mine.npz", images=images, class_names=np.array(["a", "b", "c", "d"]))
    dataset = datasets.load(str(tmp_path / "mine.npz"))
    np.testing.assert_array_equal(dataset.images, images.reshape(4, 3, 5, 6, -1))
    assert dataset.class_names == ("a", "b", "c", "d")
    assert dataset.name == "mine" and dataset.groups == ("mine",) * 4
    np.testing.assert_array_equal(dataset.counts, 3)


def test_npz_with_the_only_array_of_rank_5(tmp_path):
    images = noise(4, 3, 5, 6, 1)
    np.savez(tmp_path / "mine.npz", pictures=images, other=np.zeros(3), counts=np.array([3, 1, 2, 3]))
    dataset = datasets.load(str(tmp_path / "mine.npz"))
    images[1, 1:] = images[2, 2:] = 0  # what is no example is not kept
    assert dataset.images is dataset.examples  # an array would have padding that could be taken for examples
    np.testing.assert_array_equal(dataset.examples.padded(), images)
    assert dataset.class_names == ("0", "1", "2", "3")
    assert dataset.counts.tolist() == [3, 1, 2, 3]


@pytest.mark.parametrize("shape", [(7, 5, 6, 3), (7, 5, 6)])
def test_npz_of_pictures_with_labels(tmp_path, shape):
    """Fails where the first axis is taken for the classes."""
    images, labels = noise(*shape), np.array([2, 7, 2, 10, 7, 2, 10])
    of_text = [(labels.astype(kind), ("10", "2", "7")) for kind in (str, bytes)]
    for values, names in ((labels, ("2", "7", "10")), *of_text):
        np.savez(tmp_path / "flat.npz", images=images, labels=values)
        dataset = datasets.load("flat", tmp_path)
        assert dataset.class_names == names and dataset.images.shape == (3, 3, 5, 6, shape[3] if len(shape) > 3 else 1)
        for k, name in enumerate(names):
            own = images[values.astype(str) == name]
            assert dataset.counts[k] == len(own) and not dataset.images[k, len(own) :].any()
            np.testing.assert_array_equal(dataset.images[k, : len(own)].reshape(own.shape), own)


def test_npz_of_bools_is_black_and_white(tmp_path):
    images = noise(2, 3, 5, 6) > 75
    np.savez(tmp_path / "mine.npz", images=images)
    np.testing.assert_array_equal(datasets.load("mine", tmp_path).images[..., 0], 255 * images)


def test_pictures_that_are_there_twice_are_told(tmp_path):
    """Fails where only the names of classes are compared, or blank pictures and padding are counted."""
    images = noise(4, 3, 5, 6)
    images[1, 2], images[2, :2], images[:, 1] = images[0, 0], images[0, 0], 0
    np.savez(tmp_path / "mine.npz", images=images, counts=np.array([3, 3, 2, 2]))
    with pytest.warns(UserWarning, match="mine has 1 pictures that are the same in several classes, and 0 that are"):
        datasets.load("mine", tmp_path)
    images[3, 2], images[2, 2] = images[3, 0], images[2, 0]
    np.savez(tmp_path / "mine.npz", images=images, counts=np.array([3, 3, 2, 3]))
    with pytest.warns(UserWarning, match="and 1 that are the same as another of their class: remove copies"):
        datasets.load("mine", tmp_path)


@pytest.mark.parametrize("name", ["mine.npz", "mine"])
def test_npz_in_the_root_by_its_bare_name(tmp_path, name):
    np.savez(tmp_path / "mine.npz", images=noise(2, 2, 3, 3, 1))
    assert datasets.load(name, tmp_path).images.shape == (2, 2, 3, 3, 1)
    assert ("mine", str(tmp_path / "mine.npz")) in [(a.name, a.status) for a in datasets.available(tmp_path)]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"images": np.zeros((2, 8, 8, 1), np.uint8)},
            r"must be \[classes, examples, .* got \[2, 8, 8, 1\]: group rows",
        ),
        ({"x": np.zeros((2, 3), np.uint8)}, r"must be \[classes, examples, ...\].* got \[2, 3\]: group rows"),
        ({"z": np.zeros((2, 3), np.uint8)}, r"must have an array called images .* got z of shape \[2, 3\]"),
        ({c: np.zeros((1, 1, 1, 1, 1), np.uint8) for c in "vw"}, "must have an array called images"),
        ({"images": np.zeros((2, 1, 3, 3), np.uint8), "class_names": np.array(["a"])}, "2 classes need as many"),
        (
            {"images": np.eye(4, dtype=np.uint8)[None, None]},
            "images are uint8 of 0 and 1 alone, where 255 is white: multiply",
        ),
        (
            {"images": noise(6, 4, 4, 3), "labels": np.arange(5)},
            r"labels \[N\], got \[6, 4, 4, 3\] and \[5\]: give one",
        ),
        (
            {"images": noise(2, 4), "labels": np.array([0.5, 1.5])},
            "labels must be names or numbers of classes, got float64",
        ),
        (
            {"images": noise(2, 4, 4), "labels": np.arange(2), "class_names": np.array(["a", "b"])},
            "leave class_names and counts out",
        ),
        (
            {"images": noise(2, 4, 4), "labels": np.arange(2), "counts": np.array([1, 1])},
            "leave class_names and counts",
        ),
        ({"images": noise(2, 4, 4), "labels": np.array([1, np.nan])}, "labels must be names or numbers of classes"),
        (
            {"images": np.array([{}, {}], object)},
            "cannot be read as an npz file .*holds Python objects, which are never read",
        ),
    ],
)
def test_bad_npz(tmp_path, arrays, message):
    np.savez(tmp_path / "mine.npz", **arrays)
    with pytest.raises(datasets.DataError, match=message):
        datasets.load(str(tmp_path / "mine.npz"))


def test_truncated_npz(tmp_path):
    path = tmp_path / "mine.npz"
    np.savez(path, images=noise(4, 3, 5, 6, 3))
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(datasets.DataError, match=re.escape(f"{path} cannot be read as an npz file")):
        datasets.load(str(path))


@pytest.mark.parametrize("content", [b"", b"text"])
def test_file_of_another_kind(tmp_path, content):
    (tmp_path / "mine.txt").write_bytes(content)
    with pytest.raises(datasets.DataError, match=r"mine\.txt is no data set that can be read: give \.npz, \.zip"):
        datasets.load(str(tmp_path / "mine.txt"))


def test_npy_file(tmp_path):
    np.save(tmp_path / "mine.npy", noise(2, 2, 3, 3, 1))
    with pytest.raises(datasets.DataError, match="one array and not an archive of arrays"):
        datasets.load(str(tmp_path / "mine.npy"))


def test_folder_of_color_images(tmp_path):
    images = noise(3, 2, 5, 6, 3)
    for c, name in enumerate(("cat", "dog", "eel")):
        for i in range(2):
            save(tmp_path / "pets" / name / f"{i}.png", images[c, i])
    (tmp_path / "pets" / "cat" / ".DS_Store").write_bytes(b"no image")
    (tmp_path / "pets" / "README.txt").write_text("not in a class")
    dataset = datasets.load(str(tmp_path / "pets"))
    np.testing.assert_array_equal(dataset.images, images)
    assert dataset.name == "pets" and dataset.class_names == ("cat", "dog", "eel")
    assert dataset.groups == ("pets",) * 3
    assert datasets.load("pets", tmp_path).checksum == dataset.checksum


def test_nested_folder_with_uneven_classes(tmp_path):
    images = noise(3, 3, 4, 4)
    for c, (name, count) in enumerate((("Greek/alpha", 3), ("Greek/beta", 1), ("Latin/a", 2))):
        for i in range(count):
            save(tmp_path / "chars" / name / f"{i}.png", images[c, i])
    dataset = datasets.load(str(tmp_path / "chars"))
    assert dataset.class_names == ("Greek/alpha", "Greek/beta", "Latin/a")
    assert dataset.groups == ("Greek", "Greek", "Latin")
    assert dataset.counts.tolist() == [3, 1, 2]
    np.testing.assert_array_equal(dataset.images[0, :, ..., 0], images[0])
    np.testing.assert_array_equal(dataset.images[1, 0, ..., 0], images[1, 0])
    assert not dataset.images[1, 1:].any() and not dataset.images[2, 2:].any()


def test_gray_and_color_together_are_color(tmp_path):
    save(tmp_path / "x" / "a" / "0.png", np.full((2, 2), 9, np.uint8))
    save(tmp_path / "x" / "b" / "0.png", np.full((2, 2, 3), (1, 2, 3), np.uint8))
    images = datasets.load(str(tmp_path / "x")).images
    assert images[0, 0, 0, 0].tolist() == [9, 9, 9] and images[1, 0, 0, 0].tolist() == [1, 2, 3]


def test_16_bit_images_are_scaled(tmp_path):
    for name, value in (("a", 1 << 8), ("b", 100 << 8)):
        save(tmp_path / "x" / name / "0.png", np.full((2, 2), value, np.uint16))
    assert datasets.load(str(tmp_path / "x")).images.max((1, 2, 3, 4)).tolist() == [1, 100]


def test_ink_on_white_paper_becomes_bright_and_padding_stays_black(tmp_path):
    pixels = np.full((6, 6), 255, np.uint8)
    pixels[2] = 10
    for i, name in enumerate(("a/0", "a/1", "b/0")):
        pixels[4, i] = 200
        save(tmp_path / "x" / f"{name}.png", pixels)
    dataset = datasets.load(str(tmp_path / "x"))
    images = dataset.examples.padded()
    np.testing.assert_array_equal(images[:, 0, 2], 245)
    np.testing.assert_array_equal(np.delete(images[:, 0], (2, 4), 1), 0)
    assert not images[1, 1].any()


def test_1_bit_drawings(tmp_path):
    ink = np.eye(8, dtype=bool)
    save(tmp_path / "x" / "a" / "0.png", ~ink)
    np.testing.assert_array_equal(datasets.load(str(tmp_path / "x")).images[0, 0, ..., 0], np.eye(8) * 255)


def test_bad_folders(tmp_path):
    def fails(name, message):
        with pytest.raises(datasets.DataError, match=message):
            datasets.load(str(tmp_path / name))

    (tmp_path / "none").mkdir()
    fails("none", "none has no sub-folders")
    (tmp_path / "empty" / "a").mkdir(parents=True)
    save(tmp_path / "empty" / "b" / "0.png", noise(2, 2))
    with pytest.raises(datasets.DataError, match=r"empty/a has no images: add some"):
        datasets.load(str(tmp_path / "empty"), strict=True)
    with pytest.warns(UserWarning, match=r"empty/a has no images: it is left out"):
        assert datasets.load(str(tmp_path / "empty")).class_names == ("b",)
    save(tmp_path / "text" / "a" / "0.png", noise(2, 2))
    (tmp_path / "text" / "a" / "1.txt").write_text("text")
    with pytest.raises(datasets.DataError, match=r"1 of 2 files that are no pictures .*text/a/1\.txt: mend"):
        datasets.load(str(tmp_path / "text"), strict=True)
    with pytest.warns(UserWarning, match=r"text has 1 of 2 files that are no pictures .*1\.txt: they are left out"):
        assert datasets.load(str(tmp_path / "text")).counts.tolist() == [1]
    save(tmp_path / "mixed" / "a" / "0.png", noise(2, 2))
    save(tmp_path / "mixed" / "a" / "b" / "0.png", noise(2, 2))
    save(tmp_path / "mixed" / "c" / "0.png", noise(2, 2))
    fails("mixed", "mixed/a/0.png is a picture beside sub-folders: move it")
    save(tmp_path / "cut" / "a" / "0.png", noise(40, 40))
    path = tmp_path / "cut" / "a" / "0.png"
    path.write_bytes(path.read_bytes()[:300])
    fails("cut", r"1 of 1 files that are no pictures or can't be read, .*a/0\.png: mend or remove them")


TREES = {
    "flat": (["a/0.png", "b/0.png"], ("a", "b"), ""),
    "notes at the top": (["README.md", "labels.csv", "a/0.png", "b/0.png"], ("a", "b"), ""),
    "below others": (["README", "all/set/a/0.png", "all/notes.md", "all/set/b/0.png"], ("a", "b"), ""),
    "groups": (["x/a/0.png", "y/a/0.png", "y/b/0.png"], ("x/a", "y/a", "y/b"), ""),
    "notes in a group": (
        ["x/a/0.png", "x/n.md", "y/b/0.png"],
        ("x/a", "y/b"),
        r"1 of 3 .*x/n\.md: they",
    ),
    "a folder of notes": (["a/0.png", "b/0.png", "docs/n.md"], ("a", "b"), r"1 of 3 .*docs/n\.md: they"),
    "a cover": (["s/cover.jpg", "s/a/0.png", "s/b/0.png"], ("a", "b"), r"no class, .*s/cover\.jpg: they"),
    "parts": (
        ["s/README", "s/bad.png", "s/train/a/0.png", "s/test/b/0.png"],
        ("test/b", "train/a"),
        r"class, .*bad\.png",
    ),
    "beside parts": (
        ["train/a/0.png", "Test/b/0.png", "docs/0.png"],
        ("Test/b", "train/a"),
        "train, val and test, docs",
    ),
    "a class called train": (["train/0.png", "bus/0.png"], ("bus", "train"), ""),
}


@pytest.mark.parametrize("packed", ["", "inside", "whole"])
@pytest.mark.parametrize("name", TREES)
def test_classes_are_what_holds_pictures_in_a_folder_as_in_a_zip(name, packed, tmp_path):
    """Of a reader that takes notes for a class, loses a division by what lies beside it, or names the classes of a zip
    by the folder that was packed."""
    files, classes, told = TREES[name]
    for i, file in enumerate(files):
        if file.endswith((".png", ".jpg")):
            save(tmp_path / "set" / file, noise(4, 4) + np.uint8(i))
        else:
            (tmp_path / "set" / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "set" / file).write_text("notes")
    place = tmp_path / "set"
    if packed:
        base = {"inside": (tmp_path / "set", "."), "whole": (tmp_path, "set")}[packed]
        place = Path(shutil.make_archive(str(tmp_path / "zipped"), "zip", *base))
    with pytest.warns(UserWarning, match=told) if told else nullcontext():
        assert datasets.load(place).class_names == classes
    if told:
        with pytest.raises(datasets.DataError, match=rf"{told.partition(':')[0]}.*leave --strict out"):
            datasets.load(place, strict=True)


def test_pictures_that_are_packed_inside_are_told(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "photos.zip").write_bytes(b"")
    with pytest.raises(datasets.DataError, match=r"set has no sub-folders of pictures, but photos\.zip: unpack or"):
        datasets.load(tmp_path / "set")


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "rar", "7z"])
def test_other_archives_are_told_from_npz_files(tmp_path, ending):
    (tmp_path / f"mine.{ending}").write_bytes(b"Rar!")
    with pytest.raises(datasets.DataError, match=r"packed in a way that isn't read: unpack it, or pack its folder as"):
        datasets.load(str(tmp_path / f"mine.{ending}"))


def test_folders_behind_links_are_there_and_links_back_up_are_not(tmp_path):
    """Of a walk that leaves out, without a word, what is below a link; or that goes round for ever."""
    save(tmp_path / "far" / "x" / "0.png", noise(4, 4))
    save(tmp_path / "far" / "y" / "0.png", noise(4, 5)[:, 1:])
    save(tmp_path / "here" / "a" / "x" / "0.png", noise(5, 4)[1:])
    (tmp_path / "here" / "b").symlink_to("../far")
    (tmp_path / "far" / "back").symlink_to("../here")
    dataset = datasets.load(tmp_path / "here")
    assert dataset.class_names == ("a/x", "b/x", "b/y")
    (tmp_path / "here" / "c").symlink_to("../gone")
    with pytest.raises(datasets.DataError, match="here/c is a link to what is not there: restore that"):
        datasets.load(tmp_path / "here")
