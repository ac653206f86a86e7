"""Pairs, their labels and their loss, beside loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from algorithms_table import mlp_net, random_episode, random_like

import jmeta
from jmeta import losses

EPISODE = random_episode(0, shot=2, query_shot=3)
ENCODER = mlp_net(3, (8,)).encoder
LEARNER = jmeta.siamese(ENCODER)


def params(seed=0):
    made = LEARNER.init(jax.random.key(seed), EPISODE.support.x)
    return made._replace(weights=random_like(jax.random.key(9), made.weights), bias=jnp.asarray(0.3))


def weighted(episode, seed):
    rng = np.random.default_rng(seed)
    return jmeta.Episode(*(b._replace(weight=jnp.asarray(rng.integers(0, 3, len(b.x)), jnp.float32)) for b in episode))


def pair(made, x, other):
    a, b = (np.asarray(ENCODER.apply(made.encoder, one[None]), np.float64)[0] for one in (x, other))
    return np.abs(a - b) @ np.asarray(made.weights, np.float64) + float(made.bias)


@pytest.mark.parametrize("episode", [EPISODE, weighted(EPISODE, 1), weighted(EPISODE, 2)])
def test_loss_is_the_binary_cross_entropy_of_all_pairs_with_both_kinds_alike(episode):
    support, query = episode
    sums, counts = np.zeros(2), np.zeros(2)
    for i in range(len(query.x)):
        for j in range(len(support.x)):
            same = int(np.argmax(query.y[i]) == np.argmax(support.y[j]))
            p = 1 / (1 + np.exp(-pair(params(), query.x[i], support.x[j])))
            weight = float(query.weight[i] * support.weight[j])
            sums[same] += weight * -np.log(p if same else 1 - p)
            counts[same] += weight
    value, metrics = LEARNER.loss(params(), episode)
    np.testing.assert_allclose([value, metrics.loss], np.mean(sums / counts), rtol=1e-5)


def test_a_query_is_classified_by_its_best_pair():
    support, query = EPISODE
    support = support._replace(weight=jnp.array([1.0, 1.0, 1.0, 0.0, 1.0, 1.0]))
    out = LEARNER.predict(LEARNER.adapt(params(), support), query.x)
    correct = 0
    for i in range(len(query.x)):
        best = [-np.inf] * 3
        for j in range(len(support.x)):
            if support.weight[j] > 0:
                k = int(np.argmax(support.y[j]))
                best[k] = max(best[k], pair(params(), query.x[i], support.x[j]))
        np.testing.assert_allclose(out[i], best, rtol=1e-4, atol=1e-5)
        correct += int(np.argmax(best)) == int(np.argmax(query.y[i]))
    metrics = LEARNER.loss(params(), jmeta.Episode(support, query))[1]
    assert metrics.accuracy == pytest.approx(correct / len(query.x))


def test_a_class_without_examples_is_never_predicted():
    support = EPISODE.support._replace(weight=1 - EPISODE.support.y[:, 1])
    out = LEARNER.predict(LEARNER.adapt(params(), support), EPISODE.query.x)
    assert jnp.all(out[:, 1] == losses.NEVER) and jnp.all(out[:, ::2] > losses.NEVER)


def test_it_starts_as_a_distance_and_has_finite_derivatives_at_none():
    made = LEARNER.init(jax.random.key(0), EPISODE.support.x)
    assert jnp.all(made.weights == made.weights[0]) and made.weights[0] < 0 and made.bias == 0
    alike = EPISODE._replace(query=EPISODE.support)
    grads = jax.grad(lambda p: LEARNER.loss(p, alike)[0])(made)
    assert all(jnp.all(jnp.isfinite(g)) for g in jax.tree.leaves(grads))
    # The nearest support example is itself.
    assert LEARNER.loss(made, alike)[1].accuracy == 1
