"""Networks: shapes, and parameters counted by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import lax

from jmeta import nets
from jmeta.nets import (
    MLP,
    BatchNorm,
    Conv4,
    ConvEncoder,
    ConvNet,
    CosineHead,
    GroupNorm,
    Head,
    LayerNorm,
    Linear,
    NoNorm,
)

KEY = jax.random.key(0)


def count(net, *shape):
    params = jax.eval_shape(net.init, KEY, jnp.zeros((2, *shape)))
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(params))


def out(net, *shape):
    return jax.eval_shape(lambda x: net.apply(net.init(KEY, x), x), jnp.zeros((2, *shape))).shape


def block(inputs, outputs):
    """3x3 kernel and bias; scale and shift of the normalization."""
    return 9 * inputs * outputs + outputs + 2 * outputs


@pytest.mark.parametrize(
    ("net", "shape", "parameters"),
    [
        (Conv4(5), (28, 28, 1), 112_261),  # as MAML's: 640 + 3 * 36928 + 4 * 128 + 325
        (Conv4(20), (28, 28, 1), 112_261 + 15 * 65),
        (Conv4(5, features=32), (84, 84, 3), block(3, 32) + 3 * block(32, 32) + 33 * 5),
        (Conv4(5, features=32, flatten=True, pool=True), (84, 84, 3), block(3, 32) + 3 * block(32, 32) + 801 * 5),
        (Conv4(5, norm=NoNorm), (28, 28, 1), 112_261 - 4 * 128),
        (Conv4(5, norm=LayerNorm), (28, 28, 1), 112_261),
        (
            ConvNet(5, features=(16, 16), dense=512, flatten=True),
            (28, 28, 1),
            block(1, 16) + block(16, 16) + (7 * 7 * 16 + 1) * 512 + 513 * 5,
        ),
        (ConvNet(5, features=(8,) * 8), (28, 28, 1), block(1, 8) + 7 * block(8, 8) + 45),
        (MLP((40, 40), 1), (1,), 80 + 40 * 41 + 41),
        (MLP((), 3), (2, 2), 15),
        (Linear(), (6,), 14),
        (Head(5), (64,), 325),
        (CosineHead(5), (64,), 321),
        (nets.ConvMap(), (28, 28, 1), block(1, 64) + 3 * block(64, 64)),
        (nets.RelationHead(), (7, 7, 128), block(128, 64) + block(64, 64) + 65 * 8 + 9),
        (nets.RelationHead(), (20,), 21 * 8 + 9),
    ],
)
def test_parameters(net, shape, parameters):
    assert count(net, *shape) == parameters


@pytest.mark.parametrize("size", [(28, 28, 1), (84, 84, 3), (8, 8, 1), (1, 1, 1), (5, 9, 2), (105, 105, 1), (1, 8, 1)])
@pytest.mark.parametrize("pool", [False, True])
def test_conv4_takes_images_of_any_size(size, pool):
    assert out(Conv4(5, features=8, pool=pool), *size) == (2, 5)
    assert out(ConvEncoder((8,) * 4, pool=pool), *size) == (2, 8)


@pytest.mark.parametrize("size", [(1, 1, 1), (2, 2, 1), (3, 3, 1), (5, 5, 1)])
@pytest.mark.parametrize("pool", [False, True])
def test_blocks_past_the_last_halving_keep_the_size(size, pool):
    """A mean over no positions would be NaN."""
    x = jax.random.normal(KEY, (2, *size))
    net = ConvEncoder((2,) * 4, pool=pool, norm=NoNorm)
    assert jax.jit(net.apply)(jax.jit(net.init)(KEY, x), x).shape == (2, 2)
    assert bool(jnp.isfinite(jax.jit(net.apply)(jax.jit(net.init)(KEY, x), x)).all())


@pytest.mark.parametrize(
    ("net", "features"),
    [
        (ConvEncoder((64,) * 4, flatten=True), 2 * 2 * 64),  # 28 -> 14 -> 7 -> 4 -> 2
        (ConvEncoder((64,) * 4, flatten=True, pool=True), 64),  # 28 -> 14 -> 7 -> 3 -> 1
        (ConvEncoder((64,) * 4), 64),
        (ConvEncoder((8, 16), flatten=True), 7 * 7 * 16),
        (ConvEncoder((8, 16), dense=512), 512),
        (ConvEncoder((8,) * 8, flatten=True), 8),
        (nets.MLPEncoder((40, 30)), 30),
        (nets.MLPEncoder(()), 784),
    ],
)
def test_features(net, features):
    assert out(net, 28, 28, 1) == (2, features)


@pytest.mark.parametrize(
    ("halvings", "pool", "shape"),
    [(0, True, (28, 28)), (1, False, (14, 14)), (2, True, (7, 7)), (3, True, (3, 3)), (3, False, (4, 4))],
)
def test_the_first_blocks_of_a_map_halve_it(halvings, pool, shape):
    assert out(nets.ConvMap((2, 3, 5), halvings=halvings, pool=pool), 28, 28, 1) == (2, *shape, 5)


@pytest.mark.parametrize("pool", [False, True])
def test_a_map_is_the_encoder_before_its_mean(pool):
    x = jax.random.normal(KEY, (3, 9, 9, 1))
    encoder = ConvEncoder((4, 6), pool=pool)
    params = jax.jit(encoder.init)(KEY, x)
    features = jax.jit(nets.ConvMap((4, 6), pool=pool, halvings=2).apply)(params, x)
    np.testing.assert_allclose(features.mean((1, 2)), jax.jit(encoder.apply)(params, x), rtol=1e-5)


@pytest.mark.parametrize("pool", [False, True])
def test_conv4_is_what_its_paper_says(pool):
    """Written out: four times convolution, statistics of the batch, ReLU and halving; mean over space; head."""
    x = jax.random.normal(KEY, (3, 28, 28, 1))
    net = Conv4(5, features=8, pool=pool)
    variables = jax.jit(net.init)(KEY, x)
    z = x
    for i in range(4):
        conv, norm = (variables["params"]["encoder"][f"{kind}_{i}"] for kind in ("Conv", "BatchNorm"))
        strides = (1, 1) if pool else (2, 2)
        z = lax.conv_general_dilated(
            z, conv["kernel"], strides, "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        ) + conv["bias"].reshape(1, 1, 1, -1)
        z = (z - z.mean((0, 1, 2), keepdims=True)) / jnp.sqrt(z.var((0, 1, 2), keepdims=True) + 1e-5)
        z = jnp.maximum(z * norm["scale"].reshape(1, 1, 1, -1) + norm["bias"].reshape(1, 1, 1, -1), 0)
        z = nn.max_pool(z, (2, 2), (2, 2)) if pool else z
    head = variables["params"]["head"]
    expected = z.mean((1, 2)) @ head["kernel"] + head["bias"].reshape(1, -1)
    np.testing.assert_allclose(jax.jit(net.apply)(variables, x), expected, rtol=1e-3, atol=1e-4)
    assert float(jnp.std(expected)) > 0.1


def test_a_convnet_is_its_encoder_and_its_head():
    x = jax.random.normal(KEY, (3, 9, 9, 1))
    options = dict(features=(4, 4), flatten=True, dense=6)
    net, encoder, head = ConvNet(5, **options), ConvEncoder(**options), Head(5)
    params = jax.jit(net.init)(KEY, x)["params"]
    z = jax.jit(encoder.apply)({"params": params["encoder"]}, x)
    np.testing.assert_allclose(
        jax.jit(net.apply)({"params": params}, x),
        jax.jit(head.apply)({"params": {"head": params["head"]}}, z),
        rtol=1e-5,
        atol=1e-6,
    )


def test_mlp_written_out():
    x = jax.random.normal(KEY, (3, 2))
    net = MLP((4, 5), 2)
    params = jax.jit(net.init)(KEY, x)["params"]
    z = x
    for name in ("Dense_0", "Dense_1"):
        z = jnp.maximum(z @ params[name]["kernel"] + params[name]["bias"][None], 0)
    expected = z @ params["head"]["kernel"] + params["head"]["bias"][None]
    np.testing.assert_allclose(jax.jit(net.apply)({"params": params}, x), expected, rtol=1e-5, atol=1e-6)


def test_an_mlp_normalizes_before_each_relu():
    x = jax.random.normal(KEY, (6, 3))
    encoder = nets.MLPEncoder((7,), norm=BatchNorm)
    params = jax.jit(encoder.init)(KEY, x)
    z = x @ params["params"]["Dense_0"]["kernel"]
    expected = np.maximum((z - z.mean(0, keepdims=True)) / np.sqrt(z.var(0, keepdims=True) + 1e-5), 0)
    np.testing.assert_allclose(jax.jit(encoder.apply)(params, x), expected, rtol=1e-4, atol=1e-4)


def test_the_head_starts_at_standard_normal_weights_and_no_bias():
    params = Head(100).init(KEY, jnp.zeros((1, 64)))["params"]["head"]
    np.testing.assert_allclose([jnp.mean(params["kernel"]), jnp.std(params["kernel"])], [0, 1], atol=0.03)
    assert not params["bias"].any()


def test_group_norm_in_a_network():
    x = jax.random.normal(KEY, (4, 8, 8, 1))
    net = ConvNet(3, features=(16, 16), norm=GroupNorm)
    params = jax.jit(net.init)(KEY, x)
    np.testing.assert_allclose(
        jax.jit(net.apply)(params, x)[:1], jax.jit(net.apply)(params, x[:1]), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nets.MLP((64, 32)), "missing 1 required positional argument: 'out'"),
        (lambda: nets.MLP(1, 5), r"features of MLP must be sizes of layers, as in \(64, 32\), got 1"),
        (lambda: nets.MLP((8, 0), 5), r"features of MLP must be sizes of layers, as in \(64, 32\), got \(8, 0\)"),
        (lambda: nets.MLP((8,), (5,)), r"out of MLP must be a number of outputs, got \(5,\)"),
        (lambda: nets.MLPEncoder("64"), "features of MLPEncoder must be sizes of layers"),
        (lambda: nets.ConvEncoder(64), "features of ConvEncoder must be sizes of layers"),
        (lambda: nets.Conv4((64, 64)), r"way of ConvNet must be a number of outputs, got \(64, 64\)"),
        (lambda: nets.Conv4(5, features=(64, 64)), "features of Conv4 must be a number of channels"),
        (lambda: nets.Head(2.0), "way of Head must be a number of outputs, got 2.0"),
        (lambda: nets.Linear(0), "out of MLP must be a number of outputs, got 0"),
    ],
)
def test_sizes_of_another_form_are_one_sentence_at_the_first_call(make, message):
    """Fails where outputs are taken for layers, or layers without outputs end in one."""
    with pytest.raises((ValueError, TypeError), match=message):
        make()
