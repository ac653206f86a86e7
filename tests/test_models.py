"""Models with and without the functions that a model may have."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from algorithms_table import ALGORITHMS, Net, assert_close, random_episode
from flax import linen as nn

import jmeta
from jmeta import calls, losses, nets
from jmeta.nets import PureModel
from jmeta.nets.networks import Network

X = random_episode(0).support.x


def test_condition_asks_the_models_that_want_it():
    plain = PureModel(None, None)
    assert calls.condition(plain, X, jnp.ones(3)) is X
    net = nets.MLP((4,), 3, norm=nets.SupportNorm)
    params = net.init(jax.random.key(0), X)
    kept = calls.condition(net, params, X)
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
    alone, padded = net.apply(params, X[real]), calls.apply(net, params, X, weight)
    np.testing.assert_allclose(padded[real], alone, **({"rtol": 1e-5, "atol": 1e-5} if precise else {"atol": 0.05}))
    kept = calls.condition(net, params, X, weight)
    np.testing.assert_allclose(
        net.apply(kept, X[real][:1]), net.apply(net.condition(params, X[real]), X[real][:1]), rtol=1e-2, atol=1e-2
    )
    assert jnp.isfinite(padded).all()
    if norm is not nets.LayerNorm:
        assert jnp.abs(calls.apply(net, params, X)[real] - alone).max() > 1e-2


def test_a_model_that_knows_nothing_of_padding_is_called_as_ever():
    net = PureModel(None, lambda params, x: params * x)
    assert_close(calls.apply(net, jnp.array(2.0), X, jnp.zeros(len(X))), 2 * X)


class Normalized(Network):
    """Queries by the statistics of the support set's, and then a function of them, the examples, and their labels."""

    then: Any

    @nn.compact
    def __call__(self, x, weight=None):
        """The first of a tuple is of queries."""
        z, *rest = x
        return self.then(nets.SupportNorm()(z), *rest)


HEAD = nets.MLP((4,), 3, norm=nets.SupportNorm)
ENCODER = nets.MLPEncoder((5,))
INNER = {"inner_optimizer": optax.sgd(0.3), "inner_steps": 2}
IN_PARTS = {
    "anil": jmeta.anil(ENCODER, HEAD, **INNER),
    "boil": jmeta.boil(ENCODER, HEAD, **INNER),
    "attention": jmeta.attention_learner(
        ENCODER, Normalized(lambda z, examples, y: jax.nn.softmax(z @ examples.T) @ y)
    ),
    "matching": jmeta.matching(
        ENCODER, context=(nets.BidirectionalLSTM(), Normalized(lambda z, g: z + g.mean(0)[None]))
    ),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("learner", IN_PARTS.values(), ids=list(IN_PARTS))
def test_parts_that_normalize_by_the_support_set_judge_queries_alone(learner, weighted):
    """Whatever the part is: what normalizes is not the encoder here."""
    episode = random_episode(1)
    support = episode.support._replace(weight=jnp.ones(6).at[2].set(0.0) if weighted else None)
    params = learner.init(jax.random.key(0), support.x)
    adapted = jax.jit(learner.adapt)(params, support)
    together = learner.predict(adapted, episode.query.x)
    alone = jnp.concatenate([learner.predict(adapted, x[None]) for x in episode.query.x])
    assert_close(together, alone, rtol=1e-4, atol=1e-5)


class _Linen(nn.Module):
    """A network with a layer that is no plain function of parameters."""

    layer: nn.Module
    out: int

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.out)(self.layer(nn.Dense(4)(x.reshape(len(x), -1))))


@pytest.mark.parametrize(
    "layer",
    [nn.Dropout(0.5, deterministic=False), nn.BatchNorm(use_running_average=False)],
    ids=["dropout", "batch norm"],
)
@pytest.mark.parametrize("name", sorted(ALGORITHMS.keys() - {"nearest", "cavia", "relation_maps"}))
def test_linen_layers_with_keys_or_state_are_refused_by_every_learner(name, layer):
    """Fails for a learner that takes running statistics for parameters, or ends in an error of Flax's own.

    Left out are those that have no network, or one of the table's own."""
    episode = random_episode(0)
    encoder, model = _Linen(layer, 4), _Linen(layer, 3)
    net = Net(model, encoder, nets.Head(3))
    with pytest.raises(ValueError, match=r"layer.*leave these layers out"):
        learner = ALGORITHMS[name].make(net, losses.cross_entropy, 0.1, 1)
        learner.loss(learner.init(jax.random.key(0), episode.support.x), episode)
