"""What training recipes add to a run: changed pictures, weight decay, random shots; and data sets known by name."""

import io
import json
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from small_runs import PLAIN

import jmeta
from jmeta import losses
from jmeta.datasets import named
from jmeta.runs.few_shot import settings_of
from jmeta.runs.few_shot.experiment import builder, outer_optimizer, training_learner
from jmeta.runs.few_shot.problems import load_problem
from jmeta.runs.few_shot.settings import AUGMENTS, Outer
from jmeta.settings import replaced

pytestmark = pytest.mark.standard_promotion


@pytest.mark.parametrize("rule", ["sgd", "nesterov", "sam"])
def test_weight_decay_is_a_part_of_the_gradient(rule):
    """Of a gradient of 0, what is left is the decay; catches one that SAM forgets, whose gradient is another."""
    optimizer = outer_optimizer(Outer(0.5, outer_optimizer=rule, weight_decay=0.1))
    params = {"w": jnp.array([2.0, -4.0])}
    zero = jax.tree.map(jnp.zeros_like, params)
    more = {"grad_fn": lambda params, i: zero} if rule == "sam" else {}
    update, _ = optimizer.update(zero, optimizer.init(params), params, **more)
    factor = {"sgd": 1.0, "nesterov": 1.9}.get(rule)  # Nesterov looks a step of its momentum ahead
    expected = -0.5 * np.sign([2.0, -4.0]) if factor is None else -0.5 * 0.1 * factor * np.array([2.0, -4.0])
    np.testing.assert_allclose(update["w"], expected, rtol=1e-5)


def test_without_weight_decay_the_state_is_as_it_was():
    """Catches runs that can't go on from what an older version has kept."""
    params = jnp.ones(3)
    plain = outer_optimizer(Outer())
    assert jax.tree.structure(plain.init(params)) != jax.tree.structure(
        outer_optimizer(Outer(weight_decay=0.1)).init(params)
    )
    assert len(plain.init(params)) == 2


def test_training_draws_its_shots_and_validation_does_not(shapes):
    settings = settings_of(dataset=shapes, algorithm="prototypical", train_shot=3, least_shot=2, way=3, query_shot=2)
    experiment = builder()(settings)
    sample, validation = experiment.update.args[0], experiment.validate.args[0]
    weight = np.asarray(jax.vmap(sample)(jax.random.split(jax.random.key(0), 40)).support.weight)
    assert {6.0, 9.0} == set(weight.sum(1))
    assert validation(jax.random.key(0)).support.weight is None


@pytest.mark.parametrize("name", AUGMENTS)
def test_every_augmentation_changes_training_alone(shapes, name):
    """Catches a name without a change, and tests of changed pictures."""
    tasks = settings_of(dataset=shapes, augment=name).tasks
    changed, plain = (load_problem(t) for t in (tasks, replaced(tasks, {"augment": "none"})))
    for part in ("train", "val"):
        one, other = (p.sampler(part, 3, 1, 2)(jax.random.key(1)).support.x for p in (changed, plain))
        assert np.array_equal(one, other) == (part == "val" or name == "none")
        assert one.shape == other.shape and float(one.min()) >= 0 and float(one.max()) <= 1


def test_a_recipe_from_the_command_line(cli, shapes, tmp_path):
    words = "--augment photo --weight-decay 0.001 --train-shot 3 --least-shot 1".split()
    words += "--label-smoothing 0.1 --algorithm prototypical".split()
    result = cli("train", "--dataset", shapes, *PLAIN, *words, "--run-dir", tmp_path / "run")
    assert result.code == 0, result.err
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    told = [config[name] for name in ("augment", "weight_decay", "least_shot", "label_smoothing")]
    assert told == ["photo", 0.001, 1, 0.1]
    metrics = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(metrics[-1])["loss"] > 0


def test_label_smoothing_is_the_loss_that_is_trained(shapes):
    """A setting that never reaches the learner would leave the loss at the log of what is right."""
    told = {"dataset": shapes, "algorithm": "prototypical", "way": 3, "shot": 1, "query_shot": 2, "features": (4,)}
    episode = jmeta.Episode(*[jmeta.Batch(jax.random.uniform(jax.random.key(0), (3, 8, 8, 1)), jnp.eye(3))] * 2)
    value = {}
    for share in (None, 0.3):
        learner = training_learner(settings_of(**told, label_smoothing=share), 3)
        params = learner.init(jax.random.key(0), episode.support.x)
        logits = learner.predict(learner.adapt(params, episode.support), episode.query.x)
        value[share] = float(learner.loss(params, episode)[0])
    expected = jnp.mean(losses.smoothed_cross_entropy(0.3)(logits, episode.query.y))
    np.testing.assert_allclose(value[0.3], expected, rtol=1e-5)
    assert value[0.3] > value[None] + 1e-3


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--least-shot 2", "--least-shot must be 1 to 1, the shots of training, got 2"),
        (
            "--least-shot 1 --algorithm baseline",
            "--least-shot needs episodes of a data set, of which training has none",
        ),
        ("--label-smoothing 1", "--label-smoothing must be a number above 0, at most 0.99, got 1"),
        ("--label-smoothing 0.1 --algorithm relation", "has no loss of labels to smooth"),
        ("--weight-decay 0", "--weight-decay must be a number above 0, got 0"),
        ("--augment phot", "did you mean 'photo'?"),
    ],
)
def test_recipes_that_make_no_sense(refused, shapes, tmp_path, words, expected):
    assert expected in refused("train", "--dataset", shapes, *PLAIN, *words.split(), "--run-dir", tmp_path / "run")


def test_a_known_set_is_prepared_or_says_what_it_lacks(cli, refused, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    message = refused("data", "prepare", "cifar-fs", "--data-dir", tmp_path)
    assert "needs cifar-100-python.tar.gz" in message and "https://www.cs.toronto.edu/~kriz/cifar.html" in message
    assert "did you mean 'cifar-fs'?" in refused("train", "--dataset", "cifar-f", "--run-dir", tmp_path / "run")
    known = named.KNOWN["eurosat"]
    file = io.BytesIO()
    Image.fromarray(np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3)).save(file, "PNG")
    with zipfile.ZipFile(tmp_path / "EuroSAT.zip", "w") as archive:
        for name in known.classes:
            archive.writestr(f"2750/{name}/{name}_1.png", file.getvalue())
    with pytest.warns(
        UserWarning, match="eurosat has 10 pictures in .*EuroSAT.zip, 1 a class, and the original 27,000"
    ):
        result = cli("data", "prepare", "eurosat", "--data-dir", tmp_path)
    assert result.code == 0 and "eurosat: 10 classes, up to 1 pictures each, 64 x 64 x 3" in result.out
    listed = cli("data", "list", "--data-dir", tmp_path).out
    assert "medmnist:NAME" in listed and "fc100" in listed
