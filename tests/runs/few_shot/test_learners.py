"""Learners of every kind through the command line: trained, resumed, and shown another way and shot."""

import dataclasses
import json
import re
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_runs import PLAIN, TINY, assert_same_run, rows_of

import jmeta
from jmeta import distances
from jmeta.algorithms import catalog
from jmeta.nets import catalog as networks
from jmeta.nets.catalog import Network
from jmeta.runs.engine.options import Options
from jmeta.runs.engine.progress import silent
from jmeta.runs.few_shot import defaults, settings_of, train
from jmeta.runs.few_shot.experiment import load_data, training_learner
from jmeta.runs.few_shot.problems import load_problem
from jmeta.runs.few_shot.settings import Choice
from jmeta.runs.few_shot.trained import load_settings
from jmeta.settings import names, replaced

pytestmark = pytest.mark.standard_promotion


@pytest.mark.parametrize(
    ("algorithm", "flags"),
    [
        ("prototypical", ("--train-way", 4)),
        pytest.param("baseline", (), marks=pytest.mark.long),
        ("baseline++", ("--rotations",)),
        ("maml++", ("--inner-steps", 2, "--inner-lr", 0.1)),
        # An implicit gradient is that of a point where the inner loop has arrived.
        pytest.param(
            "imaml",
            ("--regularization", 1.0, "--inner-steps", 10, "--inner-lr", 0.2, "--outer-lr", 0.003),
            marks=pytest.mark.long,
        ),
    ],
)
def test_a_learner_of_another_kind_trains_and_serves_other_tasks(cli, shapes, tmp_path, algorithm, flags):
    tiny = TINY if "inner_steps" in names(catalog.LEARNERS.get(algorithm).settings()) else PLAIN
    words = ["train", "--dataset", shapes, "--algorithm", algorithm, *tiny, *flags]
    result = cli(*words, "--run-dir", tmp_path / "run")
    assert result.code == 0, result.err
    assert rows_of(tmp_path / "run")[-1]["val_accuracy"] > 0.6
    result = cli("evaluate", "--run-dir", tmp_path / "run", "--way", 3, "--shot", 2, "--episodes", 30)
    assert result.code == 0, result.err
    assert ("trained 2-way: its head" in result.out) == (algorithm in ("maml++", "imaml"))
    found = json.loads((tmp_path / "run" / "evaluation-3w2s.json").read_text())
    assert found["accuracy"] > 0.45 and (found["way"], found["shot"]) == (3, 2)
    assert found["steps"][-1]["accuracy"] == found["accuracy"]


@pytest.mark.long
def test_a_schedule_goes_on_where_it_stopped(cli, shapes, tmp_path):
    words = ["train", "--dataset", shapes, "--algorithm", "maml++", *TINY, "--inner-lr", 0.1, "--inner-steps", 2]
    assert cli(*words, "--run-dir", tmp_path / "whole").code == 0
    settings = load_settings(tmp_path / "whole")[0]
    options = Options(run_dir=str(tmp_path / "cut"), log_every=5, save_every=10, devices=1)
    told = []
    report, stop = silent._replace(row=told.append), lambda: signal.SIGTERM if told else None
    assert train(settings, options, report=report, stop=stop).stopped_by == signal.SIGTERM
    assert rows_of(tmp_path / "cut")[-1]["step"] == 5
    assert train(settings, dataclasses.replace(options, resume=True)).step == 20
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


def seen_weights(settings, monkeypatch):
    """Loss weights and first order of the schedule at each of its outer steps."""
    made = []
    monkeypatch.setattr(catalog.algorithms, "maml_plus_plus", lambda model, **options: made.append(options))
    schedule = training_learner(settings, None)
    for step in range(settings.outer.outer_steps):
        schedule(jnp.int32(step))
    return [(float(own["loss_weights"][0]), bool(own["first_order"])) for own in made]


def test_a_schedule_is_as_long_as_the_training_or_as_it_is_told(monkeypatch):
    start = settings_of(algorithm="maml++", inner_steps=2, outer_steps=20)
    for settings, anneal in ((start, 2), (replaced(start, {"anneal_steps": 4}), 4)):
        found = seen_weights(settings, monkeypatch)
        assert [w > 0 for w, _ in found] == [step < anneal for step in range(20)]
        assert [first for _, first in found] == [step < 3 * anneal for step in range(20)]


@pytest.mark.parametrize(
    ("algorithm", "flag"),
    [
        ("prototypical", "--inner-steps"),
        ("prototypical", "--eval-inner-steps"),
        ("maml", "--regularization"),
        ("maml", "--anneal-steps"),
        ("maml", "--inner-batch-size"),
        ("maml", "--context-size"),
        ("meta-sgd", "--inner-optimizer"),
        ("maml++", "--inner-optimizer"),
        ("maml++", "--truncation"),
        ("bootstrapped", "--truncation"),
        ("fomaml", "--truncation"),
        ("reptile", "--truncation"),
        ("reptile", "--inner-grad"),
        ("imaml", "--inner-grad"),
        ("imaml", "--target-steps"),
    ],
)
def test_a_learner_has_no_flag_for_what_it_does_not_have(cli, shapes, tmp_path, algorithm, flag):
    result = cli("train", "--dataset", shapes, "--algorithm", algorithm, flag, 3, "--run-dir", tmp_path / "run")
    assert result.code == 2 and flag in result.err and "Traceback" not in result.err, result
    assert not (tmp_path / "run").exists()


OWN_PRODUCTS = {
    "proto-maml": 5,
    "prototypical": 2,
    "matching": 1,
    "matching-cosine": 1,
    "matching-fce": 1,
    "siamese": 2,
}
OWN_PRODUCTS |= {"nearest": 2, "relation": 1, "ridge": 3}
"""Products of matrices in a learner's loss that are no network's: prototypes, distances, a system that is solved."""


# Through the network that MAML goes through, and no other.
LIKE_MAML = ("bootstrapped", "fomaml", "meta-sgd", "maml++", "anil", "boil", "reptile", "imaml")


def often(names, long):
    """Those of a list, some of them for `--all`."""
    return [pytest.param(name, marks=[pytest.mark.long] * (name in long)) for name in names]


@pytest.mark.parametrize("name", often(catalog.LEARNERS, long=LIKE_MAML))
def test_all_networks_of_a_learner_compute_in_the_precision(name):
    """Whatever stands beside the encoder too: heads, memories, transformers."""
    x, y = jnp.ones((6, 8, 8, 1)), jnp.tile(jnp.eye(3), (2, 1))
    row = catalog.LEARNERS.get(name)
    products = []
    for precision in ("float32", "bfloat16"):
        wanted = catalog.Wanted(Network("conv4", (8,), "none", precision), 3, 1, outer_steps=10, classes=3)
        made = row.make(row.settings(), wanted)
        learner = made if isinstance(made, jmeta.Learner) else made(jnp.int32(0))
        params = jax.eval_shape(learner.init, jax.random.key(0), x)
        assert {leaf.dtype for leaf in jax.tree.leaves(params)} <= {jnp.dtype("float32")}
        program = str(jax.make_jaxpr(learner.loss)(params, jmeta.Episode(jmeta.Batch(x, y), jmeta.Batch(x, y))))
        products.append(re.findall(r":(f32|bf16)\[[\d,]*\] = dot_general", program))
    assert set(products[0]) == {"f32"} and len(products[0]) == len(products[1])
    assert products[1].count("f32") == OWN_PRODUCTS.get(name, 0)


@pytest.mark.parametrize(
    ("name", "told", "by_hand"),
    [
        ("ridge", {"l2": 9.0}, lambda encoder: jmeta.ridge(encoder, l2=9.0)),
        (
            "prototypical",
            {"temperature": 4.0},
            lambda encoder: jmeta.prototypical(encoder, similarity=distances.tempered(4.0)),
        ),
        ("rfs", {"strength": 0.1}, lambda encoder: jmeta.rfs(encoder, encoder, strength=0.1)),
    ],
)
def test_what_a_learner_is_told_reaches_it(name, told, by_hand):
    """Catches a setting that does nothing, and one that is taken for another number."""
    row = catalog.LEARNERS.get(name)
    wanted = catalog.Wanted(Network("mlp", (4,), "none"), 3, classes=5)
    x, y = jax.random.normal(jax.random.key(1), (6, 2)), jnp.tile(jnp.eye(3), (2, 1))

    def logits(learner):
        params = learner.init(jax.random.key(0), x)
        return learner.predict(learner.adapt(params, jmeta.Batch(x, y)), x[:2] + 0.1)

    found, plain = (logits(row.make(row.settings(**own), wanted)) for own in (told, {}))
    np.testing.assert_allclose(found, logits(by_hand(networks.encoder(wanted.network))), rtol=1e-5)
    assert abs(found - plain).max() > 1e-3


def test_ordinary_batches_need_classes(refused):
    assert "baseline learns from all training classes" in refused(
        "train", "--dataset", "linear", "--algorithm", "baseline"
    )


INNER_LOOPS = [name for name in catalog.LEARNERS if "inner_optimizer" in names(defaults(Choice(name))[0])]
OWN = {
    "cavia": {"context_size": 3},
    "imaml": {"regularization": 1.0},
    "bootstrapped": {"target_steps": 2},
    "reptile": {"inner_batch_size": None},
}


@pytest.mark.parametrize("algorithm", often(INNER_LOOPS, long=LIKE_MAML))
def test_meta_gradients_through_adam_are_finite_where_an_inner_gradient_is_zero(algorithm):
    """The root of a mean of squares has no derivative at zero, where the weights of an input that is always 0 are, and
    where two labels of one and the same input cancel."""
    settings = settings_of(
        algorithm=algorithm, network="mlp", features=(4,), norm="none", inner_optimizer="adam", inner_lr=1e-2,
        inner_steps=2, way=2, **OWN.get(algorithm, {}),
    )  # fmt: skip
    learner = training_learner(settings, None)
    assert isinstance(learner, jmeta.Learner)
    x = jax.random.normal(jax.random.key(1), (4, 3)).at[:, 0].set(0.0)
    y = jnp.tile(jnp.eye(2), (2, 1))
    params = jax.jit(learner.init)(jax.random.key(0), x)
    meta_gradient = jax.jit(jax.grad(learner.loss, has_aux=True))
    for support in (x, jnp.zeros((4, 3))):
        grads = meta_gradient(params, jmeta.Episode(jmeta.Batch(support, y), jmeta.Batch(x + 1, y)))[0]
        assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(grads))
    grads = meta_gradient(params, jmeta.Episode(jmeta.Batch(x, y), jmeta.Batch(x + 1, y)))[0]
    assert any(bool(jnp.any(leaf != 0)) for leaf in jax.tree.leaves(grads))


def grouped(path):
    """Sixty classes in two alphabets, whose ink is left or right; those of an alphabet differ in their shade."""
    images = np.zeros((60, 6, 8, 8, 1), np.uint8)
    shades = np.arange(70, 250, 6)[:, None, None, None, None] + np.arange(6)[:, None, None, None]
    images[:30, :, 2:6, 1:3] = shades
    images[30:, :, 2:6, 5:7] = shades
    np.savez(path, images=images, groups=np.repeat(["left", "right"], 30))
    return str(path)


def test_episodes_within_a_group_of_changed_pictures(cli, refused, tmp_path):
    data = grouped(tmp_path / "letters.npz")
    words = ["train", "--dataset", data, "--algorithm", "prototypical", *PLAIN, "--within-groups"]
    result = cli(*words, "--augment", "affine", "--run-dir", tmp_path / "run")
    assert result.code == 0, result.err
    assert cli("evaluate", "--run-dir", tmp_path / "run", "--part", "train", "--episodes", 20).code == 0
    found = json.loads((tmp_path / "run" / "evaluation-train.json").read_text())
    assert found["within_groups"] is True
    tasks = load_settings(tmp_path / "run")[0].tasks
    training = jax.jit(load_data(tasks, ordinary=False).training)
    plain = jax.jit(load_problem(replaced(tasks, {"augment": "none"})).sampler("train", 2, 1, 2))
    for key in jax.random.split(jax.random.key(0), 5):
        changed, drawn = training(key).support.x, plain(key).support.x
        halves = np.argwhere(np.asarray(drawn)[..., 0] > 0)[:, 2] // 4
        assert len(np.unique(halves)) == 1, "the classes are of one alphabet, whose ink is on one side"
        assert not np.array_equal(changed, drawn)
    assert "the largest of the train part of letters has" in refused(*words, "--way", 31, "--run-dir", tmp_path / "no")


def test_curves_have_no_groups_and_no_pictures_to_change(refused):
    sinusoid = ("--dataset", "sinusoid")
    for words in (
        ("--augment", "affine", *sinusoid),
        ("--image-size", 8, *sinusoid),
        ("--within-groups", "--dataset", "linear"),
    ):
        assert "has no pictures: leave --within-groups, --augment, --rotations and --image-size out" in refused(
            "train", *words
        )


def test_ordinary_batches_are_changed_too(tmp_path):
    settings = settings_of(dataset=grouped(tmp_path / "letters.npz"), algorithm="baseline", augment="affine")
    changed, plain = (
        jax.jit(load_data(tasks, ordinary=True).training)(jax.random.key(0)).query
        for tasks in (settings.tasks, replaced(settings.tasks, {"augment": "none"}))
    )
    np.testing.assert_array_equal(changed.y, plain.y)
    assert not np.array_equal(changed.x, plain.x)
