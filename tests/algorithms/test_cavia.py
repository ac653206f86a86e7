"""CAVIA: what adapts, what it is started from, and a network whose derivatives are written out."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from algorithms_table import assert_close, difference, largest, mlp_net, modulated, random_episode

import jmeta
from jmeta import losses, nets
from jmeta.nets import PureModel

EPISODE = random_episode(0)
NET = modulated(mlp_net(3, (8,)))


def cavia(model=NET, **options):
    return jmeta.cavia(model, **(dict(context_size=4, inner_optimizer=optax.sgd(0.5), inner_steps=2) | options))


def gradient(learner, params, episode=EPISODE):
    (value, metrics), grads = jax.jit(jax.value_and_grad(learner.loss, has_aux=True))(params, episode)
    return value, metrics, grads


def made(learner):
    return jax.jit(learner.init)(jax.random.key(0), EPISODE.support.x)


def test_only_the_context_adapts_from_zero_in_each_task():
    learner = cavia()
    params = made(learner)
    none = cavia(inner_steps=0).adapt(params, EPISODE.support)
    assert_close(none, jmeta.algorithms.CAVIAAdapted(params, jnp.zeros(4)), rtol=0, atol=0)
    adapted = learner.adapt(params, EPISODE.support)
    assert_close(adapted.model, params, rtol=0, atol=0)
    assert adapted.context.shape == (4,) and largest(adapted.context) > 1e-2
    again = learner.adapt(adapted.model, EPISODE.support)
    assert_close(again, adapted, rtol=0, atol=0)


def test_with_no_steps_it_is_the_query_loss_of_a_model_with_a_context_of_zeros():
    params = made(cavia())
    zeros = lambda p: NET.apply(p, (EPISODE.query.x, jnp.zeros(4)))
    plain = lambda p: losses.mean_loss(zeros(p), EPISODE.query, losses.cross_entropy)
    assert_close(gradient(cavia(inner_steps=0), params)[2], jax.jit(jax.grad(plain))(params))


def test_it_is_maml_whose_rates_are_zero_in_all_but_the_context():
    """Which Meta-SGD can be told, where the context is a parameter that starts at zero."""
    params = made(cavia())
    whole = PureModel(None, lambda p, x: NET.apply(p.model, (x, p.context)))
    start = jmeta.algorithms.CAVIAAdapted(params, jnp.zeros(4))
    rates = jmeta.algorithms.CAVIAAdapted(jax.tree.map(jnp.zeros_like, params), jnp.full(4, 0.5))
    sgd = jmeta.meta_sgd(whole, inner_lr=0.1, inner_steps=2)
    value, metrics, grads = gradient(sgd, jmeta.algorithms.MetaSGDParams(start, rates))
    assert_close(gradient(cavia(), params), (value, metrics, grads.model.model))


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("first_order", [False, True])
def test_a_bilinear_model_written_out(k, first_order):
    """Prediction x.(u + W c), squared error, the context's steps and all derivatives in NumPy."""
    rng = np.random.default_rng(0)
    x, xq, y, yq = rng.normal(size=(6, 3)), rng.normal(size=(5, 3)), rng.normal(size=6), rng.normal(size=5)
    u, w = rng.normal(size=3), rng.normal(size=(3, 2))

    def adapted(u, w):
        c = np.zeros(2)
        for _ in range(k):
            c = c - 0.2 * w.T @ x.T @ (x @ (u + w @ c) - y) * 2 / 6
        return c

    def outer(u, w, c):
        return np.mean((xq @ (u + w @ c) - yq) ** 2)

    def numeric(function, at):
        directions = 1e-6 * np.eye(at.size).reshape(-1, *at.shape)
        return [(function(at + e) - function(at - e)) / 2e-6 for e in directions]

    fixed = adapted(u, w) if first_order else None
    along_u = numeric(lambda v: outer(v, w, adapted(v, w) if fixed is None else fixed), u)
    along_w = numeric(lambda v: outer(u, v, adapted(u, v) if fixed is None else fixed), w)
    model = PureModel(lambda key, x: (), lambda p, inputs: (inputs[0] @ (p[0] + p[1] @ inputs[1]))[:, None])
    with jax.enable_x64(True):
        batch = lambda x, y: jmeta.Batch(jnp.asarray(x), jnp.asarray(y)[:, None])
        learner = cavia(
            model,
            context_size=2,
            inner_optimizer=optax.sgd(0.2),
            inner_steps=k,
            first_order=first_order,
            loss_fn=losses.squared_error,
        )
        episode = jmeta.Episode(batch(x, y), batch(xq, yq))
        value, _, grads = gradient(learner, (jnp.asarray(u), jnp.asarray(w)), episode)
        context = learner.adapt((jnp.asarray(u), jnp.asarray(w)), episode.support).context
    np.testing.assert_allclose(context, adapted(u, w), rtol=1e-10)
    np.testing.assert_allclose(value, outer(u, w, adapted(u, w)), rtol=1e-10)
    np.testing.assert_allclose(grads[0], along_u, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(grads[1].reshape(-1), along_w, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    "inner_grad", [jmeta.gradients.remat_grad, pytest.param(jmeta.gradients.mixed_grad, marks=pytest.mark.long)]
)
def test_cheaper_inner_gradients_are_the_same(inner_grad):
    params = made(cavia())
    assert_close(gradient(cavia(inner_grad=inner_grad), params), gradient(cavia(), params), rtol=1e-4)


def test_truncation_lies_between_first_and_second_order():
    params = made(cavia())
    exact = gradient(cavia(), params)[2]
    none, one = (gradient(cavia(truncation=k), params)[2] for k in (0, 1))
    assert_close(gradient(cavia(truncation=2), params)[2], exact)
    assert_close(gradient(cavia(first_order=True), params)[2], none)
    assert difference(none, exact) > 1e-3 and difference(one, exact) > 1e-4 and difference(one, none) > 1e-4


def test_the_support_norm_keeps_statistics_that_the_adapted_context_made():
    """FiLM in the first block changes what the second block's normalization sees."""
    model = nets.FiLMConvNet(3, features=(4, 4), norm=nets.SupportNorm, modulated=1)
    learner = cavia(model, inner_optimizer=optax.sgd(2.0))
    params = made(learner)
    adapted = learner.adapt(params, EPISODE.support)
    condition = jax.jit(model.condition)
    expected = condition(params, (EPISODE.support.x, adapted.context))
    assert_close(adapted.model, expected)
    at_start = condition(params, (EPISODE.support.x, jnp.zeros(4)))
    assert difference(adapted.model["statistics"], at_start["statistics"]) > 1e-3


def test_inputs_that_are_integers_have_a_context_of_floats():
    table = jnp.asarray(np.random.default_rng(0).normal(size=(9, 4)), jnp.float32)
    model = PureModel(lambda key, x: table, lambda table, inputs: (table[inputs[0]] + inputs[1][None])[:, :3])
    learner = cavia(model)
    support = jmeta.Batch(jnp.array([1, 5, 8]), jnp.eye(3))
    adapted = jax.jit(learner.adapt)(made(learner), support)
    assert adapted.context.dtype == jnp.float32 and largest(adapted.context) > 1e-2
    grads = jax.grad(learner.loss, has_aux=True)(table, jmeta.Episode(support, support))[0]
    assert largest(grads) > 1e-3
