"""Evaluation with the statistics of training pictures."""

import json
import re

import jax
import numpy as np
import pytest
from small_runs import PLAIN, TINY

import jmeta
from jmeta.cli import main
from jmeta.errors import RunError
from jmeta.runs.few_shot.statistics import of_training
from jmeta.runs.few_shot.trained import encoder_of, load_trained
from jmeta.runs.few_shot.transfer import show

pytestmark = pytest.mark.standard_promotion
BRIEF = ("--outer-steps", 2, "--save-every", 2, "--log-every", 1, "--norm", "support")


@pytest.fixture(scope="module", params=["prototypical", "ridge"])
def run(request, shapes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("statistics") / "run"
    words = ("train", "--dataset", shapes, *PLAIN, *BRIEF, "--algorithm", request.param, "--run-dir", folder)
    assert main([str(word) for word in words]) == 0
    return folder


def settled(run):
    """The encoder, its parameters as trained, and with the statistics of training pictures."""
    trained = load_trained(run)
    found = encoder_of(trained)
    assert found is not None
    params = of_training(str(run), trained).params
    return trained, *found, getattr(params, "encoder", params)


def test_a_prediction_depends_on_no_other_picture(run):
    """Catches statistics that a support set replaces, those of a batch at hand, and some at another place."""
    trained, encoder, params, kept = settled(run)
    x = jax.random.uniform(jax.random.key(1), (6, *trained.facts["input_shape"]))
    together = encoder.apply(kept, x)
    alone = np.concatenate([encoder.apply(kept, x[i : i + 1]) for i in range(6)])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-5)
    assert abs(together - encoder.apply(params, x)).max() > 1e-3
    again = encoder.condition(kept, 10 * x)
    assert jax.tree.structure(again) == jax.tree.structure(kept)
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(kept), strict=True):
        np.testing.assert_array_equal(a, b)


def test_they_are_those_of_training_pictures(run):
    """Catches statistics of test classes, and of pictures of another scale. The first layer is linear, so that its mean
    is known up to the error of 1,024 pictures."""
    trained, _, params, kept = settled(run)
    problem = show(trained).problem
    mean, variance = (m.ravel() for m in kept["statistics"]["SupportNorm_0"]["moments"])
    layer = params["params"]["Dense_0"]
    error = lambda part: np.abs(mean - layer["bias"] - picture_mean(problem, part) @ layer["kernel"])
    assert (error("train") < 5 * np.sqrt(variance / 1024)).all()
    assert (error("test") > 5 * np.sqrt(variance / 1024)).any()


def picture_mean(problem, part):
    pictures = np.concatenate([problem.dataset.examples[int(k)] for k in getattr(problem.split, part)])
    return pictures.reshape(len(pictures), -1).mean(0) / 255


def test_evaluation_says_so(cli, run):
    result = cli("evaluate", "--run-dir", run, "--episodes", 5, "--statistics", "train")
    assert result.code == 0 and "normalized by pictures that were trained on" in result.out + result.err, result
    assert json.loads((run / "evaluation-train-statistics.json").read_text())["statistics"] == "train"


def test_training_pictures_that_changed_are_refused(run):
    """Catches statistics of what has the same name and the same classes, and is no longer what was trained on."""
    trained = load_trained(run)
    with pytest.raises(RunError, match="or is no longer what it was: restore it"):
        of_training(str(run), trained._replace(facts={**trained.facts, "checksum": "0" * 64}))


def test_prediction_by_training_statistics(run):
    """Catches statistics that are of the five pictures of the support set after all, or of all that are named."""
    rng = np.random.default_rng(0)
    classes = {name: rng.uniform(size=(n, *load_trained(run).facts["input_shape"])) for name, n in (("a", 2), ("b", 3))}
    query = rng.uniform(size=(4, *load_trained(run).facts["input_shape"]))
    ask = lambda shown, **words: np.array([one.probability for one in jmeta.predict(run, classes, shown, **words)])
    found = ask(query, statistics="train")
    np.testing.assert_allclose(ask(query[1:2], statistics="train"), found[1:2], rtol=1e-5)
    assert abs(found - ask(query)).max() > 1e-3
    trained = of_training(str(run), load_trained(run))
    learner = trained.learner_of(0, 2)
    inputs = np.concatenate([*classes.values()]).astype(np.float32)
    adapted = learner.adapt(trained.params, jmeta.Batch(inputs, jax.nn.one_hot(np.array([0, 0, 1, 1, 1]), 2)))
    expected = jax.nn.softmax(learner.predict(adapted, query.astype(np.float32))).max(axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((*PLAIN, "--algorithm", "prototypical", "--norm", "batch"), "takes a run with --norm support, and .* batch"),
        ((*TINY, "--norm", "support"), "has no encoder of its own"),
    ],
)
def test_what_has_none_is_refused(cli, refused, shapes, tmp_path, words, said):
    brief = ("--outer-steps", 1, "--save-every", 1, "--log-every", 1)
    assert cli("train", "--dataset", shapes, *words, *brief, "--run-dir", tmp_path / "run").code == 0
    told = refused("evaluate", "--run-dir", tmp_path / "run", "--episodes", 5, "--statistics", "train")
    assert re.search(said, told), told
