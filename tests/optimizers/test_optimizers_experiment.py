"""Meta-training: what the engine is given, on one device and on several, and what it learns."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jmeta.optimizers import exact, fit, rules
from jmeta.optimizers.estimators import full_backprop
from jmeta.optimizers.experiment import builder
from jmeta.optimizers.problems import quadratic
from jmeta.optimizers.settings import Choice, defaults
from jmeta.optimizers.unroll import last, unroll
from jmeta.settings import replaced
from jmeta.sharding import task_mesh

pytestmark = pytest.mark.standard_promotion


@pytest.fixture(scope="module")
def small():
    """A schedule that PES trains in windows of 2 of 4 steps."""
    values = {"inner_steps": 4, "truncation": 2, "meta_batch_size": 4, "rates": 4, "dimension": 3, "outer_steps": 10}
    return builder()(replaced(defaults(Choice("schedule", "quadratic", "pes")), values))


def test_four_devices_take_the_step_of_one(small):
    """Catches gradients that are summed over devices, or noise that is the same on each."""
    mesh = task_mesh(jax.devices()[:4])
    state = jax.jit(small.init)(jax.random.key(0))
    one, other = jax.jit(small.update)(state), jax.jit(lambda state: small.update(state, mesh=mesh))(state)
    np.testing.assert_allclose(one[0].params, other[0].params, rtol=1e-5)
    np.testing.assert_allclose(one[1].loss, other[1].loss, rtol=1e-5)
    assert not np.allclose(one[0].params, state.params)


def test_unrolls_are_spread_over_the_windows_of_a_horizon(small):
    """In step, all would begin anew at once, and each step would see one part of an unroll alone."""
    state = jax.jit(small.init)(jax.random.key(0))
    assert state.opt_state.unrolls.taken.tolist() == [0, 2, 0, 2]
    after = jax.jit(small.update)(state)[0]
    assert after.opt_state.unrolls.taken.tolist() == [2, 4, 2, 4]


def test_a_schedule_of_three_rates_is_learned_to_the_optimum():
    """2.5000e-3 exactly, where the best constant rate has 4.3224e-3 and the best heavy ball 2.6032e-3."""
    rule = rules.schedule(np.geomspace(1.0, 2.0, 3))
    system = unroll(quadratic(dimension=128), rule, horizon=3, weight=last)
    adam = optax.adam(optax.cosine_decay_schedule(0.05, 300))
    theta, losses = fit(
        full_backprop(system), rule.init(jax.random.key(0), None), adam, jax.random.key(1), steps=300, tasks=16,
        horizon=3,
    )  # fmt: skip
    found = exact.loss_of(exact.uniform_spectrum(), np.exp(np.asarray(theta, np.float64)))
    assert exact.uniform_optimum(3) <= found < 1.005 * exact.uniform_optimum(3)
    assert losses.shape == (300,)


NAMES = {
    "lstm": rules.lstm(units=(3,), preprocess=rules.log_and_sign),
    "mlp": rules.mlp(units=(4,)),
    "adafactor": rules.adafactor_mlp(),
}


@pytest.fixture(scope="module", params=NAMES)
def moved(request):
    """A rule's second update of a vector, compiled once."""
    rule = NAMES[request.param]
    theta = rule.init(jax.random.key(0), None)
    theta = jax.tree.map(lambda a: a + 0.1 * jax.random.normal(jax.random.key(1), a.shape), theta)

    @jax.jit
    def second(grads, params):
        optimizer = rule.make(theta)
        _, state = optimizer.update(grads, optimizer.init(params), params)
        return optimizer.update(-0.5 * grads, state, params)[0]

    return second


@settings(max_examples=8)
@given(order=st.permutations(range(5)), seed=st.integers(0, 1000), scale=st.sampled_from([1e-4, 1.0, 100.0]))
def test_a_rule_knows_no_order_of_parameters_and_any_scale_is_finite(moved, order, seed, scale):
    """Catches a feature that is of the neighbor, and an overflow."""
    one, other = jax.random.split(jax.random.key(seed))
    grads, params = scale * jax.random.normal(one, (5,)), jax.random.normal(other, (5,))
    order = jnp.array(order)
    found = moved(grads, params)
    assert jnp.isfinite(found).all()
    np.testing.assert_allclose(moved(grads[order], params[order]), found[order], rtol=1e-4, atol=1e-7)
