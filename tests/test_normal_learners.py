"""What holds of every learner that predicts a normal distribution: the contract of the others is of classes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from algorithms_table import assert_close

from jmeta import nets
from jmeta.bayes import added, alpaca, deep_kernel, linear, matern
from jmeta.generative import (
    attentive_process,
    conditional_parts,
    conditional_process,
    convolutional_process,
    joint_process,
    latent_process,
    tnp,
)
from jmeta.types import Batch, Episode, Learner


def on_a_line(learner):
    """A learner that takes the first number of x."""
    first = lambda batch: batch._replace(x=batch.x[:, :1])
    return Learner(
        lambda key, x: learner.init(key, x[:, :1]),
        lambda params, support: learner.adapt(params, first(support)),
        lambda adapted, x: learner.predict(adapted, x[:, :1]),
        lambda params, episode: learner.loss(params, Episode(*map(first, episode))),
    )


LEARNERS = {
    "tnp": tnp(nets.MLPEncoder((8,)), nets.ProcessTransformer(8, 2, 2)),
    "conditional": conditional_process(nets.MLPEncoder((8,)), nets.MLP((8,), 8), nets.MLP((8,), 2)),
    "deep kernel": deep_kernel(nets.MLPEncoder((8,)), matern()),
    "about a mean": deep_kernel(nets.MLPEncoder(()), added(linear(), matern()), mean=nets.MLP((8,), 1)),
    "alpaca": alpaca(nets.MLPEncoder((8,))),
    "latent": latent_process(
        nets.MLPEncoder((8,)), nets.MLP((8,), 8), nets.MLP((8,), 6), nets.MLP((8,), 2), latent=3, samples=4
    ),
    "attentive": attentive_process(nets.MLPEncoder((8,)), nets.MLP((8,), 8), nets.CrossShares(8, 2), nets.MLP((8,), 2)),
    "joint": joint_process(conditional_parts(nets.MLPEncoder((8,)), nets.MLP((8,), 8), nets.MLP((8,), 5))),
    "convolutional": on_a_line(
        convolutional_process(nets.DilatedConvNet(4, dilations=(1, 2)), low=-3.0, high=3.0, points_per_unit=4)
    ),
}
RNG = np.random.default_rng(3)


def batch(rows):
    x = RNG.normal(size=(rows, 2)).astype(np.float32)
    return Batch(x, np.sin(x[:, :1] + x[:, 1:]), np.ones(rows, np.float32))


EPISODE = Episode(batch(6), batch(5))
each = pytest.mark.parametrize("name", LEARNERS)


@functools.cache
def params(name):
    made = jax.jit(LEARNERS[name].init)(jax.random.key(0), EPISODE.support.x)
    return jax.tree.map(lambda p: p + 0.05, made)


@functools.cache
def compiled(name):
    learner = LEARNERS[name]

    def run(params, episode):
        value, grads = jax.value_and_grad(learner.loss, has_aux=True)(params, episode)
        return value, grads, learner.predict(learner.adapt(params, episode.support), episode.query.x)

    return jax.jit(run)


def measure(name, support=EPISODE.support, query=EPISODE.query):
    return jax.device_get(compiled(name)(params(name), Episode(support, query)))


@each
def test_gradients_are_finite_and_reach_every_parameter(name):
    (value, metrics), grads, found = measure(name)
    assert value.shape == metrics.loss.shape == () and metrics.accuracy is None and np.isfinite(value)
    assert jax.tree.structure(grads) == jax.tree.structure(params(name))
    biases_of_keys = [path for path, g in jax.tree_util.tree_leaves_with_path(grads) if np.abs(g).max() < 1e-9]
    assert all("key" in jax.tree_util.keystr(path) for path in biases_of_keys)  # which a softmax does not see
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads))
    assert found.mean.shape == found.variance.shape == (5, 1) and (found.variance > 0).all()


@each
def test_order_and_padding_of_the_support_change_nothing(name):
    """Catches a row of weight 0 that is attended to, or in a mean or a kernel's matrix; what it holds may be NaN."""
    order = np.array([4, 2, 0, 5, 1, 3])
    found = measure(name)[2]
    assert_close(measure(name, jax.tree.map(lambda a: a[order], EPISODE.support))[2], found, 1e-4, 1e-5)
    hole = np.array([1.0, 0, 1, 1, 0, 1], np.float32)
    less = jax.tree.map(lambda a: a[hole > 0], EPISODE.support)
    learner, made = LEARNERS[name], params(name)
    alone = learner.predict(learner.adapt(made, less), EPISODE.query.x)
    spoilt = Batch(*(np.where(hole[:, None] > 0, a, np.nan) for a in EPISODE.support[:2]), hole)
    (value, _), grads, with_holes = measure(name, spoilt)
    assert_close(with_holes, jax.device_get(alone), 1e-4, 1e-5)
    assert np.isfinite(value) and all(np.isfinite(g).all() for g in jax.tree.leaves(grads))


@each
def test_an_empty_support_set_predicts_a_prior(name):
    """A softmax or a mean over nothing would be NaN; whatever labels there are, it is the same."""
    nothing = EPISODE.support._replace(weight=np.zeros(6, np.float32))
    (value, _), grads, found = measure(name, nothing)
    assert np.isfinite(value) and np.isfinite(found.mean).all() and np.isfinite(found.variance).all()
    assert all(np.isfinite(g).all() for g in jax.tree.leaves(grads))
    assert_close(measure(name, nothing._replace(y=nothing.y + 3))[2], found)
    assert np.abs(found.mean - measure(name)[2].mean).max() > 1e-3


@each
def test_queries_are_predicted_each_by_itself(name):
    """Catches attention among queries, by which one prediction would depend on which others are asked for."""
    found, x = measure(name)[2], np.array(EPISODE.query.x)
    x[1:] += 1
    other = measure(name, query=EPISODE.query._replace(x=x))[2]
    assert_close(jax.tree.map(lambda a: a[:1], other), jax.tree.map(lambda a: a[:1], found), 1e-5, 1e-6)
    assert np.abs(other.mean[1:] - found.mean[1:]).max() > 1e-3


@each
def test_float32_stays_and_vmap_is_a_loop(name):
    assert {a.dtype for a in jax.tree.leaves(measure(name))} == {np.dtype(np.float32)}
    two = [EPISODE, Episode(EPISODE.support._replace(y=-EPISODE.support.y), EPISODE.query)]
    together = jax.jit(jax.vmap(lambda e: LEARNERS[name].loss(params(name), e)[0]))
    values = together(jax.tree.map(lambda *a: np.stack(a), *two))
    assert_close(values, np.stack([measure(name, *e)[0][0] for e in two]), 1e-4, 1e-5)


def test_what_does_not_fit_is_refused():
    two = Batch(EPISODE.support.x, np.zeros((6, 2), np.float32))
    with pytest.raises(ValueError, match="targets must be the 2 of the examples, got 1"):
        LEARNERS["tnp"].adapt(params("tnp"), two)
    wrong = conditional_process(nets.MLPEncoder(()), nets.MLP((4,), 4), nets.MLP((4,), 1))
    made = wrong.init(jax.random.key(0), jnp.zeros((3, 2)))
    with pytest.raises(ValueError, match="decoder must have two outputs, a mean and a spread, got 1"):
        wrong.predict(wrong.adapt(made, EPISODE.support), EPISODE.query.x)
    with pytest.raises(ValueError, match="heads must be a divisor of the 8 features, got 3"):
        tnp(nets.MLPEncoder(()), nets.ProcessTransformer(8, 3)).init(jax.random.key(0), jnp.zeros((3, 2)))
