"""Where two algorithms must agree, and two programs of the same step."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest
from algorithms_table import (
    assert_close,
    conv_net,
    difference,
    largest,
    mlp_net,
    modulated,
    random_episode,
    random_like,
    relaxed,
    stack,
)

import jmeta
from jmeta.losses import cross_entropy, mean_loss
from jmeta.nets import Conv4, PureModel

EPISODE = random_episode(0)
NET = mlp_net(3, (8,))
SGD = optax.sgd(0.3)
IDENTITY = PureModel(lambda key, x: {}, lambda params, x: x)


def gradient(learner, params, episode=EPISODE):
    (value, metrics), grads = jax.jit(jax.value_and_grad(learner.loss, has_aux=True))(params, episode)
    return value, metrics, grads


@functools.cache
def params():
    return jax.jit(NET.model.init)(jax.random.key(0), EPISODE.support.x)


@jax.jit
def query_gradient(params, batch):
    return jax.grad(lambda p: mean_loss(NET.model.apply(p, batch.x), batch, cross_entropy))(params)


@functools.cache
def of_maml():
    """What MAML computes in two steps."""
    return gradient(jmeta.maml(NET.model, inner_optimizer=SGD, inner_steps=2), params())


def test_meta_sgd_with_a_constant_rate_is_maml():
    rates = jax.tree.map(lambda p: jnp.full_like(p, 0.3), params())
    sgd = gradient(
        jmeta.meta_sgd(NET.model, inner_lr=0.1, inner_steps=2), jmeta.algorithms.MetaSGDParams(model=params(), lr=rates)
    )
    assert_close((sgd[0], sgd[1], sgd[2].model), of_maml())
    assert largest(sgd[2].lr) > 1e-3


def test_meta_sgd_starts_at_its_inner_lr():
    learner = jmeta.meta_sgd(NET.model, inner_lr=0.3, inner_steps=2)
    made = jax.jit(learner.init)(jax.random.key(0), EPISODE.support.x)
    assert_close(
        made, jmeta.algorithms.MetaSGDParams(params(), jax.tree.map(lambda p: jnp.full_like(p, 0.3), params()))
    )


@pytest.mark.parametrize("first_order", [False, True])
def test_maml_with_no_steps_is_the_query_loss(first_order):
    learner = jmeta.maml(NET.model, inner_optimizer=SGD, inner_steps=0, first_order=first_order)
    assert_close(gradient(learner, params())[2], query_gradient(params(), EPISODE.query))


def test_anil_with_an_identity_encoder_is_maml_on_the_head():
    anil = jmeta.anil(IDENTITY, NET.model, inner_optimizer=SGD, inner_steps=2)
    value, metrics, grads = gradient(anil, jmeta.algorithms.ANILParams({}, params()))
    assert_close((value, metrics, grads.head), of_maml())


def test_anil_leaves_its_encoder_where_it_was():
    anil = jmeta.anil(NET.encoder, NET.head, inner_optimizer=SGD, inner_steps=2)
    made = jax.jit(anil.init)(jax.random.key(0), EPISODE.support.x)
    adapted = anil.adapt(made, EPISODE.support)
    assert_close(adapted.encoder, made.encoder, rtol=0, atol=0)
    assert difference(adapted.head, made.head) > 1e-2


def test_anil_is_maml_whose_rates_are_zero_in_the_encoder():
    """Which Meta-SGD can be told."""
    anil = jmeta.anil(NET.encoder, NET.head, inner_optimizer=SGD, inner_steps=2)
    made = jax.jit(anil.init)(jax.random.key(0), EPISODE.support.x)
    whole = PureModel(None, lambda p, x: NET.head.apply(p.head, NET.encoder.apply(p.encoder, x)))
    rates = jmeta.algorithms.ANILParams(
        jax.tree.map(jnp.zeros_like, made.encoder), jax.tree.map(lambda p: jnp.full_like(p, 0.3), made.head)
    )
    sgd = gradient(jmeta.meta_sgd(whole, inner_lr=0.1, inner_steps=2), jmeta.algorithms.MetaSGDParams(made, rates))
    assert_close(gradient(anil, made), (sgd[0], sgd[1], sgd[2].model))


def test_boil_with_an_identity_head_is_maml_on_the_encoder():
    boil = jmeta.boil(NET.model, IDENTITY, inner_optimizer=SGD, inner_steps=2)
    value, metrics, grads = gradient(boil, jmeta.algorithms.BOILParams(params(), {}))
    assert_close((value, metrics, grads.encoder), of_maml())


def test_boil_leaves_its_head_where_it_was():
    boil = jmeta.boil(NET.encoder, NET.head, inner_optimizer=SGD, inner_steps=2)
    made = jax.jit(boil.init)(jax.random.key(0), EPISODE.support.x)
    adapted = boil.adapt(made, EPISODE.support)
    assert_close(adapted.head, made.head, rtol=0, atol=0)
    assert difference(adapted.encoder, made.encoder) > 1e-2


def test_boil_is_maml_whose_rates_are_zero_in_the_head():
    """Which Meta-SGD can be told."""
    boil = jmeta.boil(NET.encoder, NET.head, inner_optimizer=SGD, inner_steps=2)
    made = jax.jit(boil.init)(jax.random.key(0), EPISODE.support.x)
    whole = PureModel(None, lambda p, x: NET.head.apply(p.head, NET.encoder.apply(p.encoder, x)))
    rates = jmeta.algorithms.BOILParams(
        jax.tree.map(lambda p: jnp.full_like(p, 0.3), made.encoder), jax.tree.map(jnp.zeros_like, made.head)
    )
    sgd = gradient(jmeta.meta_sgd(whole, inner_lr=0.1, inner_steps=2), jmeta.algorithms.MetaSGDParams(made, rates))
    assert_close(gradient(boil, made), (sgd[0], sgd[1], sgd[2].model))


def test_reptile_with_one_step_is_the_rate_times_the_support_gradient():
    learner = jmeta.reptile(NET.model, inner_optimizer=SGD, inner_steps=1)
    expected = jax.tree.map(lambda g: 0.3 * g, query_gradient(params(), EPISODE.support))
    assert_close(gradient(learner, params())[2], expected)


@pytest.mark.parametrize(
    "size", [pytest.param(6, marks=pytest.mark.long), 7, pytest.param(100, marks=pytest.mark.long)]
)
def test_reptile_with_batches_of_the_whole_support_set_is_reptile_without(size):
    plain = jmeta.reptile(NET.model, inner_optimizer=SGD, inner_steps=2)
    batches = jmeta.reptile(NET.model, inner_optimizer=SGD, inner_steps=2, batch_size=size)
    assert_close(gradient(batches, params()), gradient(plain, params()))


def test_reptile_goes_through_its_batches_in_order():
    """Six rows in batches of four: rows 0-3, then 4, 5, 0, 1, then 2-5."""
    learner = jmeta.reptile(NET.model, inner_optimizer=SGD, inner_steps=3, batch_size=4)
    moved = params()
    whole = learner.adapt(params(), EPISODE.support)
    for rows in ([0, 1, 2, 3], [4, 5, 0, 1], [2, 3, 4, 5]):
        batch = jax.tree.map(lambda a, rows=rows: a[jnp.array(rows)], EPISODE.support)
        moved = jax.tree.map(lambda p, g: p - 0.3 * g, moved, query_gradient(moved, batch))
    assert_close(whole, moved)
    assert_close(gradient(learner, params())[2], jax.tree.map(jnp.subtract, params(), moved))


def test_reptile_adapts_as_maml_does_and_reports_the_same_loss():
    maml = gradient(jmeta.maml(NET.model, inner_optimizer=SGD, inner_steps=2), params())
    reptile = gradient(jmeta.reptile(NET.model, inner_optimizer=SGD, inner_steps=2), params())
    assert_close(maml[:2], reptile[:2])
    assert difference(maml[2], reptile[2]) > 1e-2


@pytest.mark.parametrize(
    "name",
    ["maml", "anil", pytest.param("boil", marks=pytest.mark.long), pytest.param("cavia", marks=pytest.mark.long)],
)
def test_first_order_changes_the_gradient_and_not_the_loss(name):
    net = conv_net(3, features=(4,))
    make = {
        "maml": lambda first: jmeta.maml(net.model, inner_optimizer=SGD, inner_steps=2, first_order=first),
        "anil": lambda first: jmeta.anil(net.encoder, net.head, inner_optimizer=SGD, inner_steps=2, first_order=first),
        "boil": lambda first: jmeta.boil(net.encoder, net.head, inner_optimizer=SGD, inner_steps=2, first_order=first),
        "cavia": lambda first: jmeta.cavia(
            modulated(net), context_size=4, inner_optimizer=SGD, inner_steps=2, first_order=first
        ),
    }[name]
    made = jax.jit(make(False).init)(jax.random.key(0), EPISODE.support.x)
    second, first = gradient(make(False), made), gradient(make(True), made)
    assert_close(second[:2], first[:2])
    assert difference(second[2], first[2]) / largest(second[2]) > 1e-2


def test_first_order_is_the_query_gradient_at_the_adapted_parameters():
    learner = jmeta.maml(NET.model, inner_optimizer=SGD, inner_steps=2, first_order=True)
    expected = query_gradient(learner.adapt(params(), EPISODE.support), EPISODE.query)
    assert_close(gradient(learner, params())[2], expected)


CONV4 = {
    "maml": lambda: jmeta.maml(Conv4(3), inner_optimizer=optax.sgd(0.1), inner_steps=1),
    "anil": lambda: jmeta.anil(
        jmeta.nets.ConvEncoder((64,) * 4), jmeta.nets.Head(3), inner_optimizer=optax.sgd(0.1), inner_steps=1
    ),
    "boil": lambda: jmeta.boil(
        jmeta.nets.ConvEncoder((64,) * 4), jmeta.nets.Head(3), inner_optimizer=optax.sgd(0.1), inner_steps=1
    ),
    "cavia": lambda: jmeta.cavia(
        jmeta.nets.FiLMConvNet(3), context_size=5, inner_optimizer=optax.sgd(0.1), inner_steps=1
    ),
    "meta_sgd": lambda: jmeta.meta_sgd(Conv4(3), inner_lr=0.1, inner_steps=1),
}


# A plain convolution; the others differentiate through the same one, and a context is written out in its own tests.
QUICK = ("maml",)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else pytest.mark.long) for name in CONV4]
)
def test_second_order_gradients_of_conv4_agree_with_central_differences(name):
    """Strided, with batch statistics, 64 channels, in float64; the steps are too small to meet a kink of a ReLU."""
    small = random_episode(1, way=3, shot=1, query_shot=1, size=14)
    learner = CONV4[name]()
    made = jax.jit(learner.init)(jax.random.key(0), small.support.x)
    with jax.enable_x64(True):
        to64 = lambda tree: jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), tree)
        episode, start = to64(small), to64(made)
        both = jax.jit(jax.value_and_grad(learner.loss, has_aux=True))
        loss = lambda params: both(params, episode)[0][0]
        grads = both(start, episode)[1]
        h = 1e-9
        for seed in range(3):
            along = random_like(jax.random.key(seed), start)
            ahead, behind = (jax.tree.map(lambda p, d, s=s: p + s * h * d, start, along) for s in (1.0, -1.0))
            numeric = float((loss(ahead) - loss(behind)) / (2 * h))
            exact = float(sum(jnp.vdot(g, d) for g, d in zip(*map(jax.tree.leaves, (grads, along)), strict=True)))
            assert abs(exact) > 1e-2
            np.testing.assert_allclose(numeric, exact, rtol=1e-5)
        assert all(leaf.dtype == jnp.float64 for leaf in jax.tree.leaves(grads))
    if name == "maml":
        first = jmeta.maml(Conv4(3), inner_optimizer=optax.sgd(0.1), inner_steps=1, first_order=True)
        approximate = jax.jit(jax.grad(first.loss, has_aux=True))(made, small)[0]
        exact = jax.tree.map(lambda g: g.astype(jnp.float32), grads)
        assert difference(approximate, exact) > 1e-2 * largest(exact)


EPISODES = stack([random_episode(0), random_episode(1)])


@functools.cache
def fomaml():
    return jmeta.maml(NET.model, inner_optimizer=SGD, inner_steps=1, first_order=True)


@jax.jit
def value_and_meta_gradient(params):
    return jax.value_and_grad(lambda p: jmeta.meta_loss(fomaml(), p, EPISODES)[0])(params)


def meta_gradient(params):
    return value_and_meta_gradient(params)[1]


def steps(optimizer, count):
    state = jmeta.init_state(fomaml(), optimizer, jax.random.key(0), EPISODE.support.x)._replace(params=params())
    step = jmeta.make_step(fomaml(), optimizer)
    for _ in range(count):
        state, _ = step(state, EPISODES)
    return state.params


def test_outer_sharpness_aware_minimization():
    """The gradient of the same tasks at params + rho g / |g|."""
    rho, lr = 0.5, 0.1
    ascent = optax.chain(optax.contrib.normalize(), optax.sgd(rho))
    got = steps(optax.contrib.sam(optax.sgd(lr), ascent, opaque_mode=True), 1)
    grads = meta_gradient(params())
    norm = jnp.sqrt(sum(jnp.sum(g**2) for g in jax.tree.leaves(grads)))
    sharp = meta_gradient(jax.tree.map(lambda p, g: p + rho * g / norm, params(), grads))
    assert_close(got, jax.tree.map(lambda p, g: p - lr * g, params(), sharp))
    assert difference(sharp, grads) > 1e-2


def test_outer_nesterov():
    expected, trace = params(), jax.tree.map(jnp.zeros_like, params())
    for _ in range(2):
        grads = meta_gradient(expected)
        trace = jax.tree.map(lambda t, g: g + 0.9 * t, trace, grads)
        expected = jax.tree.map(lambda p, g, t: p - 0.1 * (g + 0.9 * t), expected, grads, trace)
    assert_close(steps(optax.sgd(0.1, momentum=0.9, nesterov=True), 2), expected)


def test_outer_adam():
    expected = params()
    m = v = jax.tree.map(jnp.zeros_like, params())
    for t in (1, 2):
        grads = meta_gradient(expected)
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, grads)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g**2, v, grads)
        corrected = jax.tree.map(lambda m, v, t=t: (m / (1 - 0.9**t), v / (1 - 0.999**t)), m, v)
        expected = jax.tree.map(lambda p, c: p - 0.01 * c[0] / (jnp.sqrt(c[1]) + 1e-8), expected, corrected)
    # Adam divides by the gradient's own size, so that a gradient of rounding errors alone still moves by the rate.
    assert_close(steps(relaxed(optax.adam(0.01)), 2), expected, rtol=1e-3, atol=1e-4)


def test_outer_rules_that_want_the_value_get_it():
    seen = []

    def update(updates, state, params=None, *, value):
        seen.append(value)
        return jax.tree.map(lambda g: -value * g, updates), state

    rule = optax.GradientTransformationExtraArgs(lambda params: (), update)
    value, grads = value_and_meta_gradient(params())
    assert_close(steps(rule, 1), jax.tree.map(lambda p, g: p - value * g, params(), grads))
    assert len(seen) == 1
