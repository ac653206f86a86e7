import zipfile

import numpy as np
import pytest
from fake_omniglot import drawing, write_archive, write_runs

from jmeta.datasets import DataError, omniglot
from jmeta.datasets.omniglot_runs import load_runs, read_runs


def wrong(runs):
    """Errors of the nearest neighbor between raw pixels."""
    support, query = (x.reshape(20, 20, -1).astype(np.float32) / 255 for x in (runs.support, runs.query))
    distances = np.sum((query[:, :, None] - support[:, None]) ** 2, -1)
    return np.mean(distances.argmin(-1) != runs.labels)


def test_runs_are_read_in_the_order_of_their_numbers(tmp_path):
    write_runs(tmp_path / "omniglot" / "all_runs.zip")
    runs = load_runs(tmp_path, size=105)
    assert runs.support.shape == runs.query.shape == (20, 20, 105, 105, 1)
    np.testing.assert_array_equal(runs.labels, (7 * np.arange(20) + np.arange(20)[:, None]) % 20)
    for run, number in ((0, 0), (3, 11), (19, 19)):
        np.testing.assert_array_equal(runs.support[run, number, :, :, 0], 255 * drawing(run + number))
        np.testing.assert_array_equal(runs.query[run, number, :, :, 0], 255 * drawing(run + runs.labels[run, number]))


def test_drawings_are_made_like_those_of_omniglot(tmp_path):
    background = write_archive(tmp_path / "a.zip", {"A": 20})
    runs = load_runs(write_runs(tmp_path / "all_runs.zip").parent)
    # The archive's characters are drawings 1 to 20; those of the first run 0 to 19.
    np.testing.assert_array_equal(runs.support[0, 1:, :, :, 0], omniglot.read_archive(background, 20).images[:19, 0])
    assert wrong(runs) == 0


def test_lines_may_be_in_any_order(tmp_path):
    write_runs(tmp_path / "a.zip")
    write_runs(tmp_path / "b.zip", lines=lambda run, pairs: [*reversed(pairs), ""])
    for a, b in zip(read_runs(tmp_path / "a.zip"), read_runs(tmp_path / "b.zip"), strict=True):
        np.testing.assert_array_equal(a, b)


LINES = {
    "too few": lambda run, pairs: pairs[:19],
    "twice the same class": lambda run, pairs: [*pairs[:19], pairs[19][:23] + pairs[0][23:]],
    "of another run": lambda run, pairs: [p.replace("run01/training", "run02/training") for p in pairs],
    "other words": lambda run, pairs: ["what", *pairs],
}


@pytest.mark.parametrize("lines", LINES)
def test_wrong_labels_are_refused(tmp_path, lines):
    write_runs(tmp_path / "a.zip", lines=LINES[lines])
    with pytest.raises(DataError, match="the labels of run 1 do not pair 20 items with 20 classes"):
        read_runs(tmp_path / "a.zip")


def test_other_archives_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"needs all_runs\.zip, not found in .*one-shot-classification"):
        load_runs(tmp_path)
    path = write_runs(tmp_path / "a.zip", left_out=("run07/test/item03.png",))
    with pytest.raises(DataError, match=r"another file \(There is no item named 'run07/test/item03\.png"):
        read_runs(path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match="File is not a zip file"):
        read_runs(path)
    with zipfile.ZipFile(write_archive(tmp_path / "b.zip", {"A": 1})) as archive:
        assert archive.namelist()
    with pytest.raises(DataError, match="run01/class_labels"):
        read_runs(tmp_path / "b.zip")


@pytest.fixture
def real_runs(real_data):
    if not (real_data / "omniglot" / "all_runs.zip").is_file():
        pytest.skip("JMETA_DATA has no omniglot/all_runs.zip")
    return load_runs(real_data)


def test_labels_of_real_runs_join_what_looks_alike(real_runs):
    """Of labels of another order, 95 of 100 would be wrong."""
    assert 0.75 < wrong(real_runs) < 0.83


@pytest.mark.long
def test_real_runs_are_of_the_evaluation_set(omniglot, real_runs):
    """Each drawing is one of Omniglot's, those of a run are of one alphabet, and labels join the same character."""
    flat = omniglot.images.reshape(-1, 28 * 28)
    place = {image.tobytes(): i // 20 for i, image in enumerate(flat)}
    support, query = (
        np.array([place[x.tobytes()] for x in images.reshape(400, -1)]).reshape(20, 20)
        for images in (real_runs.support, real_runs.query)
    )
    np.testing.assert_array_equal(np.take_along_axis(support, real_runs.labels, axis=1), query)
    assert all(len({omniglot.groups[i] for i in row}) == 1 for row in support)
    assert set(support.ravel()) <= set(omniglot.split("lake").test)
