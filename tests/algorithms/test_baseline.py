"""A classifier of all training classes, its centroids and its cosines, beside loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from algorithms_table import assert_close, difference, mlp_net, random_episode

import jmeta
from jmeta import nets

EPISODE = random_episode(0)
ENCODER = mlp_net(3, (8,)).encoder
CLASSES = 7
LEARNERS = {
    "baseline": jmeta.baseline(ENCODER, nets.Head(CLASSES)),
    "baseline_plus_plus": jmeta.baseline_plus_plus(ENCODER, nets.CosineHead(CLASSES), scale=4.0),
}


def batch(seed):
    rng = np.random.default_rng(seed)
    x = jnp.asarray(rng.normal(size=(5, 4, 4, 1)), jnp.float32)
    return jmeta.Batch(x, jnp.eye(CLASSES)[rng.integers(0, CLASSES, 5)])


@pytest.mark.parametrize("name", LEARNERS)
def test_the_loss_is_the_classifiers_on_the_query_alone(name):
    learner = LEARNERS[name]
    params = learner.init(jax.random.key(0), EPISODE.support.x)
    query = batch(0)
    value, metrics = learner.loss(params, jmeta.Episode(batch(1), query))
    z = np.asarray(ENCODER.apply(params.encoder, query.x), np.float64)
    if name == "baseline":
        head = params.classifier["params"]["head"]
        out = z @ np.asarray(head["kernel"], np.float64) + np.asarray(head["bias"])
    else:
        head = np.asarray(params.classifier["params"]["head"], np.float64)
        out = np.array([[10 * row @ w / np.linalg.norm(row) / np.linalg.norm(w) for w in head.T] for row in z])
    labels = np.asarray(query.y).argmax(-1)
    expected = np.mean([np.log(np.exp(row).sum()) - row[k] for row, k in zip(out, labels, strict=True)])
    np.testing.assert_allclose([value, metrics.loss], expected, rtol=1e-5)
    np.testing.assert_allclose(metrics.accuracy, np.mean(out.argmax(-1) == labels), rtol=1e-6)
    assert_close(learner.loss(params, jmeta.Episode(query, query)), (value, metrics), rtol=0, atol=0)


@pytest.mark.parametrize("name", LEARNERS)
def test_a_task_is_classified_by_its_centroids(name):
    learner = LEARNERS[name]
    params = learner.init(jax.random.key(0), EPISODE.support.x)
    out = learner.predict(learner.adapt(params, EPISODE.support), EPISODE.query.x)
    z, zq = (np.asarray(ENCODER.apply(params.encoder, b.x), np.float64) for b in EPISODE)
    for k in range(3):
        c = z[np.asarray(EPISODE.support.y).argmax(-1) == k].mean(0)
        for i, row in enumerate(zq):
            cosine = row @ c / np.linalg.norm(row) / np.linalg.norm(c)
            expected = -np.sum((row - c) ** 2) if name == "baseline" else 4 * cosine
            np.testing.assert_allclose(out[i, k], expected, rtol=1e-4, atol=1e-5)


def test_cosines_do_not_see_the_length_of_features():
    x = jax.random.normal(jax.random.key(0), (4, 6))
    head = nets.CosineHead(3, scale=2.0)
    params = head.init(jax.random.key(1), x)
    assert_close(head.apply(params, 100 * x), head.apply(params, x), rtol=1e-4)
    assert float(jnp.abs(head.apply(params, x)).max()) <= 2.0
    doubled = {"params": {**params["params"], "scale": 2 * params["params"]["scale"]}}
    assert_close(head.apply(doubled, x), 2 * head.apply(params, x))


def test_another_similarity_may_be_given():
    learner = jmeta.baseline(ENCODER, nets.Head(CLASSES), similarity=lambda z, c: z @ c.T)
    params = learner.init(jax.random.key(0), EPISODE.support.x)
    adapted = learner.adapt(params, EPISODE.support)
    out = learner.predict(adapted, EPISODE.query.x)
    assert_close(out, ENCODER.apply(params.encoder, EPISODE.query.x) @ adapted.centroids.T)
    assert difference(out, LEARNERS["baseline"].predict(adapted, EPISODE.query.x)) > 1e-2
