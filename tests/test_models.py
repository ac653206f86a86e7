"""Models with and without the functions that a model may have."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from algorithms_table import assert_close, random_episode

from jmeta import models, nets
from jmeta.nets import PureModel

X = random_episode(0).support.x


def test_condition_asks_the_models_that_want_it():
    plain = PureModel(None, None)
    assert models.condition(plain, X, jnp.ones(3)) is X
    net = nets.MLP((4,), 3, norm=nets.SupportNorm)
    params = net.init(jax.random.key(0), X)
    kept = models.condition(net, params, X)
    assert set(params) == {"params"}
    assert set(kept) == {"params", "statistics"}
    assert_close(kept["params"], params["params"], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("norm", "precise"),
    [(nets.BatchNorm, True), (nets.SupportNorm, True), (nets.LayerNorm, True), (nets.BatchNorm, False)],
)
def test_padding_is_left_out_of_the_statistics_of_those_that_have_any(norm, precise):
    net = nets.ConvNet(3, features=(8,), norm=norm)
    net = net if precise else nets.in_precision(net, jnp.float16)
    params = net.init(jax.random.key(0), X)
    weight = jnp.array([1.0, 1.0, 0.0, 1.0, 0.0, 1.0])
    real = weight > 0
    alone, padded = net.apply(params, X[real]), models.apply(net, params, X, weight)
    np.testing.assert_allclose(padded[real], alone, **({"rtol": 1e-5, "atol": 1e-5} if precise else {"atol": 0.05}))
    kept = models.condition(net, params, X, weight)
    np.testing.assert_allclose(
        net.apply(kept, X[real][:1]), net.apply(net.condition(params, X[real]), X[real][:1]), rtol=1e-2, atol=1e-2
    )
    assert jnp.isfinite(padded).all()
    if norm is not nets.LayerNorm:
        assert jnp.abs(models.apply(net, params, X)[real] - alone).max() > 1e-2


def test_a_model_that_knows_nothing_of_padding_is_called_as_ever():
    net = PureModel(None, lambda params, x: params * x)
    assert_close(models.apply(net, jnp.array(2.0), X, jnp.zeros(len(X))), 2 * X)
