"""The convolution as slices and a matrix product is the convolution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jmeta.nets import Conv, conv3x3, max_pool2x2


def reference(x, kernel, stride):
    return lax.conv_general_dilated(x, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def draw(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


SIZES = [(8, 8), (7, 7), (5, 8), (3, 4), (2, 2), (1, 1), (1, 6)]


@pytest.mark.parametrize("stride", [1, 2, pytest.param(3, marks=pytest.mark.long)])
@pytest.mark.parametrize("size", SIZES)
def test_values_and_derivatives_of_first_and_second_order(size, stride):
    with jax.enable_x64(True):
        x, kernel, direction = draw(2, *size, 3), draw(3, 3, 3, 4, seed=1), draw(3, 3, 3, 4, seed=2)

        def readings(conv):
            def loss(x, kernel):
                return jnp.sum(jnp.sin(conv(x, kernel, stride)))

            def curvature(x, kernel):
                return jax.jvp(lambda k: jax.grad(loss, argnums=(0, 1))(x, k), (kernel,), (direction,))

            return conv(x, kernel, stride), *jax.jit(curvature)(x, kernel)

        ours = readings(lambda x, k, s: conv3x3(x, k, stride=s))
        theirs = readings(reference)
        for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
            assert a.shape == b.shape
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)
        assert float(jnp.max(jnp.abs(ours[2][1]))) > 1e-3


def test_under_vmap_every_task_has_its_own_kernel():
    x, kernels = draw(3, 2, 6, 6, 2), draw(3, 3, 3, 2, 4, seed=1)
    together = jax.vmap(lambda x, k: conv3x3(x, k, stride=2))(x, kernels)
    for task in range(3):
        np.testing.assert_allclose(together[task], reference(x[task], kernels[task], 2), rtol=1e-4, atol=1e-5)


def test_the_layer_adds_its_bias():
    x = draw(2, 5, 5, 3)
    layer = Conv(4, stride=2)
    params = layer.init(jax.random.key(0), x)["params"]
    assert {name: p.shape for name, p in params.items()} == {"kernel": (3, 3, 3, 4), "bias": (4,)}
    assert not params["bias"].any()
    bias = jnp.arange(4.0)
    got = layer.apply({"params": {**params, "bias": bias}}, x)
    np.testing.assert_allclose(got, reference(x, params["kernel"], 2) + bias[None, None, None], rtol=1e-4, atol=1e-5)


def test_the_layer_starts_as_glorot_and_bengio():
    kernel = Conv(64).init(jax.random.key(0), jnp.zeros((1, 4, 4, 64)))["params"]["kernel"]
    limit = np.sqrt(6 / (9 * 64 + 9 * 64))
    assert 0.99 * limit < float(jnp.max(jnp.abs(kernel))) <= limit
    np.testing.assert_allclose(jnp.std(kernel), limit / np.sqrt(3), rtol=0.02)


@pytest.mark.parametrize("size", [(8, 8), (7, 7), (5, 8), (2, 2), (3, 2)])
def test_max_pool_is_reduce_window(size):
    x = draw(2, *size, 3)

    def theirs(x):
        return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")

    np.testing.assert_array_equal(max_pool2x2(x), theirs(x))
    grads = [jax.grad(lambda x, f=f: jnp.sum(jnp.sin(f(x))))(x) for f in (max_pool2x2, theirs)]
    np.testing.assert_allclose(*grads, rtol=1e-6)
