"""Distances and prototypes beside NumPy's, written as loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from algorithms_table import random_episode
from hypothesis import given, settings
from hypothesis import strategies as st

import jmeta
from jmeta import distances
from jmeta.runs.few_shot import settings_of
from jmeta.runs.few_shot.experiment import learner_of


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
            assert distances.cosine_similarity(a, b)[i, j] == pytest.approx(cosine, abs=1e-6)


def test_a_distance_to_itself_is_no_less_than_zero():
    a = 100 * features(2, 50)
    assert jnp.diag(distances.squared_distances(a, a)).min() >= 0


def test_features_of_no_length_have_finite_derivatives():
    grads = jax.grad(lambda a: distances.cosine_similarity(a, features(0, 3)).sum())(jnp.zeros((2, 5)))
    assert jnp.isfinite(grads).all()


def exact(a, b):
    return np.sum((np.asarray(a, np.float64)[:, None] - np.asarray(b, np.float64)[None]) ** 2, axis=-1)


def test_what_all_features_have_in_common_costs_no_digits():
    a, b = features(3, 4) + 1000, features(4, 6) + 1000
    np.testing.assert_allclose(distances.squared_distances(a, b), exact(a, b), rtol=1e-5)


def test_the_first_row_has_its_part_in_derivatives():
    a, b = features(3, 4), features(4, 6)
    weights = jnp.asarray(np.random.default_rng(5).normal(size=(4, 6)), jnp.float32)
    got = jax.grad(lambda a, b: jnp.sum(weights * distances.squared_distances(a, b)), argnums=(0, 1))(a, b)
    apart = 2 * np.asarray(weights)[..., None] * (np.asarray(a)[:, None] - np.asarray(b)[None])
    np.testing.assert_allclose(got[0], apart.sum(1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(got[1], -apart.sum(0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("junk", [0.0, 1e4])
def test_rows_that_are_padding_change_no_distance_of_others(junk):
    a, b = features(3, 4), features(4, 6)
    wide = jnp.concatenate([b, jnp.full((20, 5), junk)])
    got = distances.squared_distances(jnp.concatenate([a, jnp.full((3, 5), junk)]), wide)[:4, :6]
    np.testing.assert_allclose(got, distances.squared_distances(a, b), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_half_precision_is_summed_in_more(dtype):
    a, b = ((100 * features(seed, n)).astype(dtype) for seed, n in ((3, 4), (4, 6)))
    cosines = distances.cosine_similarity(a, b)
    x, y = (np.asarray(z, np.float64) for z in (a, b))
    x, y = (z / np.linalg.norm(z, axis=-1, keepdims=True) for z in (x, y))
    np.testing.assert_allclose(cosines, x @ y.T, atol=0.02)
    assert cosines.dtype == dtype
    assert jnp.all(distances.cosine_similarity(jnp.zeros_like(a), b) == 0)
    near = features(6, 1) / 50 + a[:1].astype(jnp.float32)  # far from 0, and near to each other
    squares = distances.squared_distances(near.astype(dtype), a[:1])
    np.testing.assert_allclose(squares, exact(near.astype(dtype), a[:1]), rtol=0.02)


def precisions(function, *arguments):
    """Of all matrix products that a function makes."""
    found, inside = [], [jax.make_jaxpr(function)(*arguments).jaxpr]
    while inside:
        for equation in inside.pop().eqns:
            inside += [p.jaxpr for p in equation.params.values() if hasattr(p, "jaxpr")]
            if equation.primitive.name == "dot_general":
                found.append(equation.params["precision"])
    return found


@pytest.mark.parametrize("function", [distances.squared_distances, distances.cosine_similarity])
def test_products_are_not_rounded_on_accelerators(function):
    highest = (jax.lax.Precision.HIGHEST,) * 2
    both_ways = jax.value_and_grad(lambda a, b: function(a, b).sum(), argnums=(0, 1))
    assert set(precisions(both_ways, features(0, 4), features(1, 6))) == {highest}


def test_a_temperature_has_the_dtype_of_the_features():
    similarity = distances.scaled_cosine()
    with jax.enable_x64(True):
        params = similarity.init(jax.random.key(0))
        assert params["log_temperature"].dtype == jnp.float64
        for dtype in (jnp.float32, jnp.float64):
            a = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3)), dtype)
            assert similarity.apply(params, a, a).dtype == dtype


def test_a_temperature_divides_the_logits_of_prototypes_and_names_the_same_classes():
    """By the settings too; of a temperature that multiplies, or is lost on the way."""
    support, query = random_episode(0, way=2)
    predicted = []
    for temperature in (None, 1.0, 8.0):
        learner = learner_of(settings_of(algorithm="prototypical", dataset="linear", temperature=temperature), 0)
        params = learner.init(jax.random.key(0), support.x)
        predicted.append(learner.predict(learner.adapt(params, support), query.x))
    np.testing.assert_array_equal(predicted[0], predicted[1])
    np.testing.assert_allclose(predicted[2], predicted[0] / 8, rtol=1e-6)


@pytest.mark.parametrize("make", [jmeta.prototypical, lambda *args, **options: jmeta.baseline(*args, None, **options)])
def test_a_similarity_with_parameters_is_refused_where_none_are_learned(make):
    with pytest.raises(TypeError, match=r"similarity must be a function of two arrays .* got Similarity"):
        make(None, similarity=distances.scaled_cosine())


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32])
def test_features_that_are_whole_numbers_are_not_computed_in_their_type(dtype):
    """Of distances that wrap or are cut off, and cosines that are all 0."""
    a, b = np.array([[10, 20], [3, 4]]), np.array([[100, 5], [6, 8], [0, 1]])
    for function in (distances.squared_distances, distances.nearness, distances.cosine_similarity):
        expected = function(jnp.asarray(a, jnp.float32), jnp.asarray(b, jnp.float32))
        np.testing.assert_allclose(function(a.astype(dtype), jnp.asarray(b, dtype)), expected, rtol=1e-6)
        mixed = function(jnp.asarray(a, dtype), jnp.asarray(b, jnp.float32) + 0.5)
        np.testing.assert_allclose(
            mixed, function(jnp.asarray(a, jnp.float32), jnp.asarray(b + 0.5, jnp.float32)), rtol=1e-6
        )
