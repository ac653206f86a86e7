"""Aggregators: published figures, the properties that their papers claim, and what all have in common."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jmeta.mtl import aggregators

JACOBIAN = np.asarray([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]], np.float32)
KEY = jax.random.key(3)

# TorchJD's tests, to four digits.
PUBLISHED = {
    "mean": ((1, 1, 1), None),
    "total": ((2, 2, 2), None),
    "mgda": ((0, 1, 1), (0.6, 0.4)),
    "upgrad": ((0.2929, 1.9004, 1.9004), (1.1109, 0.7894)),
    "dual_projection": ((0.5563, 1.1109, 1.1109), (0.6109, 0.5)),
    "pcgrad": ((0.5848, 3.8012, 3.8012), (2.2222, 1.5789)),
    "cagrad": ((0.1835, 1.2041, 1.2041), (0.7041, 0.5)),
    "imtl_g": ((0.0767, 1, 1), (0.5923, 0.4077)),
    "aligned_mtl": ((0.2133, 0.9673, 0.9673), (0.5591, 0.4083)),
    "nash_mtl": ((0.0542, 0.7061, 0.7061), None),
}
NAMES = (*PUBLISHED, "grad_drop")
WEIGHED = ("mgda", "upgrad", "dual_projection", "cagrad", "imtl_g", "aligned_mtl", "nash_mtl")  # by G, without draws


@functools.cache
def compiled(name, **options):
    """`(jacobians [B, T, P]) -> [B, P]`."""
    rule = getattr(aggregators, name)(**options)
    return jax.jit(jax.vmap(lambda jacobian: rule(jacobian, KEY)))


def aggregated(name, jacobian, **options):
    return np.asarray(compiled(name, **options)(jnp.asarray(jacobian, jnp.float32)[None])[0], float)


@functools.cache
def compiled_weights(name):
    rule = getattr(aggregators, f"{name}_weights")
    return jax.jit(lambda jacobian: rule(aggregators.gram(jacobian), *([KEY] if name == "pcgrad" else [])))


def weights(name, jacobian):
    return np.asarray(compiled_weights(name)(jnp.asarray(jacobian, jnp.float32)), float)


def random_jacobian(seed, tasks=3, size=5):
    return np.random.default_rng(seed).normal(size=(tasks, size))


seeds = st.integers(0, 10_000)
few = settings(max_examples=20)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_figures(name):
    direction, expected = PUBLISHED[name]
    np.testing.assert_allclose(aggregated(name, JACOBIAN), direction, atol=1e-4)
    if expected is not None:
        np.testing.assert_allclose(weights(name, JACOBIAN), expected, atol=1e-4)


def test_grad_drop_draws_one_sign():
    """At the first coordinate P = (1 + 2 / 10) / 2, and where gradients agree they are added up."""
    rule = aggregators.grad_drop()
    found = np.asarray(jax.jit(jax.vmap(lambda key: rule(jnp.asarray(JACOBIAN), key)))(jax.random.split(KEY, 4000)))
    assert set(map(tuple, found.tolist())) == {(6.0, 2.0, 2.0), (-4.0, 2.0, 2.0)}
    assert np.mean(found[:, 0] == 6) == pytest.approx(0.6, abs=0.03)


def test_grad_drop_leaks():
    rule = aggregators.grad_drop(leak=(1.0, 0.25))
    found = {tuple(rule(jnp.asarray(JACOBIAN), jax.random.key(i)).tolist()) for i in range(8)}
    assert found == {(2.0, 2.0, 2.0), (-2.5, 2.0, 2.0)}  # -4 + 6, and -4 + 6 / 4


@few
@given(seeds)
@pytest.mark.parametrize("name", ["mgda", "upgrad", "dual_projection"])
def test_no_task_is_in_conflict(name, seed):
    jacobian = random_jacobian(seed)
    found = aggregated(name, jacobian)
    products = jacobian @ found / (np.linalg.norm(jacobian, axis=1).max() * max(np.linalg.norm(found), 1e-3))
    assert products.min() > -3e-3  # what the regularization of UPGrad leaves


@few
@given(seeds, st.lists(st.floats(0.2, 5), min_size=6, max_size=6))
@pytest.mark.parametrize("name", ["upgrad", "mean"])
def test_linear_under_scaling(name, seed, scales):
    """`c -> A(diag(c) J)` is linear: a combination of scales gives that of the results."""
    jacobian, a, b = random_jacobian(seed), np.asarray(scales[:3])[:, None], np.asarray(scales[3:])[:, None]
    options = {"regularization": 1e-6} if name == "upgrad" else {}
    run = lambda scale: aggregated(name, scale * jacobian, **options)
    together = run(2 * a + b)
    np.testing.assert_allclose(together, 2 * run(a) + run(b), atol=4e-3 * np.abs(together).max())


@few
@given(seeds, st.lists(st.floats(0.01, 100), min_size=3, max_size=3))
@pytest.mark.parametrize("name", ["nash_mtl", "imtl_g"])
def test_the_scale_of_a_task_has_no_part_in_the_direction(name, seed, scales):
    jacobian = random_jacobian(seed)
    a, b = aggregated(name, jacobian), aggregated(name, np.asarray(scales)[:, None] * jacobian)
    cosine = a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
    assert (abs(cosine) if name == "imtl_g" else cosine) > 1 - 1e-4  # of IMTL-G, the sum may change its sign


@few
@given(seeds)
def test_what_defines_each_rule(seed):
    jacobian = random_jacobian(seed)
    unit = jacobian / np.linalg.norm(jacobian, axis=1, keepdims=True)

    projections = unit @ aggregated("imtl_g", jacobian)
    np.testing.assert_allclose(projections, projections.mean(), rtol=1e-3, atol=1e-4)

    gains = weights("nash_mtl", jacobian) * (jacobian @ aggregated("nash_mtl", jacobian))
    np.testing.assert_allclose(gains, gains.mean(), rtol=2e-3)

    mean = jacobian.mean(0)
    distance = np.linalg.norm(aggregated("cagrad", jacobian) - mean) / np.linalg.norm(mean)
    assert distance == pytest.approx(0.5, abs=1e-3)

    left, sizes, right = np.linalg.svd(jacobian, full_matrices=False)
    np.testing.assert_allclose(
        aggregated("aligned_mtl", jacobian), np.mean(sizes[-1] * left @ right, axis=0), atol=2e-3 * sizes[-1]
    )


def test_cagrad_is_better_for_the_worst_off_than_any_near_the_mean():
    jacobian = random_jacobian(0)
    mean, rng = jacobian.mean(0), np.random.default_rng(1)
    others = rng.normal(size=(20_000, 5))
    others = mean + 0.5 * np.linalg.norm(mean) * others / np.linalg.norm(others, axis=1, keepdims=True)
    best = np.min(others @ jacobian.T, axis=1).max()
    assert best - 1e-4 < np.min(jacobian @ aggregated("cagrad", jacobian)) < best + 0.1


def test_cagrad_without_a_radius_is_the_mean():
    np.testing.assert_allclose(aggregated("cagrad", JACOBIAN, c=0.0), [1, 1, 1], atol=1e-6)


def test_a_mean_too_short_for_single_precision_is_followed_as_it_is():
    for seed in range(20):
        jacobian = random_jacobian(seed).astype(np.float32)
        jacobian[2] = 1e-4 * jacobian[2] - jacobian[0] - jacobian[1]
        np.testing.assert_allclose(aggregated("cagrad", jacobian), jacobian.mean(0), atol=2e-7)


def test_pcgrad_of_three_is_one_of_the_orders():
    """Each gradient is projected off the other two in one of their two orders."""
    jacobian = np.asarray([[1.0, 0.0], [-1.0, 0.5], [-1.0, -2.0]])

    def projected(i, order):
        g = jacobian[i].copy()
        for j in order:
            g -= min(g @ jacobian[j], 0) / (jacobian[j] @ jacobian[j]) * jacobian[j]
        return g

    choices = [[projected(i, order) for order in ((i - 1, i - 2), (i - 2, i - 1))] for i in range(3)]
    possible = {tuple(np.round(a + b + c, 3)) for a in choices[0] for b in choices[1] for c in choices[2]}
    rule = aggregators.pcgrad()
    found = jax.jit(jax.vmap(lambda key: rule(jnp.asarray(jacobian, jnp.float32), key)))(jax.random.split(KEY, 200))
    assert {tuple(np.round(row, 3)) for row in np.asarray(found, float)} == possible


@pytest.mark.parametrize("name", WEIGHED)
def test_a_permutation_of_tasks_permutes_weights(name):
    jacobian, order = random_jacobian(4), [2, 0, 1]
    np.testing.assert_allclose(weights(name, jacobian[order]), weights(name, jacobian)[order], rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("name", WEIGHED)
def test_equal_orthogonal_gradients_have_equal_weights(name):
    found = weights(name, 2 * np.eye(3, 5))
    np.testing.assert_allclose(found, found[0], rtol=1e-5)
    assert found[0] > 0


@pytest.mark.parametrize("name", NAMES)
def test_one_task_keeps_its_gradient(name):
    gradient = np.asarray([[0.3, -0.4, 0.2]])
    factor = 1.5 if name == "cagrad" else 1  # 1 + c
    np.testing.assert_allclose(aggregated(name, gradient), factor * gradient[0], rtol=1e-3)


@pytest.mark.parametrize("scale", [1e-12, 1e12, 1e16])
@pytest.mark.parametrize("name", WEIGHED)
def test_the_direction_of_gradients_of_any_size_is_the_same(name, scale):
    """Of products of products of gradients, which are 0 or infinite in float32."""
    ordinary, found = (np.asarray(aggregated(name, JACOBIAN * np.float32(s))) for s in (1, scale))
    assert np.isfinite(found).all() and found.any()
    largest = lambda a: a / np.abs(a).max()
    np.testing.assert_allclose(largest(found), largest(ordinary), rtol=1e-3, atol=1e-4)


def test_nash_mtl_is_shortened_to_its_norm():
    for norm in (0.5, 2.0):
        found = aggregated("nash_mtl", 10 * JACOBIAN, max_norm=norm)
        assert np.linalg.norm(found) == pytest.approx(norm, rel=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_of_zero_stay_finite(name):
    some = random_jacobian(5)
    some[1] = 0
    stack = np.stack([np.zeros((3, 5)), some, np.ones((3, 5)), np.outer([1, -1, 0], some[0])])
    found = [aggregated(name, jacobian) for jacobian in stack]
    assert np.all(np.isfinite(found))
    assert np.all(found[0] == 0)


@pytest.mark.parametrize("name", NAMES)
def test_a_pytree_is_as_its_flat_array_jitted_as_eager_and_vmapped_as_looped(name):
    stack = np.stack([random_jacobian(seed, size=6) for seed in range(2)]).astype(np.float32)
    rule = getattr(aggregators, name)()
    together = np.asarray(compiled(name)(jnp.asarray(stack)))
    for jacobian, found in zip(stack, together, strict=True):
        eager = rule({"a": jnp.asarray(jacobian[:, :2]), "b": (jnp.asarray(jacobian[:, 2:].reshape(3, 2, 2)),)}, KEY)
        assert eager["a"].shape == (2,)
        assert eager["b"][0].shape == (2, 2)
        flat = np.concatenate([eager["a"], eager["b"][0].reshape(-1)])
        np.testing.assert_allclose(found, flat, rtol=1e-3, atol=1e-4)


def test_gram_and_weights_of_half_precision_are_in_single():
    low = jnp.asarray(JACOBIAN, jnp.bfloat16)
    assert aggregators.gram(low).dtype == jnp.float32
    np.testing.assert_allclose(aggregators.gram(low), JACOBIAN @ JACOBIAN.T)
    found = aggregators.by_weights(lambda gram, key: jnp.asarray([1.0, 2.0]))(low)
    assert found.dtype == jnp.bfloat16
    assert found.tolist() == [8.0, 3.0, 3.0]


@pytest.mark.parametrize("name", ["pcgrad", "grad_drop"])
def test_those_that_draw_need_a_key(name):
    with pytest.raises(ValueError, match=f"{name} draws numbers, got no key: pass one"):
        getattr(aggregators, name)()(jnp.asarray(JACOBIAN))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: aggregators.cagrad(c=-0.1), "c must be a finite number of 0 or more, got -0.1"),
        (lambda: aggregators.cagrad(c=float("nan")), "c must be a finite number"),
        (lambda: aggregators.nash_mtl(max_norm=0), "max_norm must be a finite number above 0, got 0"),
        (lambda: aggregators.upgrad(regularization=0), "regularization must be a finite number above 0"),
        (lambda: aggregators.dual_projection(regularization=-1), "regularization must be a finite number above 0"),
        (lambda: aggregators.grad_drop(leak=1.5), "leak must be from 0 to 1"),
        (lambda: aggregators.grad_drop(leak=(0.1,))(jnp.ones((2, 3)), KEY), "a leak for each of the 2 tasks, got 1"),
        (lambda: aggregators.mean()({}), "got no leaves"),
        (lambda: aggregators.gram([jnp.ones((2, 3)), jnp.ones((3, 3))]), r"got \(2, 3\), \(3, 3\)"),
        (lambda: aggregators.gram(jnp.float32(1)), r"must have leaves \[T, ...\]"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()
