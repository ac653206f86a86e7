"""Matching networks beside NumPy's loops, and beside Prototypical networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from algorithms_table import assert_close, difference, mlp_net, random_episode

import jmeta
from jmeta import distances, nets

ENCODER = mlp_net(3, (8, 6)).encoder
EPISODE = random_episode(0, way=4, shot=3)
ENCODED = jax.jit(ENCODER.init)(jax.random.key(0), EPISODE.support.x)
WEIGHT = jnp.asarray(np.random.default_rng(0).uniform(size=12).astype(np.float32)).at[jnp.array([1, 5])].set(0.0)
SCALED = distances.scaled_cosine(0.2)


def features(batch):
    return np.asarray(jax.jit(ENCODER.apply)(ENCODED, batch.x), np.float64)


def squared(z, g):
    return -np.sum((z - g) ** 2)


def cosine(z, g):
    return z @ g / np.linalg.norm(z) / np.linalg.norm(g)


def attended(alike, support, query, k, z=features):
    """The probability of class k for the first query: attention over the examples that are not padding."""
    weight = np.ones(len(support.y)) if support.weight is None else np.asarray(support.weight, np.float64)
    exponentials = [weight[i] * np.exp(alike(z(query)[0], g)) for i, g in enumerate(z(support))]
    total = sum(exponentials)
    return sum(e / total * y for e, y in zip(exponentials, np.asarray(support.y)[:, k], strict=True))


@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize(
    ("similarity", "params", "alike"),
    [
        (distances.fixed(distances.nearness), {}, squared),
        pytest.param(distances.fixed(distances.cosine_similarity), {}, cosine, marks=pytest.mark.long),
        (SCALED, SCALED.init(jax.random.key(0)), lambda z, g: cosine(z, g) / 0.2),
    ],
)
def test_probabilities_are_attention_over_the_support_examples(similarity, params, alike, weight):
    learner = jmeta.matching(ENCODER, similarity=similarity)
    support = EPISODE.support._replace(weight=weight)
    adapted = learner.adapt(jmeta.algorithms.MatchingParams(ENCODED, params), support)
    for n in range(3):
        query = EPISODE.query._replace(x=EPISODE.query.x[n : n + 1])
        expected = [attended(alike, support, query, k) for k in range(4)]
        got = np.exp(learner.predict(adapted, EPISODE.query.x)[n])
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)
        assert np.sum(got) == pytest.approx(1, abs=1e-5)


def test_with_one_example_a_class_it_is_prototypical_networks():
    episode = random_episode(1, way=4, shot=1)
    matching = jax.jit(jax.value_and_grad(jmeta.matching(ENCODER).loss, has_aux=True))
    prototypical = jax.jit(jax.value_and_grad(jmeta.prototypical(ENCODER).loss, has_aux=True))
    (value, metrics), grads = matching(jmeta.algorithms.MatchingParams(ENCODED, {}), episode)
    (same, same_metrics), same_grads = prototypical(ENCODED, episode)
    assert_close((value, metrics, grads.encoder), (same, same_metrics, same_grads), rtol=1e-4)


def test_the_temperature_is_learned_and_starts_where_it_is_told():
    learner = jmeta.matching(ENCODER, similarity=SCALED)
    made = jax.jit(learner.init)(jax.random.key(0), EPISODE.support.x)
    assert jnp.exp(made.similarity["log_temperature"]) == pytest.approx(0.2)
    grads = jax.jit(jax.grad(learner.loss, has_aux=True))(made, EPISODE)[0]
    assert abs(float(grads.similarity["log_temperature"])) > 1e-4


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_temperatures_that_are_none_are_refused(temperature):
    with pytest.raises(ValueError, match="temperature must be a finite number above 0, got "):
        distances.scaled_cosine(temperature)


def test_a_probability_too_small_for_a_float_has_a_derivative():
    """Features a thousand apart: exp(-10^6) is 0, and its logarithm and derivative are not lost."""
    learner = jmeta.matching(nets.MLPEncoder(()))
    y = jnp.eye(2)
    support = jmeta.Batch(jnp.array([[0.0], [1000.0]]), y)

    def loss(x):
        adapted = learner.adapt(jmeta.algorithms.MatchingParams({}, {}), support)
        return learner.predict(adapted, x)[0, 1]

    value, grad = jax.jit(jax.value_and_grad(loss))(jnp.array([[0.0]]))
    np.testing.assert_allclose([value, grad[0, 0]], [-1e6, 2000.0], rtol=1e-5)


def test_a_class_without_examples_gets_no_probability():
    learner = jmeta.matching(ENCODER)
    wide = EPISODE.support._replace(y=jnp.pad(EPISODE.support.y, ((0, 0), (0, 1))))
    params = jmeta.algorithms.MatchingParams(ENCODED, {})
    logits = learner.predict(learner.adapt(params, wide), EPISODE.query.x)
    narrow = learner.predict(learner.adapt(params, EPISODE.support), EPISODE.query.x)
    np.testing.assert_allclose(logits[:, :4], narrow, rtol=1e-5)
    assert jnp.exp(logits[:, 4]).max() == 0
    assert jnp.isfinite(logits).all()


def test_context_models_come_between_the_encoder_and_the_attention():
    """Models of one number, for all to see where they go, and with what weights they are called."""
    seen = []

    def support_apply(params, z, weight=None):
        seen.append(weight)
        return z * params

    def query_apply(params, x, weight=None):
        seen.append(weight)
        return x[0] + params * jnp.mean(x[1], axis=0, keepdims=True)

    one = lambda key, x: jnp.float32(2.0)
    context = tuple(nets.ConditionedModel(one, f, f, lambda p, x, w=None: p) for f in (support_apply, query_apply))
    learner = jmeta.matching(ENCODER, context=context)
    params = jax.jit(learner.init)(jax.random.key(0), EPISODE.support.x)._replace(encoder=ENCODED)
    assert params.context == (2.0, 2.0)
    support = EPISODE.support._replace(weight=WEIGHT)
    with jax.disable_jit():  # for what is seen to be numbers
        adapted = learner.adapt(params, support)
        logits = learner.predict(adapted, EPISODE.query.x)
    g = 2 * features(jmeta.types.examples(support))
    np.testing.assert_allclose(adapted.features, g, rtol=1e-5, atol=1e-6)
    f = features(EPISODE.query) + 2 * g.mean(0)
    exponentials = np.asarray(WEIGHT) * np.exp([[squared(z, other) for other in g] for z in f])
    expected = exponentials @ np.asarray(support.y) / exponentials.sum(1, keepdims=True)
    np.testing.assert_allclose(np.exp(logits), expected, rtol=1e-3, atol=1e-6)
    assert_close(seen, [WEIGHT, WEIGHT])


def test_full_context_embeddings_make_support_and_queries_depend_on_the_set():
    learner = jmeta.matching(ENCODER, context=(nets.BidirectionalLSTM(), nets.AttentionLSTM()))
    params = jax.jit(learner.init)(jax.random.key(0), EPISODE.support.x)
    other = EPISODE.support._replace(x=EPISODE.support.x.at[0].add(1.0))
    here, there = (learner.adapt(params, support).features for support in (EPISODE.support, other))
    assert difference(here[5:], there[5:]) > 1e-3
    grads = jax.grad(learner.loss, has_aux=True)(params, EPISODE)[0]
    assert all(jnp.abs(leaf).max() > 0 for leaf in jax.tree.leaves(grads.context))


def test_a_similarity_may_be_a_function_that_learns_nothing():
    made = jmeta.algorithms.MatchingParams(ENCODED, {})
    whole, function = (
        jmeta.matching(ENCODER, similarity=s) for s in (distances.fixed(distances.nearness), distances.nearness)
    )
    assert_close(function.loss(made, EPISODE), whole.loss(made, EPISODE))
    assert function.init(jax.random.key(0), EPISODE.support.x).similarity == {}
