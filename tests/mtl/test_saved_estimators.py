"""A saved estimator's file, with each of its fields as no estimator has it: refused in one sentence that names it."""

import json
import os
import zipfile

import numpy as np
import pytest

from jmeta.mtl.estimators import MultiTaskClassifier

ODD = (None, True, -1, 2**64, "x", [], {}, {"array": "none"}, {"dict": [[[], 1]]}, {"code": "x"}, float("nan"))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "model.npz"
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 3)), np.tile(["no", "yes"], 10)
    MultiTaskClassifier(hidden=(4,), steps=2, random_state=0).fit(X, y, task=np.repeat([0, 1], 10)).save(path)
    with np.load(path) as file:
        arrays = dict(file)
    return path, json.loads(arrays.pop("about").item()), arrays


def refused(path, about, arrays, says):
    np.savez(path, about=np.array(json.dumps(about)), **arrays)
    with pytest.raises(ValueError, match=says) as error:
        MultiTaskClassifier.load(path)
    assert "\n" not in str(error.value) and len(str(error.value)) < 600


def test_every_fitted_field_is_checked(saved, tmp_path):
    """Of a reader that sets what it finds, whose first prediction is a traceback or nonsense."""
    _, about, arrays = saved
    for name in about["fitted"]:
        for odd in ODD:
            refused(
                tmp_path / "odd.npz",
                {**about, "fitted": {**about["fitted"], name: odd}},
                arrays,
                r"must be|damaged",
            )
        rest = {other: value for other, value in about["fitted"].items() if other != name}
        refused(tmp_path / "odd.npz", {**about, "fitted": rest}, arrays, name)
    more = {**about["fitted"], "predict": 1}
    refused(tmp_path / "odd.npz", {**about, "fitted": more}, arrays, "missing or unknown: 'predict'")


def test_every_parameter_and_array_is_checked(saved, tmp_path):
    _, about, arrays = saved
    for name, odd in (("steps", 0), ("hidden", 3), ("l2", "x"), ("batch_size", -1), ("weighting", "none")):
        refused(tmp_path / "odd.npz", {**about, "parameters": {**about["parameters"], name: odd}}, arrays, name)
    refused(tmp_path / "odd.npz", {**about, "parameters": {}}, arrays, "parameters these are missing")
    for part in ("parameters", "fitted", "format", "estimator"):
        refused(tmp_path / "odd.npz", {k: v for k, v in about.items() if k != part}, arrays, "damaged")
    for name, array in arrays.items():
        if array.dtype == float and array.ndim < 2:
            refused(tmp_path / "odd.npz", about, {**arrays, name: array * np.nan}, "must be")
        refused(tmp_path / "odd.npz", about, {**arrays, name: array[None]}, "must be")


def test_files_of_another_kind_are_refused(saved, tmp_path):
    """A bomb is compressed; a header may name more than there is memory for; and other arrays are none of its own."""
    path, about, arrays = saved
    squeezed, lying, other = (tmp_path / f"{name}.npz" for name in ("squeezed", "lying", "other"))
    np.savez_compressed(squeezed, about=np.array(json.dumps(about)), **{**arrays, "array_0": np.zeros(10**6)})
    np.savez(other, about=np.array(json.dumps(about)), **arrays, more=np.zeros(3))
    header = np.lib.format.magic(1, 0) + b"\x76\x00"
    header += b"{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999,), }".ljust(0x75) + b"\n"
    with zipfile.ZipFile(lying, "w") as file:
        file.writestr("about.npy", header)
    os.mkfifo(tmp_path / "pipe.npz")
    for odd, says in (
        (squeezed, "its arrays are larger than the file"), (lying, "damaged"), (tmp_path, "is a folder"),
        (other, "arrays these are missing or unknown: .*more"), (tmp_path / "pipe.npz", "it is a pipe"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=says) as error:
            MultiTaskClassifier.load(odd)
        assert "\n" not in str(error.value)
    assert MultiTaskClassifier.load(path).tasks_ == [0, 1]


def test_bytes_that_are_missing_are_damage(saved, tmp_path):
    """Of a reader that hands on the OSError of a place before the start of the file."""
    path, _, _ = saved
    whole, odd = path.read_bytes(), tmp_path / "odd.npz"
    for place in range(0, len(whole) - 64, 64):
        odd.write_bytes(whole[:place] + whole[place + 64 :])
        with pytest.raises(ValueError, match="save it again"):
            MultiTaskClassifier.load(odd)
