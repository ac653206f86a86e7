import os
import re

import numpy as np
import pytest

from jmeta import datasets
from jmeta.datasets import cache


def example(value=7):
    images = np.full((3, 2, 4, 4, 1), value, np.uint8)
    return datasets.make_dataset("example", images, ["a/1", "a/2", "ü"], ["a", "a", ""], np.array([2, 1, 2]))


def refuse():
    raise AssertionError("built again")


@pytest.fixture
def kept():
    """The path of a cache file that holds `example()`."""
    cache.cached("key", example)
    return cache.cache_dir() / "key.npz"


def test_what_is_read_back_equals_what_was_built(kept):
    again = cache.cached("key", refuse)
    np.testing.assert_array_equal(again.examples.rows, example().examples.rows)
    np.testing.assert_array_equal(again.counts, example().counts)
    assert again.checksum == example().checksum
    assert (again.name, again.class_names, again.groups) == ("example", ("a/1", "a/2", "ü"), ("a", "a", ""))
    assert [path.name for path in kept.parent.iterdir()] == ["key.npz"]


def test_files_are_kept_by_the_umask_of_the_user(kept):
    """Fails where others of a group that shares the cache may not read them."""
    before = os.umask(0o027)
    try:
        cache.cached("other", example)
    finally:
        os.umask(before)
    assert (kept.parent / "other.npz").stat().st_mode & 0o777 == 0o640
    assert kept.stat().st_mode & 0o777 == 0o666 & ~before


def flip(content):
    at = content.index(bytes([7] * 32))
    return content[:at] + b"\x08" + content[at + 1 :]


@pytest.mark.parametrize("damage", [lambda c: c[: len(c) // 2], lambda c: b"", lambda c: b"text", flip])
def test_damaged_file_is_built_again(kept, damage):
    kept.write_bytes(damage(kept.read_bytes()))
    assert cache.cached("key", example).checksum == example().checksum
    assert cache.cached("key", refuse).checksum == example().checksum


def test_file_with_a_wrong_checksum_is_built_again(kept):
    fields = {name: getattr(example(8), name) for name in ("name", "class_names", "groups", "counts")}
    fields["rows"] = example(8).examples.rows
    np.savez(kept, **fields, checksum=example().checksum)
    assert cache.cached("key", example).examples.rows.max() == 7
    assert cache.cached("key", refuse).examples.rows.max() == 7


def test_file_without_an_array_is_built_again(kept):
    np.savez(kept, images=example().examples.padded())
    assert cache.cached("key", example).checksum == example().checksum


def test_failed_write_leaves_nothing_and_warns(monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.warns(UserWarning, match="example could not be kept in .*No space left on device"):
        assert cache.cached("key", example).checksum == example().checksum
    assert list(cache.cache_dir().iterdir()) == []


def test_cache_folder_that_cannot_be_made(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("JMETA_CACHE", str(tmp_path / "file" / "below"))
    with pytest.warns(UserWarning, match="could not be kept"):
        assert cache.cached("key", example).checksum == example().checksum


def test_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("JMETA_DATA", str(tmp_path / "data"))
    assert datasets.data_root() == tmp_path / "data"
    assert datasets.data_root(tmp_path) == tmp_path
    monkeypatch.delenv("JMETA_DATA")
    assert datasets.data_root() == tmp_path / "cache" / "data"
    monkeypatch.delenv("JMETA_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert datasets.cache_dir() == tmp_path / "xdg" / "jmeta"


def test_checksum_covers_every_field():
    images, names, groups, counts = np.zeros((2, 2, 1, 1), np.uint8), ["a", "b"], ["g", "g"], np.array([2, 2])
    changed = images.copy()
    changed[1, 1] = 9
    sums = [
        datasets.make_dataset(*arguments).checksum
        for arguments in (
            ("set", images, names, groups, counts),
            ("other", images, names, groups, counts),
            ("set", changed, names, groups, counts),
            ("set", images, ["a", "c"], groups, counts),
            ("set", images, names, ["g", "h"], counts),
            ("set", images, names, groups, np.array([2, 1])),
        )
    ]
    assert len(set(sums)) == 6
    assert re.fullmatch("[0-9a-f]{64}", sums[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((2, 2)),), r"must be \[classes, examples, ...\].* got \[2, 2\]: group rows"),
        ((np.full((2, 2, 3), "a"),), "must be uint8, 0 to 255, or floats, got <U1"),
        ((np.full((2, 2, 3), np.nan),), "must be finite numbers, and some are NaN"),
        ((np.zeros((2, 2, 3, 28, 28)),), r"channels first: move them by np.moveaxis\(images, 2, -1\)"),
        ((np.zeros((2, 0, 3, 3), np.uint8),), r"images are empty, got shape \[2, 0, 3, 3, 1\]"),
        ((np.zeros((2, 1, 3, 3), np.uint8), ["a"]), "2 classes need as many different names, got 1"),
        ((np.zeros((2, 1, 3, 3), np.uint8), ["a", "a"]), "2 classes need as many different names, got 1"),
        ((np.zeros((2, 1, 3, 3), np.uint8), None, ["a"]), "2 classes need as many groups, got 1"),
        (
            (np.zeros((2, 1, 3, 3), np.uint8), None, None, np.array([1])),
            r"counts must be an integer for each of the 2 classes, got int64 of shape \[1\]",
        ),
        (
            (np.zeros((2, 1, 3, 3), np.uint8), None, None, np.array([1, 2])),
            "counts must be 0 to 1, as many examples as the array has, got 1 to 2",
        ),
        ((np.zeros((2, 1, 3, 3), np.uint8), None, None, np.array([1, 0])), "counts must be 1 or more, got 0"),
        ((np.zeros((2, 1, 3, 3), np.uint8), None, None, np.array([1.0, 1.0])), "counts must be an integer for each"),
    ],
)
def test_parts_that_do_not_agree(arguments, message):
    with pytest.raises(datasets.DataError, match=message):
        datasets.make_dataset("set", *arguments)
