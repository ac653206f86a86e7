"""`jmeta bayes`: trained by the engine, measured, drawn, and what it can't do said in a sentence."""

import json

import numpy as np
import pytest
from small_runs import PLAIN, TINY

import jmeta
from jmeta import uncertainty
from jmeta.bayes import Kernel, rbf
from jmeta.bayes.catalog import BAYESIAN, check_kernel
from jmeta.errors import RunError
from jmeta.runs import bayes
from jmeta.runs.bayes import evaluate
from jmeta.runs.few_shot.experiment import learner_of
from jmeta.runs.few_shot.learners import LEARNERS
from jmeta.runs.few_shot.settings import settings_of

pytestmark = pytest.mark.standard_promotion
CURVES = (
    "--shot 4 --query-shot 5 --meta-batch-size 4 --outer-steps 20 --log-every 5 --save-every 10 --val-episodes 10 "
    "--features 8 --devices 1"
).split()


@pytest.fixture(scope="module")
def curves(tmp_path_factory):
    """A run of a deep kernel on sine curves, evaluated."""
    from jmeta.cli import main

    run_dir = tmp_path_factory.mktemp("curves") / "run"
    assert main(["bayes", "train", *CURVES, "--mean", "network", "--run-dir", str(run_dir)]) == 0
    assert main(["bayes", "evaluate", "--run-dir", str(run_dir), "--episodes", "30"]) == 0
    return run_dir


def test_numbers_are_measured_beside_the_best_possible(curves, cli):
    """Catches figures of another run, learner or set of episodes; they are those of `jmeta.load` and the sampler."""
    result = json.loads((curves / evaluate.RESULT).read_text())
    assert {*result["rows"]} == {"rmse", "log_density", "joint"} and {*result["best"]} == {"rmse", "joint"}
    assert result["best"]["rmse"]["mean"] < result["rows"]["rmse"]["mean"]
    assert result["best"]["joint"]["mean"] > result["rows"]["joint"]["mean"]
    counts = np.array(result["counts"])
    assert counts[-1] == 30 * 5 and result["error"] == pytest.approx(uncertainty.coverage_error(counts))
    asked = evaluate.asked(evaluate.Config(str(curves), episodes=30))
    again = evaluate.measured(asked, episodes=30, seed=0)
    assert again["rows"] == result["rows"] and evaluate.measured(asked, episodes=30, seed=1)["rows"] != result["rows"]
    assert type(jmeta.load(curves).learner) is type(asked.learner)
    told = cli("evaluate", "--run-dir", curves, "--episodes", 30)  # the runs are those of jmeta train
    assert told.code == 0 and "error" in told.out, told.err


def test_functions_and_their_intervals_are_drawn(curves, cli):
    result = cli("bayes", "plot", "--run-dir", curves)
    assert result.code == 0, result.err
    assert [line.rpartition("/")[2] for line in result.out.split()] == [
        "training.png",
        "functions.png",
        "reliability.png",
    ]
    assert cli("plot", "--run-dir", curves).code == 0 and (curves / "episodes.png").exists()


def test_classes_are_measured_and_drawn(shapes, cli, tmp_path):
    """Catches a foreign AUROC of the classes that the learner was told of, and logits for another way."""
    words = ("--algorithm", "meta-qda", "--dataset", shapes, *PLAIN)
    assert cli("train", *words, "--run-dir", tmp_path / "run").code == 0
    result = cli("bayes", "evaluate", "--run-dir", tmp_path / "run", "--episodes", 20, "--part", "train")
    assert result.code == 0 and "calibration error" in result.out and "trained on" in result.out, result.err
    found = json.loads((tmp_path / "run" / evaluate.RESULT).read_text())
    assert {*found["rows"]} == {"accuracy", "log_likelihood", "foreign_auroc"}
    assert found["rows"]["accuracy"]["mean"] > 0.7 and found["rows"]["foreign_auroc"]["mean"] > 0.6
    assert np.array(found["counts"])[:, 0].sum() == 20 * 4
    assert cli("bayes", "plot", "--run-dir", tmp_path / "run").code == 0
    assert (tmp_path / "run" / "reliability.png").exists() and not (tmp_path / "run" / "functions.png").exists()


KINDS = [
    (name, kind) for name, row in BAYESIAN.items()
    for kind, takes in (("sinusoid-e", row.numbers), ("glyphs", row.classes)) if takes
]  # fmt: skip


@pytest.mark.parametrize(("algorithm", "dataset"), KINDS)
def test_every_learner_is_made_for_all_that_it_takes(algorithm, dataset):
    """Catches a parameter of a factory that its settings lack, and a loss of classes for numbers."""
    settings = settings_of(algorithm=algorithm, dataset=dataset, network="mlp", features=(4,), norm="none")
    assert isinstance(learner_of(settings, 1), jmeta.Learner)


@pytest.mark.long
@pytest.mark.parametrize(
    ("algorithm", "dataset"), [kind for kind in KINDS if kind[0] not in ("deep-kernel", "meta-qda")]
)
def test_every_learner_is_trained_and_measured(algorithm, dataset, cli, tmp_path):
    tiny = [word for word in TINY if word not in ("--way", "2", "--inner-lr", "0.5", "--query-shot")]
    words = ("bayes", "train", "--algorithm", algorithm, "--dataset", dataset, *tiny, "--run-dir", tmp_path / "run")
    assert cli(*words).code == 0
    result = cli("bayes", "evaluate", "--run-dir", tmp_path / "run", "--episodes", 20)
    assert result.code == 0 and "log-likelihood" in result.out, result.err


def test_one_registry_has_all_learners():
    assert {*BAYESIAN} < {*LEARNERS} and "maml" in LEARNERS
    assert bayes.AREA.kind == "few-shot"  # so that jmeta evaluate, predict and load take its runs


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("train", "--algorithm", "maml"), "there is no Bayesian learner 'maml': did you mean 'abml'?"),
        (("train", "--algorithm", "alpaca", "--dataset", "glyphs"), "alpaca predicts numbers, and glyphs has classes"),
        (
            ("train", "--algorithm", "versa", "--dataset", "sinusoid"),
            "versa tells classes apart, and sinusoid has none",
        ),
        (("train", "--kernel", "rfb"), "there is no kernel 'rfb': did you mean 'rbf'?"),
        (("train", "--noise", "0"), "--noise must be a number above 0, got 0"),
        (("train", "--dataset", "linear", "--mean", "network"), "--mean network is of numbers"),
        (("train", "--algorithm", "abml", "--dataset", "linear", "--noise", "0.1"), "--noise is of numbers"),
        (("train", "--algorithm", "meta-qda", "--kernel", "rbf"), "--kernel is nothing that"),
        (("linear",), "is a study of the repository"),
        (("evaluate", "--run-dir", "nowhere"), "nowhere"),
    ],
)
def test_what_can_not_be_is_said_in_a_sentence(words, says, refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert says in refused("bayes", *words)


@pytest.mark.long
def test_a_learner_without_distributions_is_sent_on(refused, cli, tmp_path):
    assert cli("train", "--dataset", "sinusoid-e", *CURVES, "--run-dir", tmp_path / "run").code == 0
    message = refused("bayes", "evaluate", "--run-dir", tmp_path / "run", "--episodes", 20)
    assert "maml predicts numbers and not how sure they are: jmeta evaluate has their error." in message


def test_a_matrix_that_is_no_covariance_is_refused(refused, tmp_path, monkeypatch):
    """Catches a kernel that trains to NaN, or to jitter, without a word."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(
        "import jax.numpy as jnp\nfrom jmeta.bayes import Kernel, rbf\n\n\n"
        "def away():\n"
        "    apart = lambda p, a, b: -jnp.sum((a[:, None] - b[None]) ** 2, -1)\n"
        "    return Kernel(lambda z: (), apart, lambda p, a: jnp.zeros(len(a)))\n\n\n"
        "def good():\n    return rbf(length=2.0)\n\n\ndef none():\n    return 3\n"
    )
    words = ("bayes", "train", *CURVES, "--run-dir", tmp_path / "run", "--kernel")
    message = refused(*words, "mine.py:away")
    assert "mine.py:away is no kernel: its matrix is not positive definite, with an eigenvalue of -" in message
    assert "must return a Kernel, got a int" in refused(*words, "mine.py:none")
    good = rbf()
    check_kernel("good", good)
    lopsided = lambda p, a, b: good.matrix(p, a, b + 0.5)
    with pytest.raises(RunError, match="must be symmetric, with variance as its diagonal"):
        check_kernel("bad", Kernel(good.init, lopsided, good.variance))
    with pytest.raises(RunError, match="must be symmetric, with variance as its diagonal"):
        check_kernel("bad", good._replace(variance=lambda p, a: 2 * good.variance(p, a)))
    settings = settings_of(algorithm="deep-kernel", dataset="sinusoid-e", kernel="mine.py:good")
    assert isinstance(learner_of(settings, 0), jmeta.Learner)


def test_nats_below_0_have_no_logarithm(curves):
    """Catches a curve that is not there, and a squared error on the axis of nats."""
    from jmeta.runs.few_shot.plot import training_curve
    from jmeta.runs.few_shot.trained import load_trained

    row = {"step": 1, "loss": 0.5, "val_error": 2.0, "val_ci95": 0.1}
    for loss, scales in ((-0.5, ["linear", "log"]), (0.5, ["log"])):
        figure = training_curve(load_trained(curves), [row, {**row, "step": 2, "loss": loss}])
        assert [axes.get_yscale() for axes in figure.axes] == scales
