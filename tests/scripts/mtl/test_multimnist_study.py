"""MultiMNIST end to end on made-up pictures: tables, choices, and a run that goes on."""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jmeta.datasets import DataError
from jmeta.errors import RunError
from jmeta.report.statistics import interval
from scripts.mtl import multimnist, multimnist_report
from scripts.study import run

TINY = multimnist.Config(
    methods=("fixed", "lookahead"), sizes=(6, 3, 3), steps=60, batch_size=16, rates=(1e-4, 0.01), shares=(0.2,),
    seeds=2, pairs=60,
)  # fmt: skip


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Four classes of 8x8 pictures: a bright quarter each, and noise."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 150, (4, 12, 8, 8), dtype=np.uint8)
    for k in range(4):
        images[k, :, 4 * (k // 2) : 4 * (k // 2) + 4, 4 * (k % 2) : 4 * (k % 2) + 4] += 90
    path = tmp_path_factory.mktemp("data") / "quarters.npz"
    np.savez(path, images=images)
    return str(path)


@pytest.fixture(scope="module")
def finished(digits, tmp_path_factory):
    config = dataclasses.replace(TINY, dataset=digits, run_dir=str(tmp_path_factory.mktemp("run")))
    return config, run(multimnist.study, config)


@pytest.mark.long
def test_a_run_from_end_to_end(finished):
    found = finished[1]["rows"]
    assert list(found) == ["single task", "uniform", "fixed", "lookahead"]
    assert [len(found[name]["tried"]) for name in found] == [4, 2, 1, 2]
    for row in found.values():
        assert np.shape(row["test"]) == (2, 2)
        assert row["seconds"] > 0
        # Those at the higher rate have learned to tell a bright quarter, in which chance is 25 %.
        assert np.mean(row["test"]) > 0.6
    assert found["uniform"]["rate"] == 0.01
    assert found["single task"]["rate"] == [0.01, 0.01]
    np.testing.assert_allclose(found["uniform"]["tried"][0]["last_weights"], 0.5)
    np.testing.assert_allclose(found["fixed"]["tried"][0]["last_weights"], [[0.2, 0.8]] * 2)
    learned = np.asarray(found["lookahead"]["tried"][1]["last_weights"])
    np.testing.assert_allclose(learned.sum(axis=1), 1, rtol=1e-5)
    assert np.all(np.abs(learned - 0.5) > 1e-5)


@pytest.mark.long
def test_a_weight_of_0_is_another_tasks_network(finished):
    """What is trained on one digit alone can't name the other."""
    left, right = (finished[1]["rows"]["single task"]["tried"][i] for i in (1, 3))
    assert (left["weights"], right["weights"]) == ([1.0, 0.0], [0.0, 1.0])
    own, other = np.mean(left["test"], axis=0)
    assert own > other + 0.2
    other, own = np.mean(right["test"], axis=0)
    assert own > other + 0.2
    kept = finished[1]["rows"]["single task"]["test"]
    np.testing.assert_array_equal(np.asarray(kept)[:, 0], np.asarray(left["test"])[:, 0])
    np.testing.assert_array_equal(np.asarray(kept)[:, 1], np.asarray(right["test"])[:, 1])


@pytest.mark.long
def test_the_table_says_what_the_numbers_are(finished):
    config, results = finished
    lines = (Path(config.run_dir) / "table.md").read_text().splitlines()
    rows = {
        line.split(" | ")[0].lstrip("| ").split(",")[0]: line.strip("| ").split(" | ") for line in lines if "|" in line
    }
    single = np.mean(results["rows"]["single task"]["test"], axis=0)
    test = np.asarray(results["rows"]["lookahead"]["test"])
    drops = [50 * ((single[0] - a) / single[0] + (single[1] - b) / single[1]) for a, b in test]
    beside = 100 * (test.mean(1) - np.mean(results["rows"]["uniform"]["test"], axis=1))
    for cell, values, sign in ((1, 100 * test[:, 0], ""), (2, 100 * test[:, 1], ""), (3, drops, "+"), (4, beside, "+")):
        mean, ci95 = interval(values)
        assert rows["lookahead"][cell] == f"{mean:{sign}.2f} +- {ci95:.2f}"
    for name in ("accuracy.png", "pairs.png"):
        with Image.open(Path(config.run_dir) / name) as picture:
            assert min(picture.size) > 300
            assert np.asarray(picture).std() > 5


@pytest.mark.long
def test_a_run_goes_on_where_it_was(finished, monkeypatch):
    config, results = finished
    place = Path(config.run_dir)
    table, kept = (place / "table.md").read_text(), (place / "results.json").read_text()
    (place / "table.md").unlink()
    short = json.loads(kept)
    lost = short["rows"].pop("lookahead")
    trained = []

    def measure(config, method, tried, *rest):
        trained.append(len(tried))
        return {key: value for key, value in lost.items() if key not in ("rate", "weights", "validation", "test")}

    monkeypatch.setattr(multimnist, "measure", measure)
    (place / "results.json").write_text(json.dumps(short))
    assert run(multimnist.study, config) == results
    assert trained == [2]  # what was lost, and nothing else
    assert (place / "table.md").read_text() == table
    fewer = run(multimnist.study, dataclasses.replace(config, methods=("fixed",)))
    assert fewer == results  # nothing that was measured is forgotten
    assert trained == [2]  # nor measured again
    assert "lookahead" not in (place / "table.md").read_text()
    with pytest.raises(RunError, match=r"results of other settings \(--steps 60, not 61\)"):
        run(multimnist.study, dataclasses.replace(config, steps=61))


def test_the_best_on_validation_is_chosen():
    def one(rate, left, right, weights=(0.5, 0.5)):
        seeds = [[left, right], [left, right]]
        return {"rate": rate, "weights": list(weights), "validation": seeds, "test": [[rate, rate]] * 2}

    tried = [one(0.1, 0.9, 0.5), one(0.2, 0.8, 0.7), one(0.3, 0.1, 0.95)]
    uniform = multimnist.choose("uniform", tried, {})
    assert uniform["rate"] == 0.2
    assert uniform["test"] == [[0.2, 0.2]] * 2
    for accuracy, rate in ((0.7, 0.2), (0.8, 0.4)):  # fixed weights may be those of uniform
        fixed = multimnist.choose("fixed", [one(0.4, accuracy, accuracy, (0.3, 0.7))], {"uniform": uniform})
        assert fixed["rate"] == rate
    each = [one(t["rate"], *t["validation"][0], w) for w in ((1.0, 0.0), (0.0, 1.0)) for t in tried]
    single = multimnist.choose("single task", each, {})
    assert single["rate"] == [0.1, 0.3]
    assert single["test"] == [[0.1, 0.3]] * 2
    assert single["validation"] == [[0.9, 0.95]] * 2


def test_all_rules_are_compared_and_what_can_not_be_is_refused(digits, tmp_path):
    config = dataclasses.replace(TINY, dataset=digits, run_dir=str(tmp_path))
    known = multimnist.methods(config)
    assert {"uniform", "uncertainty", "gradnorm", "famo", "pcgrad", "mgda", "cagrad", "nash_mtl"} <= set(known)
    assert list(known)[:3] == ["single task", "uniform", "fixed"]
    assert not {"mean", "total"} & set(known)
    assert [name for name, method in known.items() if method.validation] == ["lookahead"]
    for changes, message in (
        ({"methods": ("mgdaa",)}, "did you mean 'mgda'"),
        ({"steps": 0}, "--steps must be 1 or more, got 0"),
        ({"rates": ()}, "there must be one or more --rates"),
        ({"rates": (0.0,)}, "--rates must be a number above 0, got 0.0"),
        ({"shares": (1.0,)}, "--shares must be one or more of numbers between 0 and 1"),
        ({"sizes": (6, 3, 4)}, "12 or fewer in all"),
    ):
        with pytest.raises(RunError, match=message):
            run(multimnist.study, dataclasses.replace(config, **changes))
    with pytest.raises(DataError, match="there is no data set"):
        run(multimnist.study, dataclasses.replace(config, dataset="quarter"))
    assert not list(tmp_path.iterdir())


def test_no_two_methods_are_drawn_alike():
    row = {"test": [[0.5, 0.6], [0.6, 0.5]], "weights": [0.5, 0.5]}
    found = dict.fromkeys(multimnist.methods(TINY), row)
    axes = multimnist_report.accuracy_figure(multimnist.figure_maker(), found).axes[0]
    marks = [(points.get_marker(), points.get_color()) for points, *_ in axes.containers]
    assert len(set(marks)) == len(marks) == len(found) > 10


def test_the_parts_of_real_digits(data_root):
    data = multimnist.load(multimnist.Config(data_dir=str(data_root), pairs=20))
    assert data.validation.x.shape == data.test.x.shape == (20, 36, 36, 1)
    assert [sampler.args[0].shape for sampler in (data.train, data.held_out)] == [(10, 400, 28, 28), (10, 100, 28, 28)]
    held_out = {image.tobytes() for image in np.asarray(data.held_out.args[0]).reshape(-1, 784)}
    train = {image.tobytes() for image in np.asarray(data.train.args[0]).reshape(-1, 784)}
    assert len(held_out) == 1000
    assert not held_out & train
    batch = jax.eval_shape(data.train, jax.random.key(0))
    assert (batch.x.shape, batch.y.shape, batch.x.dtype) == ((32, 36, 36, 1), (2, 32, 10), jnp.float32)
