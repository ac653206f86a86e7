"""Every algorithm learns, to a threshold that a wrong one misses."""

import functools

import jax
import numpy as np
import pytest
from algorithms_table import ALGORITHMS, mlp_net

import jmeta
from jmeta import evaluation, losses

SINES = jmeta.sinusoid_sampler(shot=10, query_shot=10)


def prototypes(classes, seed):
    """Images of classes that differ in 5 directions of 36; all else is noise, as strong as what tells them apart."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(36, 36)))[0]
    signal = 2 * rng.normal(size=(classes, 1, 5)) + 0.3 * rng.normal(size=(classes, 20, 5))
    z = np.concatenate([signal, 2 * rng.normal(size=(classes, 20, 31))], -1)
    return (z @ basis.T).reshape(classes, 20, 6, 6, 1).astype(np.float32)


@functools.cache
def image_samplers():
    """Of classes to train on, with more examples, and of others."""
    return [
        jmeta.few_shot_sampler(prototypes(classes, seed), way=3, shot=shot, query_shot=4)
        for classes, seed, shot in ((300, 1, 10), (100, 2, 2))
    ]


def train(learner, rule, sample, steps):
    x = sample(jax.random.key(0)).support.x
    state = jmeta.init_state(learner, rule, jax.random.key(0), x)
    run = jmeta.make_run(learner, rule, sample, meta_batch_size=10)
    return state.params, run(state, steps)[0].params


def error(learner, params):
    metric = evaluation.mean_squared_error
    return jmeta.evaluate(learner, params, SINES, jax.random.key(5), episodes=200, metric=metric, chunk_size=200).mean


def accuracy(learner, params):
    return jmeta.evaluate(learner, params, image_samplers()[1], jax.random.key(5), episodes=200, chunk_size=200).mean


def each(names, quick):
    """The quick ones always, and the rest where all tests are run."""
    return pytest.mark.parametrize(
        "name", [pytest.param(name, marks=[] if name in quick else pytest.mark.long) for name in names]
    )


# One learner of each kind, on one of the two: through its inner loop.
@each([name for name, row in ALGORITHMS.items() if row.sinusoid], quick=("maml",))
def test_sine_curves(name):
    row = ALGORITHMS[name]
    lr, inner_steps, threshold = row.sinusoid
    learner = row.make(mlp_net(1), losses.squared_error, lr, inner_steps)
    before, after = train(learner, row.outer, SINES, 2000)
    assert error(learner, after) < threshold
    assert error(learner, before) > 2 * threshold


# By comparison.
@each([name for name, row in ALGORITHMS.items() if row.images], quick=("prototypical",))
def test_images_of_unseen_classes(name):
    row = ALGORITHMS[name]
    lr, inner_steps, threshold = row.images
    learner = row.make(mlp_net(3, (32,)), losses.cross_entropy, lr, inner_steps)
    before, after = train(learner, row.outer, image_samplers()[0], 500)
    assert accuracy(learner, after) > threshold
    assert accuracy(learner, before) < threshold - 0.15


@pytest.mark.long
@pytest.mark.parametrize("name", ["baseline", "baseline_plus_plus", "rfs"])
def test_a_classifier_of_all_training_classes_serves_unseen_ones(name):
    row = ALGORITHMS[name]
    learner = row.make(mlp_net(300, (32,)), losses.cross_entropy, 0.0, 0)
    sample = jmeta.classification_sampler(prototypes(300, 1), batch_size=64)
    before, after = train(learner, row.outer, sample, 500)
    assert accuracy(learner, after) > 0.95
    assert accuracy(learner, before) < 0.7


@pytest.mark.long
def test_training_on_all_tasks_together_misses_every_threshold():
    """What the thresholds are worth: learning without an inner loop, and adapting at the end."""
    joint = lambda out, loss, features: ALGORITHMS["maml"].make(mlp_net(out, features), loss, 0.1, 0)
    outer = ALGORITHMS["maml"].outer
    sines = train(joint(1, losses.squared_error, (40, 40)), outer, SINES, 2000)[1]
    images = train(joint(3, losses.cross_entropy, (32,)), outer, image_samplers()[0], 500)[1]
    for lr, inner_steps in {ALGORITHMS[name].sinusoid[:2] for name in ("maml", "reptile")}:
        learner = ALGORITHMS["maml"].make(mlp_net(1), losses.squared_error, lr, inner_steps)
        assert error(learner, sines) > max(row.sinusoid[2] for row in ALGORITHMS.values() if row.sinusoid)
    for lr, inner_steps in {row.images[:2] for row in ALGORITHMS.values() if row.images}:
        learner = ALGORITHMS["maml"].make(mlp_net(3, (32,)), losses.cross_entropy, lr, inner_steps)
        assert accuracy(learner, images) < min(row.images[2] for row in ALGORITHMS.values() if row.images)
