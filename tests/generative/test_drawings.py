"""Generators of drawings: densities that sum to one, samples that have them, and what is known without learning."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jmeta import datasets, nets
from jmeta.generative import attentive_drawing, evidence, floors, importance, set_vae
from jmeta.generative.evaluation import Classes, classes_of, drawn, nats
from jmeta.generative.judge import distance, fitted, named
from jmeta.nets.drawings import blocks, pictures
from jmeta.types import Batch, Episode

RNG = np.random.default_rng(0)
ALL = jnp.asarray((np.arange(256)[:, None] >> np.arange(8)) & 1, jnp.float32).reshape(256, 2, 4, 1)
"""Every drawing of 2x4 pixels."""
SEEN = ALL[jnp.array([3, 200, 77])]
NETWORK = nets.DrawingNetwork(features=8, layers=2, heads=2)
ATTENTIVE = attentive_drawing(nets.ConvMap(features=(4,), halvings=0, norm=nets.NoNorm), NETWORK)
WRITTEN = nets.MLP((8,), 4)
SET_VAE = set_vae(nets.MLPEncoder((6,)), WRITTEN, WRITTEN, nets.MLP((8,), 8), samples=20)


def of(x, weight=None):
    return Batch(x, jnp.ones((len(x), 1)), weight)


def started(generator, like=SEEN):
    """Parameters that are not small, so that everything has its part."""
    params = generator.learner.init(jax.random.key(1), like)
    return jax.tree.map(lambda p: p + 0.3 * jax.random.normal(jax.random.key(p.size), p.shape), params)


@pytest.fixture(scope="module")
def params():
    return started(ATTENTIVE)


def test_blocks_are_read_from_left_to_right_and_back():
    """Catches bits in another order on the way back, and rows for columns."""
    assert blocks(jnp.array([[0.0, 0.9, 0.2, 0.0], [0.6, 0.0, 1.0, 1.0]])[None, :, :, None]).tolist() == [[[6, 12]]]
    x = jnp.asarray(RNG.random((3, 6, 4, 1)) > 0.5, jnp.float32)
    np.testing.assert_array_equal(pictures(blocks(x)), x)


def test_no_block_sees_itself_or_a_later_one():
    """Catches a convolution or a shift that is one place too far, in either direction; each block before is seen."""
    maps = jax.random.normal(jax.random.key(2), (2, 2, 2, 3))
    patterns = jnp.asarray(RNG.integers(0, 16, (1, 4, 5)), jnp.int32)
    params = NETWORK.init(jax.random.key(0), patterns, maps)
    read = jax.jit(lambda patterns: NETWORK.apply(params, patterns, maps).reshape(20, 16))
    for place in range(20):
        changed = patterns.reshape(-1).at[place].add(5).reshape(1, 4, 5) % 16
        moved = np.flatnonzero(np.abs(read(patterns) - read(changed)).max(axis=1))
        assert all(moved > place) and (place == 19 or place + 1 in moved or place % 5 == 4)


def test_the_density_of_all_drawings_sums_to_one_and_samples_have_it(params):
    """Catches blocks that see themselves, a softmax over other axes, and a sampler that reads another place."""
    adapted = ATTENTIVE.learner.adapt(params, of(SEEN))
    chance = np.exp(ATTENTIVE.learner.predict(adapted, ALL))
    assert chance.sum() == pytest.approx(1, abs=1e-5) and chance.std() > 1e-3
    drawings = np.asarray(jax.jit(ATTENTIVE.sample, static_argnums=2)(adapted, jax.random.key(3), 8000))
    counts = np.bincount((drawings.reshape(-1, 8) @ (1 << np.arange(8))).astype(int), minlength=256)
    often = chance > 5 / 8000
    statistic = np.sum((counts - 8000 * chance)[often] ** 2 / (8000 * chance[often]))
    assert statistic < often.sum() + 5 * np.sqrt(2 * often.sum())  # of chi-square, five deviations above its mean


@pytest.mark.parametrize("generator", [ATTENTIVE, SET_VAE], ids=["attentive", "latent"])
def test_order_and_padding_of_what_was_seen_have_no_part_and_none_may_be_seen(generator):
    """Catches a mean over padding, positions for drawings, and a set that is empty and gives NaN."""
    own, ask = started(generator), jax.jit(generator.learner.predict)
    after = lambda batch: ask(generator.learner.adapt(own, batch), ALL[:9])
    known = after(of(SEEN))
    np.testing.assert_allclose(after(of(SEEN[::-1])), known, rtol=1e-4)
    padded = jnp.concatenate([SEEN, jnp.full((2, 2, 4, 1), jnp.nan)])
    np.testing.assert_allclose(after(of(padded, jnp.array([1.0, 1, 1, 0, 0]))), known, rtol=1e-4)
    nothing = after(of(SEEN, jnp.zeros(3)))
    np.testing.assert_array_equal(nothing, after(of(1 - SEEN, jnp.zeros(3))))
    assert np.isfinite(nothing).all() and np.abs(nothing - known).max() > 1e-3
    alone = ask(generator.learner.adapt(own, of(SEEN)), ALL[4:5])
    np.testing.assert_allclose(alone, known[4:5], rtol=1e-5)


@pytest.mark.parametrize(
    "generator", [pytest.param(ATTENTIVE, marks=pytest.mark.long), SET_VAE], ids=["attentive", "latent"]
)
def test_the_loss_is_the_mean_density_and_its_gradient_reaches_everything(generator):
    """Catches a network that is left out, and a weight that counts in the mean but not in the sum."""
    weight = jnp.array([1.0, 0.0, 2.0])
    tall = generator is ATTENTIVE  # with a row above, which is not there in drawings of 2x4
    seen, asked = (jnp.concatenate([a, a[:, ::-1, ::-1]], axis=1) if tall else a for a in (SEEN, ALL[5:8]))
    own = started(generator, seen)
    episode = Episode(of(seen, jnp.array([1.0, 1.0, 0.0])), of(asked, weight))
    (loss, _), grads = jax.value_and_grad(generator.learner.loss, has_aux=True)(own, episode)
    each = generator.learner.predict(generator.learner.adapt(own, episode.support), asked)
    assert loss == pytest.approx(-(each[0] + 2 * each[2]).item() / 3, rel=1e-4)
    for path, grad in jax.tree_util.tree_leaves_with_path(grads):
        name = jax.tree_util.keystr(path)
        reached = np.abs(grad).max() > 0 or "['key']['bias']" in name  # which a softmax does not see
        assert np.isfinite(grad).all() and reached, name


def test_the_importance_bound_comes_to_the_density_by_quadrature():
    """A latent of one number. Catches a missing log q or log p, and a decoder that is not given the set."""
    number = nets.MLP((4,), 2)
    make = lambda samples, bound: set_vae(
        nets.MLPEncoder((3,)), number, number, nets.MLP((8,), 8), samples=samples, bound=bound
    )
    many = make(4000, importance)
    own = started(many)
    adapted = many.learner.adapt(own, of(SEEN))
    mean, log_spread = number.apply(own.prior, adapted.context)[0]
    z = jnp.linspace(-8, 8, 2001)[:, None]
    context = jnp.broadcast_to(adapted.context, (2001, 3))
    logits = nets.MLP((8,), 8).apply(own.decoder, jnp.concatenate([mean + jnp.exp(log_spread) * z, context], axis=1))
    flat = ALL[:12].reshape(12, 8)
    given_z = flat @ logits.T - jax.nn.softplus(logits).sum(axis=1)[None]
    exact = jax.nn.logsumexp(given_z - jnp.square(z).T / 2, axis=1) + jnp.log(0.008 / jnp.sqrt(2 * jnp.pi))
    np.testing.assert_allclose(many.learner.predict(adapted, ALL[:12]), exact, atol=0.03)
    few = make(4000, evidence).learner.predict(adapted, ALL[:12])
    assert (np.asarray(few) < exact + 0.01).all() and np.asarray(few).mean() < exact.mean() - 0.005


def test_what_can_not_be_drawn_is_refused(params):
    adapted = ATTENTIVE.learner.adapt(params, of(SEEN))
    with pytest.raises(ValueError, match="of even H and W, got \\[3, 3, 4, 1\\]"):
        ATTENTIVE.learner.adapt(params, of(jnp.zeros((3, 3, 4, 1))))
    with pytest.raises(ValueError, match="n must be"):
        ATTENTIVE.sample(adapted, jax.random.key(0), 0)
    with pytest.raises(ValueError, match="samples must be"):
        set_vae(WRITTEN, WRITTEN, WRITTEN, WRITTEN, samples=0)


def test_floors_are_probabilities_and_the_posterior_is_the_conjugate_one():
    """Beta(c m, c (1 - m)) has the mean (c m + s) / (c + k). Catches a sum over pixels that is a mean, and log p where
    there is no ink."""
    mean, seen = RNG.uniform(0.1, 0.9, (2, 4)), np.asarray(SEEN[..., 0])
    for chance in (mean, floors.beta_bernoulli(mean, seen), floors.blurred(mean, seen, width=1.0, share=0.4)):
        assert np.exp(floors.density(chance, ALL[..., 0])).sum() == pytest.approx(1)
    np.testing.assert_allclose(
        floors.beta_bernoulli(mean, seen, concentration=2.0)[0, 1], (2 * mean[0, 1] + seen[:, 0, 1].sum()) / 5
    )
    np.testing.assert_allclose(floors.mean_of(seen)[1, 2], (seen[:, 1, 2].sum() + 1) / 5)
    np.testing.assert_array_equal(floors.blurred(mean, seen[:0], width=1.0, share=0.4), mean)
    with pytest.raises(ValueError, match="concentration"):
        floors.beta_bernoulli(mean, seen, concentration=0.0)


@pytest.mark.standard_promotion
def test_the_judge_knows_real_drawings_and_a_copy_is_at_no_distance():
    """Two glyphs of many. Catches labels in another order than the drawings."""
    data = datasets.load("glyphs:8").examples
    classes = classes_of(data, seen=10, queries=6)
    model = nets.MLP((32,), 8)
    params = fitted(model, classes.seen, steps=150, augment=lambda key, x: x, key=jax.random.key(0))
    right = named(model, params)
    assert right(classes.seen).mean() > 0.95 and right(classes.asked).mean() > 0.6
    assert right(classes.seen[::-1]).mean() < 0.3
    assert distance(classes.seen[:, :2], classes.seen).tolist() == [0] * 8
    assert (distance(classes.asked, classes.seen) > 3).all()


def test_densities_and_drawings_of_many_classes_are_those_of_each(params):
    """Catches a first drawing that is seen where none should be, and keys that are the same for each class."""
    seen = np.asarray(ALL[RNG.integers(0, 256, (5, 3))])
    asked = np.asarray(ALL[RNG.integers(0, 256, (5, 2))])
    learner, classes = ATTENTIVE.learner, Classes(seen, asked)
    for k, weight in ((0, jnp.zeros(3)), (2, jnp.array([1.0, 1.0, 0.0]))):
        found = nats(ATTENTIVE, params, classes, k)
        each = [
            learner.predict(learner.adapt(params, of(jnp.asarray(s), weight)), a) for s, a in zip(*classes, strict=True)
        ]
        np.testing.assert_allclose(found, np.stack(each), rtol=1e-4)
    made = drawn(ATTENTIVE, params, seen[:1].repeat(3, axis=0), 20, jax.random.key(0))
    assert made.shape == (3, 20, 2, 4, 1) and (made[0] != made[1]).any()
    with pytest.raises(ValueError, match="need 25 of each class"):
        classes_of(datasets.load("glyphs:8").examples, seen=20, queries=5)
