"""Networks with a context, against networks without one and NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jmeta import nets

KEY = jax.random.key(0)
CONTEXT = jnp.array([0.3, -0.7])


def random_like(tree, seed=0):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda a: jnp.asarray(rng.normal(size=a.shape), a.dtype), tree)


def test_a_context_mlp_written_out():
    x = jax.random.normal(KEY, (3, 2, 2))
    net = nets.ContextMLP((4, 5), 2)
    params = random_like(jax.jit(net.init)(KEY, (x, CONTEXT)))
    z = np.concatenate([np.asarray(x).reshape(3, 4), np.tile(CONTEXT, (3, 1))], axis=1)
    first, second, context, head = (params["params"][name] for name in ("Dense_0", "Dense_1", "context", "head"))
    kernel = np.concatenate([first["kernel"], context["kernel"]])
    z = np.maximum(z @ kernel + np.asarray(first["bias"]), 0)
    z = np.maximum(z @ np.asarray(second["kernel"]) + np.asarray(second["bias"]), 0)
    expected = z @ head["kernel"] + head["bias"][None]
    np.testing.assert_allclose(jax.jit(net.apply)(params, (x, CONTEXT)), expected, rtol=1e-4, atol=1e-4)


def test_a_context_without_hidden_layers_is_a_shift_of_the_outputs():
    x = jax.random.normal(KEY, (3, 4))
    net = nets.ContextMLP((), 2)
    params = random_like(jax.jit(net.init)(KEY, (x, CONTEXT)))
    head, context = (params["params"][name] for name in ("head", "context"))
    both = np.concatenate([np.asarray(x), np.tile(CONTEXT, (3, 1))], axis=1)
    expected = both @ np.concatenate([head["kernel"], context["kernel"]]) + np.asarray(head["bias"])
    np.testing.assert_allclose(jax.jit(net.apply)(params, (x, CONTEXT)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("net", [nets.ContextMLP((5, 4), 3, nets.BatchNorm), nets.FiLMConvNet(3, features=(4, 4))])
def test_a_context_counts_beside_statistics_of_the_batch(net):
    """What is the same for all examples would be gone again if they were normalized after it."""
    x = jax.random.normal(KEY, (5, 4, 4, 1))
    params = jax.jit(net.init)(KEY, (x, CONTEXT))
    gradient = jax.grad(lambda c: jnp.sum(net.apply(params, (x, c))[:, 0] ** 2))(jnp.zeros_like(CONTEXT))
    assert float(jnp.max(jnp.abs(gradient))) > 1e-2


def test_film_written_out():
    x = jax.random.normal(KEY, (3, 4, 4, 6))
    layer = nets.FiLM()
    params = random_like(jax.jit(layer.init)(KEY, x, CONTEXT))
    dense = params["params"]["Dense_0"]
    assert dense["kernel"].shape == (2, 12)
    both = np.asarray(CONTEXT) @ np.asarray(dense["kernel"]) + np.asarray(dense["bias"])
    expected = (1 + both[:6]) * np.asarray(x) + both[6:]
    np.testing.assert_allclose(jax.jit(layer.apply)(params, x, CONTEXT), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({}, (9, 8, 2)),
        ({"pool": True, "flatten": True}, (28, 28, 1)),
        ({"norm": nets.SupportNorm}, (2, 2, 1)),
        *(
            pytest.param(options, size, marks=pytest.mark.long)
            for options in ({}, {"pool": True, "flatten": True}, {"norm": nets.SupportNorm})
            for size in ((28, 28, 1), (9, 8, 2), (2, 2, 1))
        ),
    ],
)
def test_a_context_of_zeros_changes_nothing_at_the_start(options, size):
    """The convolution network of the same parameters, in the same order of operations but for ReLU and maximum."""
    x = jax.random.normal(KEY, (4, *size))
    net = nets.FiLMConvNet(3, features=(4,) * 4, **options)
    params = jax.jit(net.init)(KEY, (x, CONTEXT))["params"]
    encoder = {name: layer for name, layer in params.items() if name not in ("film", "head")}
    plain = nets.ConvNet(3, features=(4,) * 4, **options)
    expected = jax.jit(plain.apply)({"params": {"encoder": encoder, "head": params["head"]}}, x)
    np.testing.assert_allclose(jax.jit(net.apply)({"params": params}, (x, 0 * CONTEXT)), expected, rtol=1e-4, atol=1e-5)
    assert float(jnp.max(jnp.abs(jax.jit(net.apply)({"params": params}, (x, CONTEXT)) - expected))) > 1e-4


@pytest.mark.parametrize(
    ("features", "modulated", "channels"), [((4, 5, 6, 7), 3, 6), ((4, 5, 6, 7), 1, 4), ((4, 5), 3, 5)]
)
def test_which_block_is_modulated(features, modulated, channels):
    net = nets.FiLMConvNet(3, features=features, modulated=modulated)
    params = jax.eval_shape(net.init, KEY, (jnp.zeros((2, 28, 28, 1)), CONTEXT))["params"]
    assert params["film"]["Dense_0"]["kernel"].shape == (2, 2 * channels)


def test_film_comes_before_the_relu_and_after_the_maximum():
    """One block written out, with a scale below 0, for which the order matters."""
    x = jax.random.normal(KEY, (3, 6, 6, 1))
    net = nets.FiLMConvNet(2, features=(4,), pool=True, norm=nets.NoNorm, flatten=True)
    params = random_like(jax.jit(net.init)(KEY, (x, CONTEXT)), 3)["params"]
    conv = nets.Conv(4).apply({"params": params["Conv_0"]}, x)
    pooled = np.asarray(conv).reshape(3, 3, 2, 3, 2, 4).max((2, 4))
    kernel, bias = (np.asarray(params["film"]["Dense_0"][name]) for name in ("kernel", "bias"))
    both = np.asarray(CONTEXT) @ kernel + bias
    assert (1 + both[:4]).min() < 0
    z = np.maximum((1 + both[:4]) * pooled + both[4:], 0).reshape(3, -1)
    expected = z @ np.asarray(params["head"]["kernel"]) + np.asarray(params["head"]["bias"])
    np.testing.assert_allclose(jax.jit(net.apply)({"params": params}, (x, CONTEXT)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("net", [nets.ContextMLP((5,), 3, nets.BatchNorm), nets.FiLMConvNet(3, features=(4, 4))])
def test_padding_is_left_out_of_the_statistics(net):
    x = jax.random.normal(KEY, (5, 4, 4, 1))
    params = jax.jit(net.init)(KEY, (x, CONTEXT))
    weight = jnp.array([1.0, 1, 1, 0, 0])
    some = jax.jit(net.apply_weighted)(params, (x, CONTEXT), weight)[:3]
    np.testing.assert_allclose(some, jax.jit(net.apply)(params, (x[:3], CONTEXT)), rtol=1e-4, atol=1e-5)
    assert float(jnp.max(jnp.abs(some - jax.jit(net.apply)(params, (x, CONTEXT))[:3]))) > 1e-3


@pytest.mark.long
def test_lower_precision():
    x = jax.random.normal(KEY, (3, 8, 8, 1))
    net = nets.FiLMConvNet(3, features=(4, 4), kernel_init=nn.initializers.lecun_normal())
    low = nets.in_precision(net)
    params = low.init(KEY, (x, CONTEXT))
    out = low.apply(params, (x, CONTEXT))
    assert out.dtype == jnp.float32
    np.testing.assert_allclose(out, jax.jit(net.apply)(params, (x, CONTEXT)), rtol=0.1, atol=0.1)
