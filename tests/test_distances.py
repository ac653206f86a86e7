"""Distances and prototypes beside NumPy's, written as loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jmeta
from jmeta import distances


def features(seed, n, d=5):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(n, d)), jnp.float32)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), n=st.integers(1, 9), way=st.integers(1, 4), weighted=st.booleans())
def test_prototypes_are_the_weighted_means_of_the_classes(seed, n, way, weighted):
    rng = np.random.default_rng(seed)
    z, labels, weight = features(seed, n), rng.integers(0, way, n), rng.uniform(size=n) * (rng.uniform(size=n) > 0.3)
    batch = jmeta.Batch(z, jnp.eye(way)[labels], jnp.asarray(weight, jnp.float32) if weighted else None)
    got = distances.prototypes(z, batch)
    for k in range(way):
        rows = [i for i in range(n) if labels[i] == k and (weight[i] > 0 or not weighted)]
        share = np.array([weight[i] if weighted else 1.0 for i in rows])
        expected = share @ np.asarray(z)[rows] / share.sum() if rows else np.zeros(5)
        np.testing.assert_allclose(got[k], expected, rtol=1e-4, atol=1e-5)


def test_distances_and_cosines_are_those_of_loops():
    a, b = features(0, 4), features(1, 6)
    for i in range(4):
        for j in range(6):
            x, y = np.asarray(a[i], np.float64), np.asarray(b[j], np.float64)
            assert distances.squared_distances(a, b)[i, j] == pytest.approx(np.sum((x - y) ** 2), rel=1e-5)
            cosine = x @ y / np.linalg.norm(x) / np.linalg.norm(y)
            assert distances.cosines(a, b)[i, j] == pytest.approx(cosine, abs=1e-6)


def test_a_distance_to_itself_is_no_less_than_zero():
    a = 100 * features(2, 50)
    assert jnp.diag(distances.squared_distances(a, a)).min() >= 0


def test_features_of_no_length_have_finite_derivatives():
    grads = jax.grad(lambda a: distances.cosines(a, features(0, 3)).sum())(jnp.zeros((2, 5)))
    assert jnp.isfinite(grads).all()
