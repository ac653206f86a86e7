"""Models of Flax NNX and Equinox: one MAML step equals that of the same network in linen."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from algorithms_table import assert_close, difference, random_episode, stack
from flax import nnx

import jmeta
from jmeta import nets

EPISODES = stack([random_episode(0), random_episode(1)])
X = EPISODES.support.x[0]
LINEN = nets.MLP((8,), 3)


class NNXNet(nnx.Module):
    def __init__(self, rngs):
        self.hidden = nnx.Linear(16, 8, rngs=rngs)
        self.head = nnx.Linear(8, 3, rngs=rngs)

    def __call__(self, x):
        return self.head(nnx.relu(self.hidden(x.reshape(x.shape[0], -1))))


class EquinoxNet(eqx.Module):
    hidden: eqx.nn.Linear
    head: eqx.nn.Linear

    def __init__(self, key):
        keys = jax.random.split(key)
        self.hidden = eqx.nn.Linear(16, 8, key=keys[0])
        self.head = eqx.nn.Linear(8, 3, key=keys[1])

    def __call__(self, x):
        return self.head(jax.nn.relu(self.hidden(x.reshape(-1))))


def outer_step(model, params):
    learner = jmeta.maml(model, inner_optimizer=optax.sgd(0.3), inner_steps=1)
    rule = optax.sgd(0.1)
    state = jmeta.init_state(learner, rule, jax.random.key(0), X)._replace(params=params)
    after, metrics = jmeta.make_step(learner, rule)(state, EPISODES)
    return after.params, metrics


def linen_layers(params):
    return [params["params"][name] for name in ("Dense_0", "head")]


def test_nnx_model_takes_the_same_step_as_linen():
    model = nets.from_nnx(NNXNet)
    params = model.init(jax.random.key(1), X)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(params))
    linen = {"params": {"Dense_0": dict(params["hidden"]), "head": dict(params["head"])}}
    np.testing.assert_allclose(model.apply(params, X), LINEN.apply(linen, X), rtol=1e-5, atol=1e-6)
    after, metrics = outer_step(model, params)
    expected, expected_metrics = outer_step(LINEN, linen)
    assert_close(metrics, expected_metrics)
    assert_close([dict(after["hidden"]), dict(after["head"])], linen_layers(expected))
    assert difference(after, params) > 1e-3


def test_equinox_model_takes_the_same_step_as_linen():
    model = nets.from_equinox(EquinoxNet)
    params = model.init(jax.random.key(1), X)
    layers = lambda p: [{"kernel": layer.weight.T, "bias": layer.bias} for layer in (p.hidden, p.head)]
    linen = {"params": dict(zip(("Dense_0", "head"), layers(params), strict=True))}
    np.testing.assert_allclose(model.apply(params, X), LINEN.apply(linen, X), rtol=1e-5, atol=1e-6)
    after, metrics = outer_step(model, params)
    expected, expected_metrics = outer_step(LINEN, linen)
    assert_close(metrics, expected_metrics)
    assert_close(layers(after), linen_layers(expected))
    assert difference(after, params) > 1e-3


@pytest.mark.parametrize("model", [nets.from_nnx(NNXNet), nets.from_equinox(EquinoxNet)])
def test_init_depends_on_the_key(model):
    first, second = (model.init(jax.random.key(seed), X) for seed in (0, 1))
    assert difference(first, second) > 1e-2
    assert_close(first, model.init(jax.random.key(0), X), rtol=0, atol=0)


def test_nnx_models_with_other_state_are_refused():
    class WithStatistics(nnx.Module):
        def __init__(self, rngs):
            self.norm = nnx.BatchNorm(16, rngs=rngs)

    with pytest.raises(ValueError, match=r"for BatchNorm at norm: leave these layers out"):
        nets.from_nnx(WithStatistics)

    class WithDropout(nnx.Module):
        def __init__(self, rngs):
            self.dropout = nnx.Dropout(0.5, rngs=rngs)

    with pytest.raises(ValueError, match=r"for Dropout at dropout: leave these layers out"):
        nets.from_nnx(WithDropout)


def test_equinox_models_may_hold_integers_and_functions():
    class Odd(eqx.Module):
        linear: eqx.nn.Linear
        order: jax.Array
        activation: object

        def __init__(self, key):
            self.linear = eqx.nn.Linear(16, 3, key=key)
            self.order = jnp.array([2, 0, 1])
            self.activation = jnp.tanh

        def __call__(self, x):
            return self.activation(self.linear(x.reshape(-1)))[self.order]

    model = nets.from_equinox(Odd)
    params = model.init(jax.random.key(0), X)
    expected = np.tanh(X.reshape(len(X), -1) @ params.linear.weight.T + params.linear.bias[None])[:, [2, 0, 1]]
    np.testing.assert_allclose(model.apply(params, X), expected, rtol=1e-5, atol=1e-6)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}


class _Stateful(eqx.Module):
    blocks: list

    def __init__(self, layer):
        self.blocks = [eqx.nn.Sequential([layer])]


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (eqx.nn.Dropout(0.5), "Dropout at blocks[0].layers[0]"),
        (eqx.nn.BatchNorm(4, "a", mode="batch"), "BatchNorm at blocks[0].layers[0]"),
        (eqx.nn.BatchNorm(4, "a", mode="ema"), "BatchNorm at blocks[0].layers[0]"),
        (
            eqx.nn.MultiheadAttention(1, 4, dropout_p=0.1, key=jax.random.key(0)),
            "Dropout at blocks[0].layers[0].dropout",
        ),
    ],
)
def test_equinox_layers_with_state_or_keys_are_named(layer, said):
    """Fails where they end in an error of Equinox's, from deep inside, or only layers at the top are seen."""
    with pytest.raises(ValueError, match="leave these layers out") as caught:
        nets.from_equinox(lambda key: _Stateful(layer))
    assert said in str(caught.value)


def test_equinox_dropout_that_is_off_is_taken():
    layers = [eqx.nn.Dropout(0.0), eqx.nn.Dropout(0.5, inference=True)]
    model = nets.from_equinox(lambda key: eqx.nn.Sequential([*layers, eqx.nn.Linear(16, 3, key=key)]))
    assert model.apply(model.init(jax.random.key(0), X), X.reshape(len(X), 16)).shape == (len(X), 3)


def test_nnx_dropout_without_keys_of_its_own_is_refused():
    with pytest.raises(ValueError, match=r"Dropout at layers\.0: leave these layers out"):
        nets.from_nnx(lambda rngs: nnx.Sequential(nnx.Dropout(0.5), nnx.Linear(16, 3, rngs=rngs)))


class NNXTwice(nnx.Module):
    def __init__(self, rngs):
        self.a = nnx.Linear(1, 1, use_bias=False, rngs=rngs)
        self.b = self.a

    def __call__(self, x):
        return self.b(self.a(x))


class EquinoxTwice(eqx.Module):
    a: eqx.nn.Linear
    b: eqx.nn.Linear

    def __init__(self, key):
        self.a = self.b = eqx.nn.Linear(1, 1, use_bias=False, key=key)

    def __call__(self, x):
        return self.b(self.a(x))


@pytest.mark.parametrize("model", [nets.from_nnx(NNXTwice), nets.from_equinox(EquinoxTwice)], ids=["nnx", "equinox"])
def test_a_layer_at_two_places_stays_one_under_adaptation(model):
    """A step of w on (w^2 x - y)^2 / 2 is w - lr (w^2 x - y) 2 w x; two layers of their own would each take half."""
    params = model.init(jax.random.key(0), None)
    (w,) = (leaf.item() for leaf in jax.tree.leaves(params))
    x, y, lr = 0.7, 2.0, 0.1
    batch = jmeta.Batch(jnp.array([[x]]), jnp.array([[y]]))
    half = lambda prediction, target: 0.5 * jmeta.losses.squared_error(prediction, target)
    learner = jmeta.maml(model, inner_optimizer=optax.sgd(lr), inner_steps=1, loss_fn=half)
    after = w - lr * (w**2 * x - y) * 2 * w * x
    prediction = learner.predict(learner.adapt(params, batch), batch.x)
    np.testing.assert_allclose(prediction, [[after**2 * x]], rtol=1e-5)
