"""Models that compute in lower precision than they are kept in."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from algorithms_table import conv_net, random_episode, stack

import jmeta
from jmeta import nets

EPISODES = stack([random_episode(seed) for seed in range(4)])
X = EPISODES.support.x[0]


def meta_gradient(model):
    learner = jmeta.maml(model, inner_optimizer=optax.sgd(0.1), inner_steps=2)
    params = jax.jit(learner.init)(jax.random.key(0), X)
    return jax.jit(lambda params: jmeta.training.meta_gradient(learner, params, EPISODES))(params)


@pytest.mark.parametrize("norm", [pytest.param(nets.NoNorm, marks=pytest.mark.long), nets.BatchNorm])
def test_the_meta_gradient_is_float32_and_near(norm):
    model = conv_net(3, norm).model
    whole, metrics = meta_gradient(model)
    half, rough = meta_gradient(nets.in_precision(model))
    assert {leaf.dtype for leaf in jax.tree.leaves((half, rough))} == {jnp.dtype("float32")}
    flat, other = (jax.flatten_util.ravel_pytree(grads)[0] for grads in (whole, half))
    cosine = float(flat @ other / (jnp.linalg.norm(flat) * jnp.linalg.norm(other)))
    assert 0.99 < cosine < 0.9999999, "near, and not the same program"
    np.testing.assert_allclose(rough.loss, metrics.loss, rtol=0.02)


def test_the_whole_network_computes_in_it():
    model = nets.in_precision(conv_net(3, nets.BatchNorm).model)
    params = jax.jit(model.init)(jax.random.key(0), X)
    products = [
        line
        for line in str(jax.make_jaxpr(model.apply)(params, X)).splitlines()
        if "dot_general" in line.split("[")[0] or "= dot_general" in line
    ]
    assert len(products) == 3
    assert all(":bf16[" in line for line in products)


def test_statistics_of_the_support_are_kept_and_parameters_not_rounded():
    model = conv_net(3, nets.SupportNorm).model
    half = nets.in_precision(model)
    params = jax.jit(model.init)(jax.random.key(0), X)
    kept = jax.jit(half.condition)(params, X)
    for leaf, same in zip(jax.tree.leaves(kept["params"]), jax.tree.leaves(params["params"]), strict=True):
        np.testing.assert_array_equal(leaf, same)
    predict = jax.jit(half.apply)
    one = predict(kept, X[:1])
    whole = jax.jit(lambda params: model.apply(model.condition(params, X), X[:1]))(params)
    np.testing.assert_allclose(one, whole, rtol=0.1, atol=0.05)
    assert float(jnp.max(jnp.abs(one - predict(params, X[:1])))) > 0.1, "alone, an example has other statistics"


def test_a_model_without_statistics_stays_without():
    model = nets.PureModel(lambda key, x: {"w": jnp.ones(3)}, lambda params, x: x * params["w"])
    assert not hasattr(nets.in_precision(model), "condition")


def test_models_without_parameters_and_inputs_of_integers():
    model = nets.in_precision(nets.PureModel(lambda key, x: {}, lambda params, x: x / 3))
    got = model.apply({}, jnp.array([1, 2], jnp.uint8).astype(jnp.float32))
    assert got.dtype == jnp.float32
    np.testing.assert_array_equal(got, (jnp.array([1, 2], jnp.bfloat16) / 3).astype(jnp.float32))
    counted = nets.in_precision(nets.PureModel(lambda key, x: {}, lambda params, x: x.astype(jnp.bfloat16)))
    assert counted.apply({}, jnp.array([1, 2], jnp.uint8)).dtype == jnp.float32
