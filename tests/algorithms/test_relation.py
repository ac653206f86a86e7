"""Relation networks beside NumPy's loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from algorithms_table import assert_close, mlp_net, random_episode

import jmeta
from jmeta import losses, nets
from jmeta.nets import BatchNorm, ConvMap, PureModel, RelationHead, SupportNorm

EPISODE = random_episode(0, way=4, shot=3)
ENCODER = mlp_net(3, (8, 6)).encoder
WEIGHT = jnp.asarray(np.random.default_rng(0).uniform(size=12).astype(np.float32)).at[jnp.array([1, 5])].set(0.0)


def means(z, support):
    y, weight = np.asarray(support.y), np.asarray(support.weight)
    return [
        sum(weight[i] * z[i] for i in range(len(z)) if y[i, k]) / sum(weight[i] for i in range(len(z)) if y[i, k])
        for k in range(y.shape[1])
    ]


@pytest.mark.parametrize("weight", [jnp.ones(12), WEIGHT])
def test_scores_and_loss_of_vectors_written_out(weight):
    learner = jmeta.relation(ENCODER, RelationHead(dense=5))
    params = jax.jit(learner.init)(jax.random.key(0), EPISODE.support.x)
    episode = EPISODE._replace(support=EPISODE.support._replace(weight=weight))
    layers = [jax.tree.map(np.asarray, params.relation["params"][f"Dense_{i}"]) for i in range(2)]
    z, query = (np.asarray(jax.jit(ENCODER.apply)(params.encoder, batch.x), np.float64) for batch in episode)
    logits = learner.predict(learner.adapt(params, episode.support), episode.query.x)
    total = 0.0
    for n, one in enumerate(query):
        for k, mean in enumerate(means(z, episode.support)):
            hidden = np.maximum(np.concatenate([mean, one]) @ layers[0]["kernel"] + layers[0]["bias"], 0)
            logit = (hidden @ layers[1]["kernel"] + layers[1]["bias"]).item()
            np.testing.assert_allclose(logits[n, k], logit, rtol=1e-4, atol=1e-5)
            total += (1 / (1 + np.exp(-logit)) - float(episode.query.y[n, k])) ** 2
    value, metrics = learner.loss(params, episode)
    np.testing.assert_allclose([value, metrics.loss], total / len(query), rtol=1e-5)
    expected = np.mean(np.argmax(logits, -1) == np.argmax(episode.query.y, -1))
    assert metrics.accuracy == pytest.approx(expected)


def test_maps_are_put_beside_each_other_in_depth():
    """A relation module that tells which channels it is given, at each place."""
    maps = ConvMap((3,), halvings=1)
    position = 1 + np.arange(24, dtype=np.float32).reshape(2, 2, 6)
    probe = PureModel(lambda key, x: {}, lambda params, x: jnp.sum(x * position[None], (1, 2, 3))[:, None])
    learner = jmeta.relation(maps, probe)
    params = jax.jit(learner.init)(jax.random.key(0), EPISODE.support.x)
    z, query = (np.asarray(maps.apply(params.encoder, batch.x)) for batch in EPISODE)
    logits = learner.predict(learner.adapt(params, EPISODE.support), EPISODE.query.x)
    for n, one in enumerate(query):
        for k, mean in enumerate(means(z, EPISODE.support)):
            expected = np.sum(mean * position[..., :3]) + np.sum(one * position[..., 3:])
            np.testing.assert_allclose(logits[n, k], expected, rtol=1e-4)


def test_with_one_example_the_mean_is_the_sum_of_the_paper():
    episode = random_episode(1, way=3, shot=1)
    learner = jmeta.relation(ENCODER, RelationHead())
    params = jax.jit(learner.init)(jax.random.key(0), episode.support.x)
    z = jax.jit(ENCODER.apply)(params.encoder, episode.support.x)
    np.testing.assert_allclose(learner.adapt(params, episode.support).features, episode.support.y.T @ z, rtol=1e-6)


def test_statistics_of_the_relation_module_are_those_of_real_pairs():
    """Queries and classes that are padding, and their pairs, are left out: the others have the scores they had."""
    learner = jmeta.relation(ConvMap((4,), norm=BatchNorm, halvings=1), RelationHead((4,), norm=BatchNorm))
    params = jax.jit(learner.init)(jax.random.key(0), EPISODE.support.x)
    wide = lambda y: jnp.pad(y, ((0, 0), (0, 2)))
    classes = jnp.array([1.0, 1.0, 1.0, 1.0, 0.0, 0.0])
    support = EPISODE.support._replace(y=wide(EPISODE.support.y), classes=classes)
    x = jnp.concatenate([EPISODE.query.x, 50 * EPISODE.query.x[:3]])
    weight = jnp.append(jnp.ones(8), jnp.zeros(3))
    got = learner.predict(learner.adapt(params, support), x, weight)
    expected = learner.predict(learner.adapt(params, EPISODE.support), EPISODE.query.x)
    np.testing.assert_allclose(got[:8, :4], expected, rtol=1e-4, atol=1e-5)
    unaware = learner.predict(learner.adapt(params, support._replace(classes=None)), x, weight)
    assert float(jnp.abs(unaware[:8, :4] - expected).max()) > 1e-2


def test_a_relation_module_with_statistics_of_the_support_judges_each_query_alone():
    learner = jmeta.relation(ConvMap((4,), norm=SupportNorm, halvings=1), RelationHead((4,), norm=SupportNorm))
    params = jax.jit(learner.init)(jax.random.key(0), EPISODE.support.x)
    adapted = learner.adapt(params, EPISODE.support)
    together = learner.predict(adapted, EPISODE.query.x)
    np.testing.assert_allclose(learner.predict(adapted, EPISODE.query.x[:1]), together[:1], rtol=1e-4, atol=1e-5)


def test_the_paper_s_modules_fit_each_other():
    """28 -> 14 -> 7, two blocks more; pairs of 128 channels, 7 -> 3 -> 1; then 8 units and the score."""
    x = jnp.zeros((5, 28, 28, 1))
    params = jax.eval_shape(jmeta.relation(ConvMap(), RelationHead()).init, jax.random.key(0), x)
    assert jax.eval_shape(ConvMap().apply, params.encoder, x).shape == (5, 7, 7, 64)
    kernels = {name: layer["kernel"].shape for name, layer in params.relation["params"].items() if "kernel" in layer}
    assert kernels == {"Conv_0": (3, 3, 128, 64), "Conv_1": (3, 3, 64, 64), "Dense_0": (64, 8), "Dense_1": (8, 1)}


def test_a_module_that_gives_more_than_one_number_is_refused():
    learner = jmeta.relation(ENCODER, nets.MLP((4,), out=2))
    params = jax.jit(learner.init)(jax.random.key(0), EPISODE.support.x)
    with pytest.raises(ValueError, match=r"must give one number for each pair, got \(32, 2\)"):
        learner.loss(params, EPISODE)


def test_the_error_of_scores_leaves_out_classes_that_are_padding():
    logits, y = jnp.array([[2.0, -1.0, 0.5]]), jnp.array([[0.0, 1.0, 0.0]])
    scores = 1 / (1 + np.exp(-np.asarray(logits[0])))
    masked = losses.possible(logits, jnp.array([1.0, 1.0, 0.0]))
    expected = scores[0] ** 2 + (1 - scores[1]) ** 2
    assert_close(losses.squared_score_error(masked, y), np.asarray([expected], np.float32), rtol=1e-5)
    assert jnp.isfinite(jax.grad(lambda z: losses.squared_score_error(losses.possible(z, y[0]), y).sum())(logits)).all()
