"""What people bring: rows with labels, tables, archives, divisions of their own, and examples that are no pictures."""

import csv
import io
import json
import zipfile

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import jmeta
from jmeta import datasets
from jmeta.datasets import DataError, tables
from jmeta.ragged import Ragged, ragged


def picture(seed, size=(6, 6, 3)):
    return np.random.default_rng(seed).integers(0, 255, size).astype(np.uint8)


def bytes_of(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "png")
    return file.getvalue()


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.randoms())
def test_ragged_is_what_the_padded_array_is(counts, random):
    """Catches a class that begins in the row of another, and padding that is drawn."""
    counts = np.array(counts)
    padded = np.zeros((len(counts), counts.max(), 3, 2), np.float32)
    for k, n in enumerate(counts):
        padded[k, :n] = 10 * k + np.arange(1, n + 1)[:, None, None]
    found = ragged(padded, counts)
    assert found.shape == padded.shape and found.nbytes == counts.sum() * 24 and len(found.labels) == counts.sum()
    np.testing.assert_array_equal(found.padded(), padded)
    chosen = [random.randrange(len(counts)) for _ in range(3)]
    np.testing.assert_array_equal(found[chosen].rows, np.concatenate([padded[k, : counts[k]] for k in chosen]))
    cut = slice(random.randrange(3), random.choice([None, 2, -1]))
    few = found[chosen, cut]
    for k, n in enumerate(counts):
        np.testing.assert_array_equal(found[k], padded[k, :n])
        np.testing.assert_array_equal(found[k, n - 1], padded[k, n - 1])
    for i, k in enumerate(chosen):
        np.testing.assert_array_equal(few[i], padded[k, : counts[k]][cut])
    with pytest.raises(IndexError, match=r"take a range of examples, as \[:, :10\]"):
        found[:, 0]


@pytest.mark.parametrize("make", [jmeta.few_shot_sampler, jmeta.varied_sampler])
def test_a_sampler_draws_from_a_long_tail_as_from_its_padded_array(make):
    """Bit for bit, so that runs of older versions go on."""
    counts = np.array([9, 4, 4, 5, 4, 6])
    images = np.where(np.arange(9) < counts[:, None], np.arange(1, 55).reshape(6, 9), 0)[..., None, None, None]
    images = images.astype(np.uint8)
    sizes = {"way": 4, "shot": 1, "query_shot": 3} if make is jmeta.few_shot_sampler else {"min_way": 3, "max_way": 5}
    one = make(images, counts=counts, **sizes)
    other = make(Ragged(images[images > 0].reshape(-1, 1, 1, 1), counts.astype(np.int32)), **sizes)
    for seed in range(5):
        a, b = one(jax.random.key(seed)), other(jax.random.key(seed))
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
            np.testing.assert_array_equal(x, y)


def test_trees_of_arrays_keep_their_rows_together():
    """Catches tokens of one example with the mask of another."""
    place = np.arange(6 * 5).reshape(6, 5, 1)
    tokens, mask = np.repeat(place, 7, 2).astype(np.int32), (np.arange(7) < 1 + place % 7)
    sample = jmeta.few_shot_sampler({"tokens": tokens, "mask": mask}, way=3, shot=2, query_shot=2)
    episode = sample(jax.random.key(1))
    for batch in episode:
        numbers = np.asarray(batch.x["tokens"])[:, 0]
        np.testing.assert_array_equal(batch.x["mask"].sum(1), 1 + numbers % 7)
        classes = numbers // 5
        np.testing.assert_array_equal(classes.reshape(2, 3), np.tile(classes[:3], (2, 1)))
    assert episode.support.x["tokens"].dtype == np.int32 and episode.support.y.dtype == np.float32


def test_rows_are_grouped_by_their_labels():
    x = np.arange(14.0).reshape(7, 2)
    for labels, names in (([2, 7, 2, 10, 7, 2, 10], ("2", "7", "10")), (list("bababca"), ("a", "b", "c"))):
        found = datasets.from_labels(x, labels)
        assert found.class_names == names and found.look is None
        for k, name in enumerate(names):
            np.testing.assert_array_equal(found.examples[k], x[np.array([str(v) == name for v in labels])])
    column = datasets.from_labels(x, np.array([[1.0], [0], [1], [0], [1], [0], [1]]))
    assert column.class_names == ("0", "1")


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((3, 2)), [0, 1], r"labels \[N\], got \[3, 2\] and \[2\]: give one"),
        (np.zeros((3, 2)), np.eye(3), r"got \[3, 2\] and \[3, 3\]"),
        (np.zeros((3, 2)), [0.5, 1, 2], "labels must be names or numbers of classes, got float64"),
        (np.array([["a"], ["b"]]), [0, 1], "examples must be numbers, got <U1"),
        (np.array([[np.nan], [1]]), [0, 1], "some are NaN or infinite"),
    ],
)
def test_rows_and_labels_that_can_not_be_meant(x, y, message):
    with pytest.raises(DataError, match=message):
        datasets.from_labels(x, y)


@pytest.mark.parametrize(("scale", "dtype"), [(1, np.float32), (255, np.float64), (257, np.uint16), (1, np.uint8)])
def test_pictures_of_floats_and_wide_integers_are_read_by_their_range(scale, dtype):
    pixels = picture(0, (4, 3, 5, 5, 3))
    images = (pixels / 255 * scale).astype(dtype) if scale < 257 and dtype != np.uint8 else pixels.astype(dtype) * scale
    found = datasets.make_dataset("x", images)
    np.testing.assert_array_equal(found.images, pixels)
    assert found.look.shape == (5, 5, 3)


def test_floats_of_other_ranges_are_examples_and_no_pictures(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(5, 4, 7)).astype(np.float32)
    np.savez(tmp_path / "features.npz", features=vectors, class_names=list("abcde"))
    found = datasets.load("features", tmp_path)
    np.testing.assert_array_equal(found.images, vectors)
    assert found.look is None and datasets.catalog.row(str(tmp_path / "features.npz")).vectors
    np.savez(tmp_path / "pictures.npz", images=picture(0, (5, 4, 6, 6, 3)))
    assert not datasets.catalog.row(str(tmp_path / "pictures.npz")).vectors


def test_channels_that_come_first_are_told():
    for function in (
        lambda x: datasets.make_dataset("x", x),
        lambda x: jmeta.few_shot_sampler(x, way=2, shot=1, query_shot=1),
    ):
        with pytest.raises(ValueError, match=r"channels first: move them by np.moveaxis\(images, 2, -1\)"):
            function(np.zeros((20, 10, 3, 28, 28), np.uint8))


def test_a_zip_is_read_as_its_folder_is(tmp_path):
    """Catches a folder around all of them in the names of the classes, and what archivers leave."""
    folder = tmp_path / "set"
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for k in range(6):
            for name in (f"kind{k % 3}/{k}.png", *(["__MACOSX/kind0/._0.png"] if k == 0 else [])):
                archive.writestr(f"set/{name}", bytes_of(picture(k)))
            path = folder / f"kind{k % 3}" / f"{k}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes_of(picture(k)))
    one, other = datasets.load(str(tmp_path / "set.zip")), datasets.load(str(folder))
    assert one.checksum == other.checksum and one.class_names == ("kind0", "kind1", "kind2")
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 no zip")
    with pytest.raises(DataError, match="cannot be read as a zip archive"):
        datasets.load(str(tmp_path / "broken.zip"))


def table(path, header, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return str(path)


def test_a_table_of_files_and_labels_with_parts(tmp_path):
    for k in range(6):
        Image.fromarray(picture(k)).save(tmp_path / f"{k}.png")
    rows = [(f"{k}.png", f"kind{k // 2}", ("train", "val", "test")[k // 2]) for k in range(6)]
    found = datasets.load(table(tmp_path / "t.csv", ("file", "label", "part"), rows))
    assert found.class_names == ("test/kind2", "train/kind0", "val/kind1")
    np.testing.assert_array_equal(found.images[1, 1], picture(1))
    split = found.split()
    assert split.protocol == "folders" and [p.tolist() for p in (split.train, split.val, split.test)] == [[1], [2], [0]]


def test_a_table_of_numbers(tmp_path):
    rows = [(k * k, -k / 2, "ab"[k % 2]) for k in range(6)]
    path = table(tmp_path / "t.csv", ("height", "weight", "class"), rows)
    found = datasets.from_csv(path)
    assert found.class_names == ("a", "b") and datasets.catalog.row(path).vectors
    np.testing.assert_allclose(found.images[1], [[1, -0.5], [9, -1.5], [25, -2.5]])


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        (
            ("file", "name"),
            [("a.png", "x")],
            "needs a column label, beside file or numbers, and rows, got the columns file, name",
        ),
        (("file", "label"), [], "needs a column label, .*, got no rows"),
        (("label",), [("x",), ("y",)], "has nothing beside its labels: add a column file, or columns of numbers"),
        (("file", "label"), [("gone.png", "x")], "names 1 files that are not there, .*gone.png"),
        (("height", "label"), [("tall", "x")], "line 2, has 'tall' in the column height, which is no number"),
        (("height", "label"), [("1",)], "line 2, lacks a value"),
    ],
)
def test_tables_that_lack_something(tmp_path, header, rows, message):
    with pytest.raises(DataError, match=message):
        datasets.from_csv(table(tmp_path / "t.csv", header, rows))


NAMED = datasets.make_dataset("named", picture(0, (10, 3, 4, 4, 1)), [f"g{k % 2}/k{k}" for k in range(10)])


def written(tmp_path, value):
    path = tmp_path / "division.json"
    path.write_text(json.dumps(value))
    return str(path)


@pytest.mark.parametrize("nested", [False, True])
def test_a_division_of_a_file(tmp_path, nested):
    parts = {"train": ["g0/k0", "k1", "g0/k2"], "val": ["k3", "k4"], "test": ["g1/k5", "k6"]}
    path = written(tmp_path, {"mine": parts} if nested else parts)
    split = NAMED.split(f"{path}:mine" if nested else path)
    assert [part.tolist() for part in (split.train, split.val, split.test)] == [[0, 1, 2], [3, 4], [5, 6]]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"train": ["k0"], "val": ["k1"], "test": ["k9", "kk"]}, "names the class 'kk', which the data have not"),
        ({"train": ["k0"], "val": ["k1"], "test": ["g0/k0"]}, "names g0/k0 in train and again in test"),
        ({"train": ["k0"], "val": ["k1"]}, "must have the class names of train, val and test"),
        ({"a": {"train": ["k0"], "val": [], "test": []}}, r"name one of them, as in .*division.json:a"),
        ({"train": "k0", "val": ["k1"], "test": ["k2"]}, "must have the class names"),
        ([1], "must be an object of train, val and test, got a list"),
    ],
)
def test_divisions_that_can_not_be_used(tmp_path, value, message):
    with pytest.raises(DataError, match=message):
        NAMED.split(written(tmp_path, value))
    with pytest.raises(DataError, match="can't be read as a division"):
        NAMED.split(str(tmp_path / "gone.json"))


def test_a_key_that_is_not_there_names_those_that_are(tmp_path):
    parts = {"train": ["k0"], "val": ["k1"], "test": ["k2"]}
    with pytest.raises(DataError, match=r"as in .*division\.json:mine, .*division\.json:yours\."):
        NAMED.split(written(tmp_path, {"mine": parts, "yours": parts}) + ":ours")


def test_classes_for_the_test_by_name():
    split = NAMED.split("test=k1, g0/k2,k3")
    assert split.test.tolist() == [1, 2, 3] and len(split.val) == 3 and len(split.train) == 4
    assert split.hash != NAMED.split("test=k1,k2").hash
    nothing = NAMED.split("test=")
    assert not len(nothing.test) and len(nothing.val) == 4 and len(nothing.train) == 6
    with pytest.raises(DataError, match=r"--test-classes names the class 'k11', .*did you mean"):
        NAMED.split("test=k11")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_tables_are_read_with_any_of_three_delimiters(tmp_path, delimiter):
    """Catches lines that are counted by rows: a blank one, and one inside quotes, count too."""
    path = tmp_path / "t.csv"
    rows = ["a;b", "1; two ", "", '3;"four', 'and ""more"""', "5;6"]
    path.write_text("\n".join(rows).replace(";", delimiter), encoding="utf-8-sig")
    found = tables.read_table(path)
    assert found.header == ["a", "b"] and found.lines == [2, 5, 6]
    assert [row["b"] for row in found.rows] == ["two", 'four\nand "more"', "6"]
    assert [tables.number_in(cell) for cell in ("1e3", "-2.5", "1_0", "nan", "inf", "x", "")] == [
        1000,
        -2.5,
        *[None] * 5,
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n\n1\n", "line 4, lacks a value"),
        ("a,b\n1,2,3\n", "line 2, has 3 cells, and 2 columns"),
        ("a,b,a\n1,2,3\n", "has two columns a: rename or remove one"),
        ("height,label\n1,x\nnan,y\n", "line 3, has 'nan' in the column height, which is no number"),
    ],
)
def test_tables_that_would_be_misread(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        datasets.from_csv(tmp_path / "t.csv")
    with pytest.raises(DataError, match="is no file: name a table"):
        datasets.from_csv(tmp_path)


def test_without_validation_there_is_none(tmp_path):
    for division in ({"train": ["k0", "k1"], "val": [], "test": ["k2"]}, {"train": ["k0", "k1"], "test": ["k2"]}):
        assert [part.tolist() for part in NAMED.split(written(tmp_path, division))[1:4]] == [[0, 1], [], [2]]


def test_columns_that_number_the_rows_are_told(tmp_path):
    """Sorted by class, they tell it."""
    rows = [(k, k * k % 5, "ab"[k > 2]) for k in range(6)]
    with pytest.warns(UserWarning, match="has columns that number its rows, id: they are learned from as others"):
        datasets.from_csv(table(tmp_path / "t.csv", ("id", "x", "label"), rows))


def test_parts_with_the_same_classes_divide_pictures_and_no_classes(tmp_path):
    """The layout of classifiers: taken for classes of their own, a class was trained on and tested on."""
    for k in range(8):
        path = tmp_path / "set" / ("train", "test")[k % 2] / f"kind{k // 2}" / f"{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(k)).save(path)
    with pytest.warns(UserWarning, match="set has the same classes in its parts"):
        found = datasets.from_folder(tmp_path / "set")
    assert found.class_names == tuple(f"kind{k}" for k in range(4)) and found.counts.tolist() == [2] * 4
    assert found.split().protocol == "classes"
    some = datasets.make_dataset(
        "some",
        picture(0, (4, 1, 4, 4, 1)),
        ["train/a", "train/b", "test/a", "test/c"],
        ["train", "train", "test", "test"],
    )
    with pytest.raises(DataError, match="classes in several of the folders train, val and test, such as a"):
        some.split("classes")


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.ones((3, 2)), np.eye(3), r"give labels.argmax\(1\), the numbers of classes"),
        (np.ones((3, 2)), np.array(["a", None, "b"], object), "1 labels are missing, None or NaN"),
        ([[1], [1, 2]], [0, 1], "examples must be of one shape"),
        (np.ones((4, 3, 8, 8), np.uint8), [0, 0, 1, 1], r"channels first: move them by np.moveaxis\(images, 1, -1\)"),
    ],
)
def test_what_is_wrong_with_rows_is_said_with_its_cure(x, y, message):
    with pytest.raises(DataError, match=message):
        datasets.from_labels(x, y)


def test_a_data_set_is_no_array_of_examples():
    with pytest.raises(ValueError, match=r"as data.examples\[data.split\(\).train\]"):
        jmeta.few_shot_sampler(NAMED, way=2, shot=1, query_shot=1)
