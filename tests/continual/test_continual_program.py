"""`jmeta continual`: streams end to end on a few glyphs, from a run of its own and from one of `jmeta train`."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmeta
from jmeta import cli
from jmeta.continual import encoders
from jmeta.nets import catalog as networks
from jmeta.nets.catalog import Network
from jmeta.runs.continual import PROGRAMS
from jmeta.runs.use import load

pytestmark = pytest.mark.standard_promotion

WORDS = [
    *("--dataset", "glyphs:60", "--network", "mlp", "--features", "4", "--classes", "3", "--shot", "2"),
    *("--query-shot", "2", "--val-classes", "4", "--val-shot", "2", "--val-streams", "2", "--outer-steps", "2"),
    *("--log-every", "1", "--save-every", "2"),
]
ASKED = ["--classes", "5", "500", "--shot", "3", "--query-shot", "2", "--streams", "3"]


def refused(capsys, *words):
    assert cli.main(["continual", *map(str, words)]) == 2
    return capsys.readouterr().err


def read(path):
    return json.loads(path.read_text())


def test_a_learner_of_streams_is_trained_evaluated_and_drawn(tmp_path, capsys):
    run_dir = tmp_path / "run"
    assert cli.main(["continual", "train", "--algorithm", "gemcl", *WORDS, "--run-dir", str(run_dir)]) == 0
    stored = read(run_dir / "config.json")
    assert stored["experiment"] == "continual" and stored["density"] == "predictive" and stored["facts"]["split_hash"]
    assert cli.main(["continual", "evaluate", "--run-dir", str(run_dir), *ASKED]) == 0
    rows = read(run_dir / "evaluation.json")["rows"]
    assert set(rows) == {"gemcl", "class means of raw pixels"}
    assert all(row["classes"] == [5] and len(row["accuracy"]) == 1 for row in rows.values())
    assert "| classes" in capsys.readouterr().out
    assert cli.main(["continual", "plot", "--run-dir", str(run_dir)]) == 0
    assert {path.name for path in run_dir.glob("*.png")} == {"training.png", "classes.png"}
    asked = ("evaluate", "--run-dir", run_dir, "--classes")
    assert "a stream of 19 examples a class with 5 queries needs 24" in refused(capsys, *asked, 5, "--shot", 19)
    assert "the test has 12 classes: give fewer --classes" in refused(capsys, *asked, 600)
    assert "no learner of streams 'gemlc': did you mean 'gemcl'?" in refused(capsys, *asked, 5, "--head", "gemlc")
    found = load(run_dir)
    x = np.zeros((6, 28, 28, 1), np.float32)
    adapted = found.learner.adapt(found.params, jmeta.Batch(x, jnp.tile(jnp.eye(3), (2, 1))))
    assert found.learner.predict(adapted, x).shape == (6, 3)


def test_a_frozen_encoder_reads_each_example_as_if_it_were_alone():
    """With the statistics of background examples: with those of a stream, its first example would see its last."""
    network = Network("mlp", (4,), norm="batch")
    background, x = np.random.default_rng(0).normal(size=(2, 6, 3)).astype(np.float32)
    trained = networks.encoder(network).init(jax.random.key(0), background)
    encoder = networks.encoder(encoders.frozen(network))
    params = encoders.conditioned(encoder, trained, background)
    alone = [encoders.features(encoder, params, x[i : i + 1]) for i in range(6)]
    np.testing.assert_allclose(encoders.features(encoder, params, x), np.concatenate(alone), atol=1e-5)
    together = networks.encoder(network).apply(trained, background)
    np.testing.assert_allclose(encoders.features(encoder, params, background), together, atol=1e-5)


@pytest.mark.long
def test_every_head_learns_streams_on_the_encoder_of_a_few_shot_run(tmp_path):
    run_dir = tmp_path / "run"
    words = ["train", "--algorithm", "prototypical", "--dataset", "glyphs:60", "--features", "4", "--outer-steps", "2"]
    assert (
        cli.main([*words, "--val-episodes", "2", "--log-every", "1", "--save-every", "2", "--run-dir", str(run_dir)])
        == 0
    )
    for head in ("class-means", "ridge", "gemcl", "oml"):
        words = ["continual", "evaluate", "--run-dir", str(run_dir), "--head", head, "--copies", "2", *ASKED]
        assert cli.main(words) == 0
        row = read(run_dir / "evaluation.json")["rows"][head]
        assert all(0 <= value <= 1 for value in row["accuracy"] + row["streamed"])
    assert cli.main(["continual", "plot", "--run-dir", str(run_dir)]) == 0


def test_what_can_not_be_is_said_in_a_sentence(tmp_path, capsys):
    assert cli.main(["continual"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in PROGRAMS)
    assert "did you mean 'evaluate'?" in refused(capsys, "evalaute")
    assert "must not see: choose none, group or layer" in refused(
        capsys, "train", "--algorithm", "oml", "--norm", "batch"
    )
    assert "leave --remember out" in refused(capsys, "train", "--algorithm", "gemcl", "--remember", "3")
    few = ("train", "--algorithm", "gemcl", *WORDS, "--run-dir", tmp_path / "run")
    assert "a stream of 9999 classes needs 9999, got 156" in refused(capsys, *few, "--classes", 9999)
    assert "needs 31 of each class, got 20" in refused(capsys, *few, "--shot", 29)
    assert "python -m scripts.continual.omniglot" in refused(capsys, "omniglot")
    assert "no run" in refused(capsys, "evaluate", "--run-dir", tmp_path / "none")
