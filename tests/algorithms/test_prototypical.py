"""Prototypical networks beside NumPy's loops and a linear head."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from algorithms_table import mlp_net, random_episode

import jmeta
from jmeta import distances

ENCODER = mlp_net(3, (8, 6)).encoder
EPISODE = random_episode(0, way=4, shot=3)
PARAMS = jax.jit(ENCODER.init)(jax.random.key(0), EPISODE.support.x)
WEIGHT = jnp.asarray(np.random.default_rng(0).uniform(size=12).astype(np.float32)).at[jnp.array([1, 5])].set(0.0)


def features(batch):
    return np.asarray(jax.jit(ENCODER.apply)(PARAMS, batch.x), np.float64)


def means(support):
    """Prototypes, written out."""
    z, y = features(support), np.asarray(support.y)
    weight = np.ones(len(z)) if support.weight is None else np.asarray(support.weight, np.float64)
    centers = []
    for k in range(y.shape[1]):
        total, count = np.zeros(z.shape[1]), 0.0
        for i in range(len(z)):
            if y[i, k] == 1:
                total, count = total + weight[i] * z[i], count + weight[i]
        centers.append(total / count)
    return np.stack(centers)


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_logits_are_minus_the_squared_distances_to_the_class_means(weight):
    support = EPISODE.support._replace(weight=weight)
    adapted = jmeta.prototypical(ENCODER).adapt(PARAMS, support)
    centers, z = means(support), features(EPISODE.query)
    np.testing.assert_allclose(adapted.prototypes, centers, rtol=1e-4, atol=1e-6)
    expected = [[-sum((z[n, d] - centers[k, d]) ** 2 for d in range(6)) for k in range(4)] for n in range(8)]
    np.testing.assert_allclose(jmeta.prototypical(ENCODER).predict(adapted, EPISODE.query.x), expected, rtol=1e-4)


def test_it_is_a_linear_head_with_weights_of_twice_the_prototypes():
    """W = 2c and b = -|c|^2, up to -|z|^2 in each row: the same loss, and the same gradient in the encoder."""

    def linear(params, episode):
        z, query = (jax.jit(ENCODER.apply)(params, batch.x) for batch in episode)
        centers = distances.prototypes(z, episode.support)
        logits = query @ (2 * centers).T - jnp.sum(centers**2, axis=-1)[None]
        return jmeta.losses.query_loss(logits, episode.query, jmeta.losses.cross_entropy)

    head = means(EPISODE.support)
    z = features(EPISODE.query)
    adapted = jmeta.prototypical(ENCODER).adapt(PARAMS, EPISODE.support)
    logits = jmeta.prototypical(ENCODER).predict(adapted, EPISODE.query.x)
    expected = z @ (2 * head).T - (head**2).sum(-1) - (z**2).sum(-1, keepdims=True)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)
    (value, _), grads = jax.value_and_grad(jmeta.prototypical(ENCODER).loss, has_aux=True)(PARAMS, EPISODE)
    (same, _), same_grads = jax.value_and_grad(linear, has_aux=True)(PARAMS, EPISODE)
    np.testing.assert_allclose(value, same, rtol=1e-5)
    for a, b in zip(jax.tree.leaves(grads), jax.tree.leaves(same_grads), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_another_similarity_takes_the_place_of_the_distance():
    learner = jmeta.prototypical(ENCODER, similarity=distances.cosine_similarity)
    logits = learner.predict(learner.adapt(PARAMS, EPISODE.support), EPISODE.query.x)
    for n, z in enumerate(features(EPISODE.query)):
        for k, center in enumerate(means(EPISODE.support)):
            cosine = z @ center / np.linalg.norm(z) / np.linalg.norm(center)
            np.testing.assert_allclose(logits[n, k], cosine, rtol=1e-4, atol=1e-6)
