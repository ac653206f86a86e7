"""scripts/transfer.py and scripts/one_shot_runs.py on a run of two seconds, and their distances by hand."""

import json
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fake_omniglot import write_runs
from test_scripts import load

from jmeta import Batch, Episode
from jmeta.cli import main
from jmeta.runs.few_shot.floor import nearest_pixels

pytestmark = pytest.mark.standard_promotion

TINY = (
    "--way 2 --query-shot 2 --network mlp --features 16 --norm batch --inner-lr 0.5 --outer-lr 0.01 "
    "--meta-batch-size 4 --outer-steps 10 --log-every 5 --save-every 10 --val-episodes 5 --devices 1"
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Three sets of pictures, the official runs, and two learners of the first set."""
    folder = tmp_path_factory.mktemp("transfer")
    for name, size, seed in (("shapes", 8, 0), ("others", 10, 1)):
        rng = np.random.default_rng(seed)
        patterns = 255.0 * (rng.random((16, 1, size, size, 1)) > 0.5)
        images = np.clip(patterns + 60 * rng.standard_normal((16, 8, size, size, 1)), 0, 255).astype(np.uint8)
        np.savez(folder / f"{name}.npz", images=images)
    np.savez(folder / "again.npz", images=np.load(folder / "shapes.npz")["images"][:, :7])
    write_runs(folder / "omniglot" / "all_runs.zip")
    for name in ("anil", "fomaml"):
        words = ["train", "--dataset", str(folder / "shapes.npz"), *TINY.split(), "--algorithm", name]
        assert main([*words, "--run-dir", str(folder / name), "--no-compile-cache"]) == 0
    return folder


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JMETA_CACHE", str(tmp_path / "cache"))


@pytest.mark.long
def test_transfer_measures_every_cell_on_the_same_episodes(place, own_cache, tmp_path, monkeypatch, capsys):
    transfer = load("transfer")
    config = transfer.Config(
        run_dirs=(str(place / "anil"), str(place / "fomaml")),
        datasets=("others",),
        way=2,
        query_shot=2,
        shots=(1, 3),
        episodes=8,
        output=str(tmp_path / "out"),
        data_dir=str(place),
    )
    cells = transfer.main(config)
    assert [(c.name, c.dataset, c.shot) for c in cells] == [
        (name, data, shot)
        for name in (transfer.FLOOR, "anil", "fomaml")
        for data in ("shapes", "others")
        for shot in (1, 3)
    ]
    assert all(len(c.accuracy) == 8 and 0 <= min(c.accuracy) <= max(c.accuracy) <= 1 for c in cells)
    assert all(np.mean(c.accuracy) > 0.9 for c in cells if c.name == transfer.FLOOR), "noise hides no pattern"
    assert [c.protocol for c in cells[:3]] == ["classes", "classes", "all"]
    table = (tmp_path / "out" / "transfer.md").read_text()
    assert table in capsys.readouterr().out
    mean, floor = (np.array(cells[i].accuracy) for i in (4, 0))
    interval = 236.4624 / np.sqrt(8)
    assert f"| anil | {100 * mean.mean():.1f} +- {interval * mean.std(ddof=1):.1f} |" in table
    difference = f"{100 * (mean - floor).mean():.1f} +- {interval * (mean - floor).std(ddof=1):.1f}"
    assert f"| anil | {difference} |" in table.split("above the floor")[1]
    assert "Pictures of others: resized from 10 x 10 to 8 x 8, not inverted" in table

    monkeypatch.setattr(transfer.evaluation, "evaluate", lambda *_, **__: pytest.fail("measured again"))
    assert transfer.main(config) == cells, "what is there is kept"


def test_transfer_keeps_what_was_measured_of_the_same_parameters_alone(place, own_cache, tmp_path, monkeypatch):
    transfer, run_dir = load("transfer"), tmp_path / "runs" / "anil"
    shutil.copytree(place / "anil", run_dir)
    config = transfer.Config(
        run_dirs=(str(run_dir),), datasets=(), way=2, query_shot=2, shots=(1, 2), episodes=4,
        output=str(tmp_path / "out"), data_dir=str(place),
    )  # fmt: skip
    measured, evaluate = [], transfer.evaluation.evaluate

    def stopped(*args, **kwargs):
        if len(measured) == 3:
            raise KeyboardInterrupt
        measured.append(1)
        return evaluate(*args, **kwargs)

    monkeypatch.setattr(transfer.evaluation, "evaluate", stopped)
    with pytest.raises(KeyboardInterrupt):
        transfer.main(config)
    kept = json.loads((tmp_path / "out" / "transfer.json").read_text())["cells"]
    assert [(cell["name"], cell["shot"]) for cell in kept] == [(transfer.FLOOR, 1), (transfer.FLOOR, 2), ("anil", 1)]
    measured.clear()
    cells = transfer.main(config)
    assert len(measured) == 1 and cells[2].accuracy == kept[2]["accuracy"]
    # Another run of the same name, algorithm and step, in the place of the first.
    shutil.rmtree(run_dir)
    words = ["train", "--dataset", str(place / "shapes.npz"), *TINY.split(), "--algorithm", "anil", "--seed", "1"]
    assert main([*words, "--run-dir", str(run_dir), "--no-compile-cache"]) == 0
    measured.clear()
    again = transfer.main(config)
    assert len(measured) == 2 and again[:2] == cells[:2] and again[2].digest != cells[2].digest


@pytest.mark.parametrize("name", ["compare", "one_shot_runs", "transfer"])
def test_programs_that_are_stopped_say_so_in_a_sentence(name, monkeypatch, capsys):
    script = load(name)

    def stopped(config):
        raise KeyboardInterrupt

    monkeypatch.setattr(script, "main", stopped)
    monkeypatch.setattr("sys.argv", [name, *(["--run-dirs", "x"] if name == "transfer" else [])])
    with pytest.raises(SystemExit) as caught:
        script.run()
    err = capsys.readouterr().err
    assert caught.value.code == 130 and err.startswith(f"{name}: stopped") and err.count("\n") == 1


def test_transfer_refuses_what_cannot_be_in_one_table(place, own_cache, tmp_path):
    transfer = load("transfer")

    def refused(**settings):
        given = {"run_dirs": (str(place / "anil"),), "data_dir": str(place), "output": str(tmp_path / "out")}
        with pytest.raises(transfer.RunError) as caught:
            transfer.main(transfer.Config(**{**given, **settings}))
        assert not (tmp_path / "out").exists()
        return str(caught.value)

    assert "different names" in refused(run_dirs=(str(place / "anil"), str(place / "anil")), datasets=())
    assert "was trained on 8 of the classes of again" in refused(datasets=("again",))
    assert "--episodes must be 2 or more, got 1" in refused(episodes=1)
    assert "--inner-steps must be 0 or more, got -1" in refused(inner_steps=-1)
    assert "there must be run folders and shots" in refused(shots=())
    assert "is no run folder" in refused(run_dirs=(str(tmp_path),))


def test_one_shot_runs_are_measured_beside_the_baselines(place, own_cache, tmp_path, monkeypatch):
    script = load("one_shot_runs")
    monkeypatch.setattr(script, "hausdorff_errors", lambda runs: np.full(20, 0.4))
    rows = script.main(
        script.Config(run_dirs=(str(place / "anil"),), data_dir=str(place), output=str(tmp_path / "out"))
    )
    assert [row.learner for row in rows] == ["anil", "-", "-"]
    assert all(len(row.wrong) == 20 for row in rows)
    assert rows[0].together is not None and rows[0].seen == 0
    # Support and query are the same drawings there.
    assert np.mean(rows[1].wrong) == 0
    table = (tmp_path / "out" / "one_shot_runs.md").read_text()
    assert "| people (Lake et al. 2015) | | 4.5 |" in table and table.count("\n| 20 |") == 1
    assert len(json.loads((tmp_path / "out" / "one_shot_runs.json").read_text())["rows"]) == 3
    with pytest.raises(script.RunError, match="nothing to measure"):
        script.main(script.Config(baselines=False))
    with pytest.raises(script.RunError, match="--inner-steps must be 0 or more, got -1"):
        script.main(script.Config(inner_steps=-1))


def test_modified_hausdorff_distance_by_hand():
    script = load("one_shot_runs")
    rng = np.random.default_rng(0)
    a, b = ([rng.normal(size=(n, 2)) for n in sizes] for sizes in ((3, 1, 5), (4, 2)))
    found = script.modified_hausdorff(a, b)
    for i, j in np.ndindex(3, 2):
        there = [min(np.hypot(*(p - q)) for q in b[j]) for p in a[i]]
        back = [min(np.hypot(*(p - q)) for p in a[i]) for q in b[j]]
        np.testing.assert_allclose(found[i, j], max(np.mean(there), np.mean(back)), atol=1e-7)
    square = np.zeros((105, 105), np.uint8)
    square[10:12, 20:24] = 255
    np.testing.assert_allclose(script.ink(square).mean(axis=0), 0, atol=1e-12)
    assert script.ink(square).shape == (8, 2)


def test_the_official_baseline_is_reproduced(data_root):
    """The demo that comes with the test says 38.8 % wrong: the reader has the right labels and drawings."""
    if not (Path(data_root) / "omniglot" / "all_runs.zip").is_file():
        pytest.skip("JMETA_DATA has no omniglot/all_runs.zip")
    script = load("one_shot_runs")
    found = script.hausdorff_errors(script.load_runs(Path(data_root), 105))
    assert round(100 * found.mean(), 2) == 38.75


def test_the_nearest_pixels_by_hand():
    rng = np.random.default_rng(1)
    x, q = (jnp.asarray(rng.normal(size=(n, 3, 3, 1)), jnp.float32) for n in (6, 7))
    y = jax.nn.one_hot(jnp.array([0, 1, 2, 0, 1, 2]), 3)
    weight = jnp.array([1.0, 1, 1, 1, 1, 0])
    learner = nearest_pixels()
    logits = learner.predict(learner.adapt((), Batch(x, y, weight)), q)
    for n, k in np.ndindex(7, 3):
        near = min(float(jnp.sum((q[n] - x[i]) ** 2)) for i in range(6) if i % 3 == k and weight[i])
        np.testing.assert_allclose(logits[n, k], -near, rtol=1e-5)
    _, metrics = learner.loss(learner.init(jax.random.key(0), x), Episode(Batch(x, y), Batch(x, y)))
    assert metrics.accuracy == 1
