"""The learner that most algorithms are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmeta
from jmeta import losses


def nearest():
    """Scores by the distance to class means, with a learned scale and the number of queries as a term of the loss."""

    def adapt(scale, support):
        weight = support.weight[:, None] * support.y
        return scale, weight.T @ support.x / jnp.sum(weight, axis=0)[:, None]

    def predict(adapted, x, weight=None):
        scale, means = adapted
        real = jnp.ones(len(x)) if weight is None else weight
        return -scale * jnp.sum(jnp.square(x[:, None] - means[None]), axis=-1) + jnp.sum(real)

    def judge(prediction, query):
        value, metrics = losses.query_loss(prediction, query, losses.squared_error)
        return 3 * value, metrics

    return jmeta.episodic(lambda key, x: jnp.float32(x.shape[-1]), adapt, predict, judge)


def episode():
    rng = np.random.default_rng(0)

    def batch(weight):
        x = jnp.asarray(rng.normal(size=(4, 3)), jnp.float32)
        return jmeta.Batch(x, jnp.eye(2, dtype=jnp.float32)[jnp.array([0, 1, 0, 1])], jnp.array(weight, jnp.float32))

    return jmeta.Episode(batch([1, 1, 1, 0]), batch([1, 1, 0, 1]))


def test_it_is_trained_by_what_it_is_used_for():
    learner, (support, query) = nearest(), episode()
    params = learner.init(jax.random.key(0), support.x)
    assert params == 3
    prediction = learner.predict(learner.adapt(params, support), query.x, query.weight)
    expected = np.average(np.mean((prediction - query.y) ** 2, axis=1), weights=query.weight)
    value, metrics = learner.loss(params, episode())
    np.testing.assert_allclose([value, 3 * metrics.loss], 3 * expected, rtol=1e-6)


def test_the_queries_weights_reach_the_prediction():
    learner, (support, query) = nearest(), episode()
    fewer = query._replace(weight=query.weight.at[0].set(0))
    value, _ = learner.loss(jnp.float32(0), jmeta.Episode(support, fewer))
    assert value == pytest.approx(3 * ((2 - 1) ** 2 + 2**2) / 2)  # two real queries: the prediction of all is 2


def test_its_gradient_passes_through_adaptation():
    learner = nearest()
    through = jax.grad(lambda s: learner.loss(s, episode())[0])(jnp.float32(3))
    step = 1e-2
    ahead, behind = (learner.loss(jnp.float32(3 + s), episode())[0] for s in (step, -step))
    np.testing.assert_allclose(through, (ahead - behind) / (2 * step), rtol=1e-3)
