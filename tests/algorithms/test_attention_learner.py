"""The attention learner: what it hands to its sequence model, and that queries are judged alone."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from algorithms_table import assert_close, random_episode, relaxed

import jmeta
from jmeta import nets

EPISODE = random_episode(0, way=3, shot=2)
ENCODER = nets.MLPEncoder((5,))


def smoother(params, tokens, weight=None):
    """A sequence model without parameters: each query takes labels by likeness."""
    z, examples, y = tokens
    shares = jnp.exp(-jnp.square(z[:, None] - examples[None]).sum(-1))
    shares = shares if weight is None else shares * weight[None]
    return shares / shares.sum(1, keepdims=True) @ y


def test_with_a_kernel_for_a_sequence_model_it_is_kernel_regression():
    model = nets.ConditionedModel(lambda key, x: {}, smoother, smoother, lambda params, x, weight=None: params)
    learner = jmeta.attention_learner(ENCODER, model)
    params = jax.jit(learner.init)(jax.random.key(0), EPISODE.support.x)
    weight = jnp.array([1.0, 0.0, 0.5, 1.0, 1.0, 2.0])
    out = learner.predict(learner.adapt(params, EPISODE.support._replace(weight=weight)), EPISODE.query.x)
    z = [np.asarray(row) for row in jax.jit(ENCODER.apply)(params.encoder, EPISODE.support.x)]
    for m, query in enumerate(np.asarray(jax.jit(ENCODER.apply)(params.encoder, EPISODE.query.x))):
        total, labels = 0.0, np.zeros(3)
        for n in range(6):
            share = float(weight[n]) * np.exp(-np.sum((query - z[n]) ** 2))
            total, labels = total + share, labels + share * np.asarray(EPISODE.support.y[n])
        np.testing.assert_allclose(out[m], labels / total, rtol=1e-4)


def test_no_query_sees_another():
    learner = jmeta.attention_learner(ENCODER, nets.LabelTransformer(8, 2))
    params = jax.jit(learner.init)(jax.random.key(0), EPISODE.support.x)
    adapted = jax.jit(learner.adapt)(params, EPISODE.support)
    predict = jax.jit(learner.predict)
    together = predict(adapted, EPISODE.query.x)
    alone = [predict(adapted, x[None])[0] for x in EPISODE.query.x]
    assert_close(together, jnp.stack(alone), rtol=1e-4)


def pictures(classes, seed):
    """Of classes that differ in 4 directions of 16; the rest is noise, twice as strong as what is between classes."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(16, 16)))[0]
    signal = 1.5 * rng.normal(size=(classes, 1, 4)) + 0.2 * rng.normal(size=(classes, 10, 4))
    z = np.concatenate([signal, 1.5 * rng.normal(size=(classes, 10, 12))], axis=-1)
    return (z @ basis.T).reshape(classes, 10, 4, 4, 1).astype(np.float32)


@pytest.mark.long
def test_it_learns_to_tell_five_unseen_classes_apart():
    """From one example of each, whose nearest neighbor is of the right class in less than half of the cases."""
    train, test = (
        jmeta.few_shot_sampler(pictures(classes, seed), way=5, shot=1, query_shot=3)
        for classes, seed in ((300, 1), (100, 2))
    )
    learner = jmeta.attention_learner(nets.MLPEncoder((32,)), nets.LabelTransformer(16, 2))
    learner = learner._replace(init=jax.jit(learner.init))
    rule = relaxed(optax.adam(3e-3))
    start = jmeta.init_state(learner, rule, jax.random.key(0), train(jax.random.key(0)).support.x)
    end = jmeta.make_run(learner, rule, train, meta_batch_size=8)(start, 150)[0]
    score = lambda learner, params: jmeta.evaluate(learner, params, test, jax.random.key(5), episodes=100).mean
    assert score(learner, end.params) > 0.8
    assert score(jmeta.prototypical(nets.MLPEncoder(())), {}) < 0.5
