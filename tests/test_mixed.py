"""Several sources as one: padding changes nothing, sources are as likely as each other, groups as groups."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from algorithms_table import assert_close, mlp_net

import jmeta
from jmeta.mixed import mixed_sampler, padded_sampler

IMAGES = jnp.asarray(np.random.default_rng(0).integers(1, 255, (12, 6, 4, 4, 1)), jnp.uint8)
SMALL = jmeta.few_shot_sampler(IMAGES, way=3, shot=2, query_shot=1)


def test_what_is_added_changes_no_prediction():
    """A weight of 1 for an added row, or an added class that is not told, would move prototypes and the loss."""
    learner = jmeta.prototypical(mlp_net(3, (8,)).encoder)
    one, other = SMALL(jax.random.key(0)), padded_sampler(SMALL, way=5, support=9, query=7)(jax.random.key(0))
    params = learner.init(jax.random.key(1), one.support.x)
    assert other.support.y.shape == (9, 5) and other.query.x.shape == (7, 4, 4, 1)
    assert_close(learner.loss(params, one)[0], learner.loss(params, other)[0], rtol=1e-6)
    logits = [learner.predict(learner.adapt(params, e.support), e.query.x) for e in (one, other)]
    assert_close(logits[0], logits[1][:3, :3], rtol=1e-5)


def test_padded_twice_is_padded_once():
    twice = padded_sampler(padded_sampler(SMALL, way=4, support=7, query=4), way=5, support=9, query=7)
    assert_close(twice(jax.random.key(3)), padded_sampler(SMALL, way=5, support=9, query=7)(jax.random.key(3)))


def test_sources_are_as_likely_as_each_other():
    """Also where one has many more classes."""
    of = lambda images: jmeta.few_shot_sampler(images, way=3, shot=1, query_shot=1)
    sample = mixed_sampler([of(jnp.zeros((3, 2, 1))), of(jnp.ones((90, 2, 1))), of(jnp.full((9, 2, 1), 2.0))])
    draw = jax.jit(jax.vmap(lambda key: sample(key).query.x.mean()))
    found = np.bincount(np.asarray(draw(jax.random.split(jax.random.key(0), 3000))).astype(int)) / 3000
    np.testing.assert_allclose(found, 1 / 3, atol=0.04)


def test_classes_of_a_varied_episode_are_of_one_group():
    """Groups of 3, 8 and 16 classes: the first is too small, the others are as likely as each other, and all of a
    group's classes can come."""
    groups = np.repeat(["few", "some", "many"], [3, 8, 16])
    label = jnp.arange(27, dtype=jnp.float32)[:, None, None] * jnp.ones((27, 4, 1))
    sample = jmeta.varied_sampler(label, max_way=10, max_support=30, max_query_shot=1, min_way=5, groups=groups)
    episodes = jax.jit(jax.vmap(sample))(jax.random.split(jax.random.key(0), 2000))
    x, there = np.asarray(episodes.query.x)[..., 0], np.asarray(episodes.query.weight) > 0
    ways = {"some": [], "many": []}
    for labels, real in zip(x, there, strict=True):
        own = np.unique(labels[real].astype(int))
        assert len({*groups[own]}) == 1
        ways[groups[own[0]]].append(len(own))
    assert abs(len(ways["some"]) / 2000 - 0.5) < 0.05
    assert {*ways["some"]} == {5, 6, 7, 8} and {*ways["many"]} == {5, 6, 7, 8, 9, 10}
    assert {*np.unique(x[there]).astype(int)} == {*range(3, 27)}


def test_a_thousand_varied_episodes_are_one_program():
    """Of sources with other numbers of classes and examples: a shape of its own for a way, a shot or a source would be
    compiled again. So many are seen that each way of each source is among them."""
    learner, traced, ways = jmeta.prototypical(mlp_net(6, (8,)).encoder), [], set()
    rows = {"way": 6, "support": 20, "query": 12}

    def source(images):
        return padded_sampler(jmeta.varied_sampler(images, max_way=6, max_support=20, max_query_shot=2), **rows)

    draws = [jax.jit(source(images)) for images in (IMAGES, IMAGES[:7, :4])]

    @jax.jit
    def judged(params, episode):
        traced.append(None)
        logits = learner.predict(learner.adapt(params, episode.support), episode.query.x)
        return jnp.sum(episode.support.y.any(axis=0)), jnp.sum(jnp.isfinite(logits[:, 0]))

    params = learner.init(jax.random.key(1), draws[0](jax.random.key(0)).support.x)
    for i, key in enumerate(jax.random.split(jax.random.key(2), 1000)):
        way, finite = judged(params, draws[i % 2](key))
        ways.add((i % 2, int(way)))
        assert finite == 12
    assert len(traced) == 1 and all(draw._cache_size() == 1 for draw in draws)
    assert ways == {(k, way) for k in (0, 1) for way in (5, 6)}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: mixed_sampler([]), "needs 1 sampler or more"),
        (lambda: mixed_sampler([SMALL, padded_sampler(SMALL, way=5, support=9, query=7)]), "sampler 1 has episodes"),
        (lambda: padded_sampler(SMALL, way=2, support=9, query=7)(jax.random.key(0)), "more than \\[9, 2\\]"),
        (lambda: padded_sampler(SMALL, way=0, support=9, query=7), "way must be 1 or more"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(make, said):
    with pytest.raises(ValueError, match=said):
        make()
