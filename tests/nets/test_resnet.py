"""ResNet-12 has the parameters of its definition and is the network of it; DropBlock keeps what it says."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jmeta import nets
from jmeta.nets.catalog import NETWORKS, Network


def sizes(model, x):
    params = jax.eval_shape(model.init, jax.random.key(0), x)
    return sum(leaf.size for leaf in jax.tree.leaves(params)), jax.eval_shape(model.apply, params, x).shape


def count(features, channels=3):
    """Of each block: three 3x3 convolutions and one 1x1 without biases, four normalizations."""
    total = 0
    for c in features:
        total += 9 * channels * c + 2 * 9 * c * c + channels * c + 4 * 2 * c
        channels = c
    return total


@pytest.mark.parametrize(
    ("network", "features", "side", "parameters", "outputs"),
    [
        ("resnet12", (64,), 84, 12_424_320, 16_000),
        ("resnet12", (64,), 32, 12_424_320, 2_560),
        ("resnet12-mean", (64, 128, 256, 512), 84, 7_996_800, 512),
    ],
)
def test_parameters_and_features(network, features, side, parameters, outputs):
    """Catches a bias, a shortcut that is missing, and a pooling too many; nothing is computed."""
    own, x = Network(network, features), jax.ShapeDtypeStruct((2, side, side, 3), "float32")
    widths = (64, 160, 320, 640) if features == (64,) else features
    assert count(widths) == parameters
    assert sizes(NETWORKS.get(network).encoder(own), x) == (parameters, (2, outputs))
    whole = NETWORKS.get(network).network(own, 5, jax.nn.initializers.glorot_uniform())
    assert sizes(whole, x) == (parameters + 5 * outputs + 5, (2, 5))


def small(flatten=True):
    return nets.ResNet12Encoder((2, 3), norm=nets.BatchNorm, flatten=flatten)


@pytest.fixture(scope="module")
def case():
    x = jax.random.normal(jax.random.key(1), (3, 5, 4, 2))
    params = small().init(jax.random.key(0), x)
    return x, jax.tree.map(lambda a: a + 0.1 * jax.random.normal(jax.random.key(a.size), a.shape), params)


def test_it_is_the_network_of_its_docstring(case):
    """Catches the shortcut added after the last leaky ReLU, another slope, and norms out of their places."""
    x, params = case
    own = {name: {k: np.asarray(v) for k, v in layer.items()} for name, layer in params["params"].items()}

    def norm(i, h):
        scale, bias = own[f"BatchNorm_{i}"]["scale"], own[f"BatchNorm_{i}"]["bias"]
        return (h - h.mean((0, 1, 2))) / np.sqrt(h.var((0, 1, 2)) + 1e-5) * scale + bias

    def conv(i, h):
        kernel = own[f"Conv_{i}"]["kernel"]
        return np.asarray(
            lax.conv_general_dilated(jnp.asarray(h), kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        )

    def leaky(h):
        return np.where(h > 0, h, np.float32(0.1) * h)

    h = np.asarray(x)
    for block in range(2):
        straight = norm(4 * block, h @ own[f"Dense_{block}"]["kernel"])
        h = leaky(norm(4 * block + 1, conv(3 * block, h)))
        h = leaky(norm(4 * block + 2, conv(3 * block + 1, h)))
        h = leaky(norm(4 * block + 3, conv(3 * block + 2, h)) + straight)
        rows, columns = h.shape[1] // 2, h.shape[2] // 2
        h = h[:, : 2 * rows, : 2 * columns].reshape(3, rows, 2, columns, 2, -1).max((2, 4))
    np.testing.assert_allclose(small().apply(params, x), h.reshape(3, -1), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(small(False).apply(params, x), h.mean((1, 2)), rtol=1e-4, atol=1e-4)


def test_examples_of_weight_0_have_no_part(case):
    """Catches a normalization that isn't told the weights."""
    x, params = case
    weighted = small().apply_weighted(params, x.at[2].set(1e3), jnp.array([1.0, 1.0, 0.0]))
    np.testing.assert_allclose(weighted[:2], small().apply(params, x[:2]), rtol=2e-4, atol=2e-4)


def test_weights_start_as_he_has_them():
    """Catches fan-in for fan-out: the first layer has 3 channels, and 64 outputs."""
    params = nets.ResNet12Encoder((64,)).init(jax.random.key(0), jnp.zeros((1, 2, 2, 3)))["params"]
    found = np.std(params["Conv_0"]["kernel"])
    assert found == pytest.approx(np.sqrt(2 / (9 * 64)), rel=0.05)


KEYS = jax.random.split(jax.random.key(3), 400)


@pytest.mark.parametrize(("size", "rate"), [(1, 0.1), (2, 0.1), (3, 0.3)])
def test_drop_block_keeps_the_share_of_its_docstring(size, rate):
    """The chance of each place is (1 - gamma)^squares that it may be in; catches squares at the wrong corner, squares
    over the border, and a gamma without the factor of the border."""
    height, width, channels = 5, 6, 40
    ones = jnp.ones((1, height, width, channels))
    kept = np.asarray(jax.lax.map(lambda key: nets.drop_block(key, ones, rate=rate, size=size), KEYS)) > 0
    rows, columns = height - size + 1, width - size + 1
    gamma = rate / size**2 * height * width / (rows * columns)
    squares = np.zeros((height, width))
    for i in range(rows):
        for j in range(columns):
            squares[i : i + size, j : j + size] += 1
    expected = (1 - gamma) ** squares
    error = np.sqrt(expected * (1 - expected) / (len(KEYS) * channels))
    assert (np.abs(kept.mean((0, 1, 4)) - expected) < 4.5 * error).all()


def test_drop_block_scales_what_is_left_and_drops_nothing_at_rate_0():
    """Catches a scale of 1 / (1 - rate), which changes the mean where squares overlap."""
    x = jnp.ones((4, 6, 6, 8))
    assert np.mean(nets.drop_block(KEYS[0], x, rate=0.3, size=3)) == pytest.approx(1.0, rel=1e-5)
    np.testing.assert_array_equal(nets.drop_block(KEYS[0], x, rate=0.0, size=3), x)
    assert not np.any(nets.drop_block(KEYS[0], x, rate=1.0, size=1))
    with pytest.raises(ValueError, match="size must be 1 to 6, the side of the map, got 7"):
        nets.drop_block(KEYS[0], x, rate=0.1, size=7)
