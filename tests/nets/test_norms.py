"""Normalization, against NumPy."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmeta
from jmeta.nets import MLP, BatchNorm, ConvEncoder, GroupNorm, LayerNorm, NoNorm, SupportNorm

RNG = np.random.default_rng(0)
X = (3 + 2 * RNG.normal(size=(4, 5, 5, 16))).astype(np.float32)
SCALE, BIAS = (RNG.normal(size=16).astype(np.float32) for _ in range(2))


def standardize(x, axes, epsilon):
    x = np.asarray(x, np.float64)
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + epsilon)


def groups(x, number):
    split = x.reshape(*x.shape[:-1], number, -1)
    return standardize(split, (1, 2, 4), 1e-6).reshape(x.shape)


EXPECTED = {
    BatchNorm: lambda x: standardize(x, (0, 1, 2), 1e-5),
    SupportNorm: lambda x: standardize(x, (0, 1, 2), 1e-5),
    GroupNorm: lambda x: groups(x, 8),
    LayerNorm: lambda x: groups(x, 1),
}


@pytest.mark.parametrize("norm", EXPECTED)
def test_statistics_scale_and_shift(norm):
    layer = norm()
    params = layer.init(jax.random.key(0), X)
    np.testing.assert_allclose(layer.apply(params, X), EXPECTED[norm](X), rtol=1e-4, atol=1e-4)
    assert jax.tree.map(jnp.shape, params) == {"params": {"scale": (16,), "bias": (16,)}}
    moved = layer.apply({"params": {"scale": SCALE, "bias": BIAS}}, X)
    np.testing.assert_allclose(moved, EXPECTED[norm](X) * SCALE + BIAS, rtol=1e-4, atol=1e-4)


def test_epsilon_keeps_a_constant_channel_finite():
    constant = jnp.full((3, 2, 2, 4), 7.0)
    layer = BatchNorm(epsilon=1e-3)
    params = layer.init(jax.random.key(0), constant)
    value, grad = jax.value_and_grad(lambda x: jnp.sum(layer.apply(params, x) ** 2))(constant)
    assert float(value) == 0.0
    assert bool(jnp.isfinite(grad).all())


def test_no_norm_returns_its_input():
    assert NoNorm().init(jax.random.key(0), X) == {}
    np.testing.assert_array_equal(NoNorm().apply({}, X), X)


@pytest.mark.parametrize("norm", [GroupNorm, LayerNorm, NoNorm])
def test_each_example_alone(norm):
    layer = norm()
    params = layer.init(jax.random.key(0), X)
    np.testing.assert_allclose(layer.apply(params, X)[:1], layer.apply(params, X[:1]), rtol=1e-5, atol=1e-5)


def test_batch_norm_mixes_examples_and_vectors_have_no_positions():
    layer, x = BatchNorm(), X[:, 0, 0]
    params = layer.init(jax.random.key(0), x)
    np.testing.assert_allclose(layer.apply(params, x), standardize(x, (0,), 1e-5), rtol=1e-4, atol=1e-4)
    assert float(jnp.max(jnp.abs(layer.apply(params, x)[:2] - layer.apply(params, x[:2])))) > 0.1


def test_support_norm_normalizes_queries_with_what_it_kept():
    layer, query = SupportNorm(), jnp.asarray(5 * X[:2] + 1)
    params = layer.init(jax.random.key(0), X)
    assert set(params) == {"params"}
    _, kept = layer.apply(params, X, mutable=["statistics"])
    support = np.asarray(X, np.float64)
    mean, variance = support.mean((0, 1, 2)), support.var((0, 1, 2))
    np.testing.assert_allclose(np.ravel(kept["statistics"]["moments"][0]), mean, rtol=1e-5)
    np.testing.assert_allclose(np.ravel(kept["statistics"]["moments"][1]), variance, rtol=1e-4)
    got = layer.apply({**params, **kept}, query)
    expected = (np.asarray(query, np.float64) - mean) / np.sqrt(variance + 1e-5)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_support_statistics_are_those_under_the_parameters_they_are_asked_for():
    """After adaptation the second layer meets other activations than before it."""
    net = MLP((8, 8), 3, norm=SupportNorm)
    x = X[:, 0, 0]
    first, second = (net.init(jax.random.key(seed), x) for seed in (0, 1))
    for params in (first, second):
        kept = net.condition(params, x)
        # On the support set itself, the kept statistics are those of the batch at hand.
        np.testing.assert_allclose(net.apply(kept, x), net.apply(params, x), rtol=1e-5, atol=1e-6)
        # And on a part of it, the same for each example.
        np.testing.assert_allclose(net.apply(kept, x[:1]), net.apply(params, x)[:1], rtol=1e-4, atol=1e-5)
    mean = lambda params: net.condition(params, x)["statistics"]["SupportNorm_1"]["moments"][0]
    assert float(jnp.max(jnp.abs(mean(first) - mean(second)))) > 1e-2


def test_conditioning_other_networks_keeps_nothing():
    net = ConvEncoder((4,), norm=BatchNorm)
    params = net.init(jax.random.key(0), X)
    assert jax.tree.structure(net.condition(params, X)) == jax.tree.structure(params)


@pytest.mark.parametrize("norm", [BatchNorm, SupportNorm])
def test_statistics_are_wide_in_low_precision(norm):
    """Sixteen bits hold 3.0 + noise / 100 to two digits of the noise; their variance in sixteen bits would be lost."""
    x = (3.0 + X / 100).astype(jnp.bfloat16)
    layer = norm()
    params = layer.init(jax.random.key(0), x)
    got = layer.apply(params, x)
    assert got.dtype == jnp.bfloat16
    wide = x.astype(jnp.float32)
    np.testing.assert_allclose(got.astype(jnp.float32), standardize(wide, (0, 1, 2), 1e-5), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("mean", [0, 1e3, 1e4, 1e5])
@pytest.mark.parametrize("norm", EXPECTED)
@pytest.mark.parametrize("weighted", [False, True])
def test_variances_are_of_centred_values(norm, mean, weighted):
    """Fails where the variance is E[x^2] - E[x]^2, which has no digits left in float32 at a mean of 1,000."""
    x = (mean + np.random.default_rng(0).normal(size=(6, 3, 3, 16))).astype(np.float32)
    layer, weight = norm(), jnp.array([1, 1, 1, 1, 0, 0.0])
    params = layer.init(jax.random.key(0), x)
    weighted = weighted and norm in (BatchNorm, SupportNorm)
    got = layer.apply(params, x, weight) if weighted else layer.apply(params, x)
    kept = slice(4) if weighted else slice(None)
    np.testing.assert_allclose(got[kept], EXPECTED[norm](x[kept]), atol=1e-4 + mean / 1e6 if mean < 1e5 else 0.1)


@pytest.mark.parametrize("mean", [0, 1e3])
def test_derivatives_of_statistics(mean):
    """Those of the definition, first and second, in values and in weights; fails for a rule that leaves one out."""
    rng = np.random.default_rng(0)
    x, along = (mean + rng.normal(size=(5, 2, 3, 4))), rng.normal(size=(5, 2, 3, 4))
    weight, target = rng.uniform(0.5, 1, size=5), rng.normal(size=(5, 2, 3, 4))

    def plain(x, weight):
        share = (weight / jnp.sum(weight)).reshape(-1, 1, 1, 1) / 6
        center = jnp.sum(share * x, axis=(0, 1, 2), keepdims=True)
        spread = jnp.sum(share * (x - center) ** 2, axis=(0, 1, 2), keepdims=True)
        return (x - center) / jnp.sqrt(spread + 1e-5)

    def derivatives(normalized, dtype):
        loss = lambda x, weight: jnp.sum(jnp.asarray(target, dtype) * normalized(x, weight) ** 2)
        values = jnp.asarray(x, dtype), jnp.asarray(weight, dtype)
        curved = jax.grad(lambda x: jnp.vdot(jax.grad(loss)(x, values[1]), jnp.asarray(along, dtype)))
        return (*jax.grad(loss, (0, 1))(*values), curved(values[0]))

    layer = BatchNorm()
    params = layer.init(jax.random.key(0), jnp.zeros((5, 2, 3, 4)))
    got = derivatives(lambda x, weight: layer.apply(params, x, weight), jnp.float32)
    with jax.enable_x64(True):
        expected = derivatives(plain, jnp.float64)
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=(1e-5 + mean / 1e6) * np.abs(b).max())


def test_all_norms_of_the_package_are_of_centred_values():
    """Fails for a norm of Flax that is added with its own default, the fast variance."""
    root = Path(jmeta.__file__).parent
    for path in root.rglob("*.py"):
        for found in re.findall(r"nn\.(?:Layer|Group|RMS|Instance|Batch)Norm\b.{0,60}", path.read_text()):
            assert "use_fast_variance=False" in found, (path, found)
