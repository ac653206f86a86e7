"""Heads in closed form and written ones: MetaQDA against SciPy, and VERSA against what it is without a spread."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from scipy import stats

import jmeta
from jmeta import nets
from jmeta.bayes.algorithms import each, meta_qda, versa

pytestmark = pytest.mark.standard_promotion
IDENTITY = nets.MLPEncoder(())


def task(seed=0, shot=5, way=3, size=2):
    rng = np.random.default_rng(seed)
    y = np.repeat(np.eye(way), shot, axis=0)
    x = y @ rng.normal(size=(way, size)) * 3 + rng.normal(size=(way * shot, size)) @ rng.normal(size=(size, size))
    return jmeta.Batch(jnp.asarray(x), jnp.asarray(y))


def test_meta_qda_is_the_posterior_predictive():
    """Against SciPy's multivariate t, with a prior of any form. Catches degrees that are off by one, a scatter about
    another mean, and an order or padding that matters."""
    with jax.enable_x64(True):
        support, x, rng = task(), task(1).x, np.random.default_rng(2)
        learner = meta_qda(IDENTITY)
        mean, factor = rng.normal(size=2), np.array([[0.8, 0.0], [0.5, 1.3]])
        params = learner.init(jax.random.key(0), support.x)._replace(
            mean=jnp.asarray(mean), factor=jnp.asarray(factor), log_strength=jnp.log(0.7), log_degrees=jnp.log(1.5)
        )
        found = np.asarray(learner.predict(learner.adapt(params, support), x))
        for k in range(3):
            z = np.asarray(support.x)[5 * k : 5 * k + 5]
            center, count, strength, v = z.mean(axis=0), 0.7 + 5, 0.7, 2 + 1.5 + 5
            scatter = factor @ factor.T + (z - center).T @ (z - center)
            scatter += strength * 5 / count * np.outer(center - mean, center - mean)
            m, df = (strength * mean + z.sum(axis=0)) / count, v - 2 + 1
            expected = stats.multivariate_t(m, scatter * (count + 1) / (count * df), df).logpdf(np.asarray(x))
            np.testing.assert_allclose(found[:, k], expected, rtol=1e-4, atol=1e-4)
        order = np.random.default_rng(0).permutation(15)
        padded = jax.tree.map(lambda a: jnp.concatenate([a[order], a[:1]]), support)
        padded = padded._replace(x=padded.x.at[-1].set(np.nan), weight=(jnp.arange(16) < 15).astype(float))
        np.testing.assert_allclose(learner.predict(learner.adapt(params, padded), x), found, rtol=1e-6)


def test_versa_writes_a_layer_for_each_class():
    """Catches a mean and a spread that change places, classes that see each other, and samples that are all alike."""

    class Writer(nn.Module):
        log_spread: float

        @nn.compact
        def __call__(self, c):
            scale = self.param("scale", nn.initializers.ones, ())
            spread = jnp.full((len(c), c.shape[1] + 1), self.log_spread)
            return jnp.concatenate([2 * scale * c, -jnp.sum(c**2, axis=1, keepdims=True), spread], axis=1)

    support, x = task(), task(1).x
    learner = versa(IDENTITY, Writer(-30.0), samples=3)
    found = learner.predict(learner.adapt(learner.init(jax.random.key(0), support.x), support), x)
    proto = jmeta.prototypical(IDENTITY)  # whose logits are these but for |x|^2, which all classes have
    expected = proto.predict(proto.adapt({}, support), x)
    np.testing.assert_allclose(jax.nn.softmax(found), jax.nn.softmax(expected), rtol=1e-4, atol=1e-6)
    wide = versa(IDENTITY, Writer(0.0), samples=500, combine=each)
    params = wide.init(jax.random.key(0), support.x)
    layers = wide.adapt(params, support).layers
    np.testing.assert_allclose(np.std(layers, axis=0), 1, rtol=0.15)
    assert wide.predict(wide.adapt(params, support), x).shape == (500, 15, 3)
    with pytest.raises(ValueError, match=r"the writer must give 6 numbers for 2 features.*got 4"):
        versa(IDENTITY, nets.MLP((), 4)).init(jax.random.key(0), support.x)
    for make in (lambda: versa(IDENTITY, Writer(0.0), samples=0), lambda: meta_qda(IDENTITY, strength=0.0)):
        with pytest.raises(ValueError, match="must be"):
            make()
