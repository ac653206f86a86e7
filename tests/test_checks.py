"""Numbers that hyper-parameters may be, of whichever type."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from algorithms_table import mlp_net, random_episode

import jmeta
from jmeta import checks, distances

NET = mlp_net(3, (4,))
INNER = {"inner_optimizer": optax.sgd(0.1), "inner_steps": 1}
KINDS = (float, np.float32, np.float64, jnp.float32, np.array, lambda v: np.array([1.0, v], np.float32))
ABOVE_ZERO = {
    "imaml": lambda v: jmeta.imaml(NET.model, regularization=v, **INNER),
    "ridge": lambda v: jmeta.ridge(NET.encoder, l2=v),
    "meta_sgd": lambda v: jmeta.meta_sgd(NET.model, inner_lr=v, inner_steps=1),
    "maml_plus_plus": lambda v: jmeta.maml_plus_plus(NET.model, inner_lr=v, inner_steps=1),
    "baseline_plus_plus": lambda v: jmeta.baseline_plus_plus(NET.encoder, NET.head, scale=v),
    "neumann": lambda v: jmeta.solvers.neumann(2, rate=v),
    "scaled_cosine": lambda v: distances.scaled_cosine(v),
}


@pytest.mark.parametrize("make", ABOVE_ZERO.values(), ids=list(ABOVE_ZERO))
def test_numbers_of_no_use_are_refused_whatever_their_type(make):
    for value in (0.0, -1.0, np.inf, np.nan):
        for kind in KINDS[:-2]:
            with pytest.raises(ValueError, match="must be a finite number above 0"):
                make(kind(value))
    make(0.5)
    make(np.float32(0.5))


def test_arrays_are_refused_for_any_of_their_numbers_and_traced_numbers_for_none():
    for kind in KINDS:
        checks.check_above_zero("rate", kind(1.0))
        with pytest.raises(ValueError, match=r"rate must be a finite number above 0 to move, got "):
            checks.check_above_zero("rate", kind(0.0), "to move")
    support = random_episode(0).support

    def rate(v):
        learner = jmeta.meta_sgd(NET.model, inner_lr=v, inner_steps=1)
        return learner.init(jax.random.key(0), support.x).lr

    assert all(jnp.all(leaf == 0.25) for leaf in jax.tree.leaves(jax.jit(rate)(0.25)))


def test_a_size_of_ridge_is_not_zero():
    for scale in (0.0, np.float32(0), np.inf, np.nan):
        with pytest.raises(ValueError, match="the size of scale must be a finite number above 0"):
            jmeta.ridge(NET.encoder, scale=scale)
    jmeta.ridge(NET.encoder, scale=-1.0)
