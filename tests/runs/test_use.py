"""What was trained, used: loaded, exported, read back, and given arrays."""

import re
import shutil
import tempfile
from pathlib import Path

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
from PIL import Image
from small_runs import PLAIN

import jmeta
from jmeta.datasets import load
from jmeta.runs.few_shot.given import as_trained
from jmeta.runs.few_shot.trained import load_trained
from jmeta.runs.few_shot.transfer import show

pytestmark = pytest.mark.standard_promotion


def read_back(path):
    """As the documentation has it."""
    if path.suffix == ".npz":
        flat = dict(np.load(path))
    else:
        import safetensors.numpy

        flat = safetensors.numpy.load_file(path)
    return flax.traverse_util.unflatten_dict(flat, sep="/")


def test_a_run_is_loaded_exported_and_read_back_with_the_same_figures(cli, finished, tmp_path):
    """Catches other parameters than those evaluated: of another checkpoint, cast, or with a leaf under another's
    name."""
    run = shutil.copytree(finished, tmp_path / "run")
    assert cli("evaluate", "--run-dir", run, "--episodes", 20, "--output", tmp_path / "found.json").code == 0
    stored = jmeta.runs.engine.folder.read_json(tmp_path / "found.json")
    loaded = jmeta.load(run)
    assert loaded.step == load_trained(run).step and loaded.facts["input_shape"] == [8, 8, 1]
    sample = show(load_trained(run)).problem.sampler("test", 2, 1, 2)
    figures = jmeta.evaluate(loaded.learner, loaded.params, sample, jax.random.key(0), episodes=20)
    assert figures.mean == pytest.approx(stored["accuracy"], abs=1e-6)
    for words, place in (
        ((), run / "params.npz"),
        (("--output", tmp_path / "p.safetensors"), tmp_path / "p.safetensors"),
    ):
        result = cli("export", "--run-dir", run, *words)
        assert result.code == 0 and result.out.strip() == str(place), result
        found = read_back(place)
        assert jax.tree.structure(found) == jax.tree.structure(loaded.params)
        jax.tree.map(np.testing.assert_array_equal, found, loaded.params)
        assert jmeta.evaluate(loaded.learner, found, sample, jax.random.key(0), episodes=20).mean == figures.mean


def test_what_is_exported_is_of_the_checkpoint_asked_for(cli, finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    newest = jmeta.load(run, "newest")
    assert newest.step == 20
    found = read_back(jmeta.export(run, tmp_path / "newest.npz", "newest"))
    jax.tree.map(np.testing.assert_array_equal, found, newest.params)


def test_what_can_not_be_exported_is_refused(refused, finished, tmp_path, monkeypatch):
    words = ("export", "--run-dir", finished, "--output")
    assert "must end in .npz or .safetensors, got" in refused(*words, tmp_path / "params.pt")
    assert "is in no folder that exists" in refused(*words, tmp_path / "no" / "params.npz")
    assert "is no run folder" in refused("export", "--run-dir", tmp_path / "nothing")
    monkeypatch.setitem(__import__("sys").modules, "safetensors.numpy", None)
    assert "pip install 'jmeta[safetensors]'" in refused(*words, tmp_path / "params.safetensors")
    assert not list(tmp_path.glob("*params*"))


def test_arrays_are_named_as_files_are(finished, shapes, tmp_path):
    """Catches pixels on another scale, labels in another order, and a class of other pictures."""
    images = load(shapes).images[:3]  # [3, 8, 8, 8, 1]
    for k, name in enumerate("abc"):
        for i in range(4):
            path = tmp_path / ("support" if i < 2 else "query") / name / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(images[k, i, ..., 0]).save(path)
    files = jmeta.predict(finished, tmp_path / "support", tmp_path / "query", invert="no")
    support = {name: images[k, :2] for k, name in enumerate("abc")}
    query = images[:, 2:4].reshape(6, 8, 8, 1)
    arrays = jmeta.predict(finished, support, query, invert="no")
    assert [one.name for one in arrays] == [one.name for one in files]
    np.testing.assert_allclose([one.probability for one in arrays], [one.probability for one in files], rtol=1e-6)
    assert [one.path for one in arrays] == [*range(6)]
    floats = {name: each / np.float32(255) for name, each in support.items()}
    assert jmeta.predict(finished, floats, query / np.float32(255)) == arrays
    paths = [tmp_path / "query" / "b" / "2.png", str(tmp_path / "query" / "c" / "3.png")]
    some = jmeta.predict(finished, {"b": [tmp_path / "support" / "b"], "c": images[2, :2]}, paths, invert="no")
    assert [(one.path, one.name) for one in some] == [(paths[0], "b"), (tmp_path / "query" / "c" / "3.png", "c")]
    large = np.repeat(np.repeat(query[..., 0], 3, 1), 3, 2)
    sizes = [jmeta.predict(finished, support, pixels, invert="no") for pixels in (large, large / 255.0, large * 1.0)]
    assert sizes[0] == sizes[1] == sizes[2] and len(sizes[0]) == 6  # whatever the range of floats


def test_arrays_beside_files_are_as_those_are(finished):
    """Catches a support set that is inverted and queries that are not; what is in color is never inverted."""
    dark = np.full((4, 8, 8), 255, np.uint8)
    dark[:, 2:4, 1:6] = 10
    trained = load_trained(finished)
    for channels, inverted in ((1, True), (3, False)):
        pictures = [np.repeat(each[..., None], channels, 2) for each in dark]
        look = trained.look._replace(channels=channels, ink="light", files="dark")
        with tempfile.TemporaryDirectory() as place:
            Image.fromarray(pictures[0].squeeze()).save(Path(place) / "0.png")
            alone = as_trained(look, [Path(place) / "0.png"])[0]
            mixed = as_trained(look, [Path(place) / "0.png", *pictures[1:]])
        np.testing.assert_array_equal(mixed, np.stack([alone] * 4))
        np.testing.assert_array_equal(as_trained(look, pictures)[0], alone)
        assert (alone[0, 0, 0] == 0) == inverted


def test_arrays_that_can_not_be_meant_are_refused(finished):
    images = np.arange(3 * 64, dtype=np.uint8).reshape(3, 8, 8)
    two = {"a": images[:1], "b": images[1:]}
    for support, query, said in (
        ({"a": images}, images, "has 1 classes"),
        ({**two, "c": images[:0]}, images, "no examples of c"),
        (two, images[:0], "query has no examples"),
        (two, np.full((2, 9, 9, 1), -1, np.float32), r"must be \[8, 8, 1\], .* got \[9, 9, 1\]"),
        (two, np.full((2, 8, 8, 1), np.nan, np.float32), "2 of 5 examples have values that are NaN or infinite"),
        (two, scipy.sparse.eye(8), "examples must be"),
        (two, np.zeros((2, 7), np.float32), r"got \[7\]"),
        (two, images.astype(np.int64) - 5, "integers are 0 to 255"),
        (two, [np.zeros(3), np.zeros(4)], "make them of one shape"),
        (two, "nowhere.png", "is no folder and no file"),
    ):
        with pytest.raises(jmeta.errors.RunError, match=said):
            jmeta.predict(finished, support, query)


def test_features_are_named(cli, refused, tmp_path):
    """A head on features: the nearest class of far apart ones is known."""
    rng = np.random.default_rng(0)
    centers = 4 * np.eye(12, dtype=np.float32)
    rows = np.repeat(centers, 8, 0) + rng.normal(0, 0.1, (96, 12)).astype(np.float32)
    np.savez(tmp_path / "features.npz", features=rows, labels=np.repeat([f"c{k}" for k in range(12)], 8))
    words = (
        "--algorithm",
        "prototypical",
        "--dataset",
        tmp_path / "features.npz",
        *PLAIN,
        "--run-dir",
        tmp_path / "run",
    )
    assert cli("train", *words).code == 0
    support = {"left": rows[:2], "right": rows[8:10], "up": rows[16:18]}
    query = rows[[3, 11, 19, 20]]
    found = jmeta.predict(tmp_path / "run", support, query)
    assert [one.name for one in found] == ["left", "right", "up", "up"] and min(one.probability for one in found) > 0.5
    np.savez(tmp_path / "support.npz", x=rows[:24], y=np.repeat(["left", "right", "up"], 8))
    np.savez(tmp_path / "query.npz", query)
    result = cli(
        "predict",
        "--run-dir",
        tmp_path / "run",
        "--support",
        tmp_path / "support.npz",
        "--query",
        tmp_path / "query.npz",
    )
    assert [line.split()[:2] for line in result.out.splitlines()] == [
        ["0", "left"],
        ["1", "right"],
        ["2", "up"],
        ["3", "up"],
    ]
    evaluated = cli("evaluate", "--run-dir", tmp_path / "run", "--episodes", 5)
    assert evaluated.code == 0 and "after inner steps" not in evaluated.out  # which this learner doesn't take
    assert "prototypical trained on" in evaluated.out
    for name, some in (("support", slice(0, 24)), ("query", [3, 11, 19, 20])):
        labels = np.repeat(["left", "right", "up"], 8) if name == "support" else ["?"] * 4
        lines = [",".join([*map(str, row), label]) for row, label in zip(rows[some].tolist(), labels, strict=True)]
        (tmp_path / f"{name}.csv").write_text("\n".join([",".join([*(f"f{i}" for i in range(12)), "label"]), *lines]))
    tables = jmeta.predict(tmp_path / "run", tmp_path / "support.csv", tmp_path / "query.csv")
    assert [one.name for one in tables] == ["left", "right", "up", "up"]
    (tmp_path / "a").mkdir()
    Image.fromarray(np.eye(8, dtype=np.uint8)).save(tmp_path / "a" / "x.png")
    told = refused(
        "predict", "--run-dir", tmp_path / "run", "--support", tmp_path / "support.npz", "--query", tmp_path / "a"
    )
    assert "can't take pictures: give arrays" in told


def test_the_documentation_runs(finished, shapes, tmp_path, monkeypatch):
    """Every Python block of docs/data.md, in its order, after a run in the folder that it names."""
    text = (Path(jmeta.__file__).parent.parent / "docs" / "data.md").read_text()
    shutil.copytree(finished, tmp_path / "runs" / "flowers")
    monkeypatch.chdir(tmp_path)
    jmeta.export("runs/flowers")
    images = load(shapes).images
    for i, name in enumerate("ab"):
        Image.fromarray(images[1, i, ..., 0]).save(f"{name}.jpg")
    x = jnp.asarray(images[:2, 0] / 255, jnp.float32)
    frozen = {"np": np, "encoder": lambda x: x.reshape(len(x), -1), "labels": np.arange(2)}
    names = {**frozen, "roses": images[0, :2], "pictures": images[:2, 4], "x": x, "new": x, "one_hot": jnp.eye(2)}
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    for block in blocks:
        exec(block, names)
    assert len(blocks) == 4 and len(names["found"]) == 2 and names["logits"].shape == (2, 2)
    jax.tree.map(np.testing.assert_array_equal, names["params"], names["run"].params)


def test_runs_of_other_areas_are_loaded(cli, tmp_path):
    """Catches an agent without its parameters, or with those of another seed."""
    small = (
        "--updates",
        2,
        "--save-every",
        1,
        "--log-every",
        1,
        "--meta-batch-size",
        4,
        "--val-tasks",
        4,
        "--devices",
        1,
    )
    assert cli("rl", "train", "--env", "bandit", *small, "--run-dir", tmp_path / "rl").code == 0
    run = jmeta.load(tmp_path / "rl", "newest")
    assert run.step == 2 and run.settings.env == "bandit"
    rewards = run.learner.test(run.params, jax.random.key(0), jnp.zeros(run.settings.world.arms))
    assert float(rewards.sum()) == 0  # arms that never pay
    with pytest.raises(jmeta.errors.RunError, match="is no run folder"):
        jmeta.load(tmp_path / "none")


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("evaluate", "runs/x"), "--run-dir runs/x"),
        (("train", "photos/"), "--dataset photos/"),
        (("rl", "train", "bandit"), "--env bandit"),
        (("bayes", "plot", "runs/x"), "--run-dir runs/x"),
    ],
)
def test_a_word_without_a_flag_is_answered_by_the_flag(refused, words, meant):
    assert f"did you mean {meant}?" in refused(*words)
