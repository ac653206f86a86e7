"""Proto-MAML beside Prototypical networks, MAML from the same start, and finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from algorithms_table import assert_close, largest, mlp_net, random_episode, random_like

import jmeta
from jmeta.distances import prototypes
from jmeta.nets import PureModel

EPISODE = random_episode(0)
ENCODER = mlp_net(3, (8,)).encoder
SGD = optax.sgd(0.1)


def start(params, support):
    """What the inner loop begins at, by the definition."""
    c = prototypes(jax.jit(ENCODER.apply)(params, support.x), support)
    return jmeta.algorithms.ProtoMAMLAdapted(params, 2 * c, -jnp.sum(c**2, axis=-1))


def params(seed=0):
    return jax.jit(ENCODER.init)(jax.random.key(seed), EPISODE.support.x)


def test_no_steps_are_prototypical_networks():
    learner = jmeta.proto_maml(ENCODER, inner_optimizer=SGD, inner_steps=0)
    out = np.asarray(learner.predict(learner.adapt(params(), EPISODE.support), EPISODE.query.x), np.float64)
    z, zq = (np.asarray(jax.jit(ENCODER.apply)(params(), batch.x), np.float64) for batch in EPISODE)
    labels = np.asarray(EPISODE.support.y).argmax(-1)
    for i in range(len(zq)):
        near = [-np.sum((zq[i] - z[labels == k].mean(0)) ** 2) for k in range(3)]
        np.testing.assert_allclose(out[i] - out[i, 0], np.array(near) - near[0], rtol=1e-4, atol=1e-5)
    both = [jax.value_and_grad(one.loss, has_aux=True) for one in (learner, jmeta.prototypical(ENCODER))]
    assert_close(*(jax.jit(one)(params(), EPISODE) for one in both), rtol=1e-4)


@pytest.mark.parametrize("first", [False, True])
def test_steps_are_mamls_from_the_prototypes(first):
    """And the meta-gradient goes on through the prototypes, in first order too."""
    options = dict(inner_optimizer=SGD, inner_steps=2, first_order=first)
    whole = PureModel(None, lambda p, x: ENCODER.apply(p.encoder, x) @ p.weights.T + p.bias[None])
    maml, proto = jmeta.maml(whole, **options), jmeta.proto_maml(ENCODER, **options)
    through = jax.value_and_grad(lambda p: maml.loss(start(p, EPISODE.support), EPISODE), has_aux=True)
    straight = jax.jit(jax.value_and_grad(proto.loss, has_aux=True))(params(), EPISODE)
    assert_close(straight, jax.jit(through)(params()), rtol=1e-4)
    held = jax.jit(jax.grad(lambda p, head: maml.loss(head._replace(encoder=p), EPISODE)[0]))
    without = held(params(), start(params(), EPISODE.support))
    assert largest(jax.tree.map(jnp.subtract, straight[1], without)) > 1e-2 * largest(without)


def test_the_meta_gradient_agrees_with_central_differences():
    learner = jmeta.proto_maml(ENCODER, inner_optimizer=SGD, inner_steps=2)
    with jax.enable_x64(True):
        at, episode = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), (params(), EPISODE))
        loss = jax.jit(lambda p: learner.loss(p, episode)[0])
        grads = jax.jit(jax.grad(loss))(at)
        along = random_like(jax.random.key(1), at)
        ahead, behind = (jax.tree.map(lambda p, d, s=s: p + s * d, at, along) for s in (1e-6, -1e-6))
        numeric = float(loss(ahead) - loss(behind)) / 2e-6
        exact = float(sum(jnp.vdot(g, d) for g, d in zip(*map(jax.tree.leaves, (grads, along)), strict=True)))
    np.testing.assert_allclose(exact, numeric, rtol=1e-5)


def test_a_class_without_examples_starts_at_zero_and_stays_there():
    support, query = EPISODE
    y = support.y.at[:, 2].set(0)
    classes = jnp.array([1.0, 1.0, 0.0])
    support = support._replace(y=y, weight=y.sum(1), classes=classes)
    query = query._replace(weight=1 - query.y[:, 2], classes=classes)
    learner = jmeta.proto_maml(ENCODER, inner_optimizer=SGD, inner_steps=3)
    adapted = learner.adapt(params(), support)
    assert jnp.all(adapted.weights[2] == 0) and adapted.bias[2] == 0
    assert jnp.all(adapted.weights[:2] != start(params(), support).weights[:2], where=adapted.weights[:2] != 0)
    grads = jax.grad(lambda p: learner.loss(p, jmeta.Episode(support, query))[0])(params())
    assert all(jnp.all(jnp.isfinite(g)) for g in jax.tree.leaves(grads)) and largest(grads) > 1e-4
