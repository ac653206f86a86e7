"""Bayesian MAML: its reduction to MAML, particles that stay apart, and how their predictions are combined."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from algorithms_table import difference, mlp_net, random_episode

import jmeta
from jmeta.bayes.algorithms import bayesian_maml, each

pytestmark = pytest.mark.standard_promotion
NET = mlp_net(3, (4,))
RULE = optax.sgd(0.3)


@pytest.fixture(scope="module")
def episode():
    return random_episode(0)


def test_one_particle_is_maml(episode):
    """Catches a bandwidth that is NaN, a mean over particles that is a sum, and a gradient that stops."""
    maml = jmeta.maml(NET.model, inner_optimizer=RULE, inner_steps=2)
    learner = bayesian_maml(NET.model, particles=1, inner_optimizer=RULE, inner_steps=2, temperature=0.1)
    params = jax.jit(learner.init)(jax.random.key(0), episode.support.x)
    alone = jax.tree.map(lambda a: a[0], params)
    found, expected = (
        jax.jit(jax.grad(own.loss, has_aux=True))(p, episode)[0] for own, p in ((learner, params), (maml, alone))
    )
    assert difference(jax.tree.map(lambda a: a[0], found), expected) < 1e-5


def test_particles_stay_apart_and_their_mean_probability_is_predicted(episode):
    """Catches particles that fall together, which a repulsion of the wrong sign makes them."""
    make = lambda temperature, **told: bayesian_maml(
        NET.model, particles=3, inner_optimizer=RULE, inner_steps=3, temperature=temperature, **told
    )
    learner = make(1.0)
    params = jax.jit(learner.init)(jax.random.key(1), episode.support.x)
    spread = lambda tree: sum(float(jnp.sum(jnp.var(a, axis=0))) for a in jax.tree.leaves(tree))
    adapted = {t: make(t).adapt(params, episode.support) for t in (1e-6, 1.0, 10.0)}
    assert spread(adapted[1e-6]) < spread(adapted[1.0]) < spread(adapted[10.0])
    samples = make(1.0, combine=each).predict(adapted[1.0], episode.query.x)
    assert samples.shape == (3, *episode.query.y.shape)
    expected = np.log(np.mean(jax.nn.softmax(samples), axis=0))
    predicted = learner.predict(adapted[1.0], episode.query.x)
    np.testing.assert_allclose(predicted, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("told", [{"particles": 0}, {"temperature": 0.0}, {"inner_steps": -1}])
def test_what_makes_no_ensemble_is_refused(told):
    with pytest.raises(ValueError, match="must be"):
        bayesian_maml(NET.model, inner_optimizer=RULE, **{"inner_steps": 1, **told})
