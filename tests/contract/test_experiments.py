"""The contract of an experiment, on every kind of them: what the engine takes for granted."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from experiments_table import EXPERIMENTS, LONG

from jmeta import loop
from jmeta.runs.engine import checkpoints, leaves

pytestmark = pytest.mark.standard_promotion
NAMES = [pytest.param(name, marks=[pytest.mark.long] if name in LONG else []) for name in sorted(EXPERIMENTS)]


WITH_SEEDS = ("toy", "few-shot, curves", "rl, RL^2", "rl, MAML by ProMP")
"""Whose seeds are run together at once: `vmap` knows no area. The agents have no such test of their own."""


@pytest.fixture(scope="module", params=NAMES)
def made(request):
    """An experiment with its compiled loop, shared by all tests of it."""
    experiment = EXPERIMENTS[request.param]()
    return experiment, loop.repeat(experiment.update), jax.jit(experiment.init)


def bits(tree):
    return leaves.digest_of(jax.tree.map(lambda a: np.asarray(leaves.plain(a)), tree))


def close(one, other):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(
            np.asarray(leaves.plain(a), np.float64), np.asarray(leaves.plain(b), np.float64),
            rtol=2e-3, atol=2e-4,
        )  # fmt: skip


def test_the_state_is_one_pytree_of_arrays_that_keeps_its_form(made):
    """A Python number, a changed dtype, or a new leaf would compile again, and could not be restored."""
    _, run, init = made
    state = init(jax.random.key(0))
    after, _ = run(state, 2)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(state))
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert [(a.shape, a.dtype) for a in jax.tree.leaves(after)] == [(a.shape, a.dtype) for a in jax.tree.leaves(state)]
    assert int(state.step) == 0 and int(after.step) == 2 and after.step.dtype == jnp.int32
    assert bits(after.key) == bits(state.key)
    assert bits(after.params) != bits(state.params)


def test_metrics_are_finite_numbers_with_a_loss(made):
    _, run, init = made
    _, metrics = run(init(jax.random.key(0)), 3)
    found = {name: values for name, values in metrics._asdict().items() if values is not None}
    assert "loss" in found
    assert all(values.shape == (3,) and np.isfinite(values).all() for values in found.values())


def test_a_run_that_is_cut_and_read_back_from_disk_has_the_same_bits(made, tmp_path):
    """Where a step drew by anything but the key and its number, or a leaf were not saved, the rest would differ."""
    experiment, run, init = made
    start = init(jax.random.key(2))
    whole, all_metrics = run(start, 5)
    first, one = run(start, 2)
    with checkpoints.opened(tmp_path / "kept") as kept:
        checkpoints.save(kept, first, None)
        restored = checkpoints.restore(kept, 2, jax.eval_shape(experiment.init, jax.random.key(0)))
    last, other = run(restored, 3)
    assert bits(last) == bits(whole)
    assert bits(jax.tree.map(lambda a, b: jnp.concatenate([a, b]), one, other)) == bits(all_metrics)


@pytest.mark.parametrize(
    "made",
    [pytest.param(name, marks=[] if name in WITH_SEEDS else [pytest.mark.long]) for name in sorted(EXPERIMENTS)],
    indirect=True,
    scope="module",
)
def test_seeds_under_vmap_are_their_single_runs_to_rounding(made):
    experiment, run, init = made
    keys = jax.random.split(jax.random.key(3), 2)
    states = jax.vmap(experiment.init)(keys)
    together = jax.jit(jax.vmap(experiment.update))(states)
    for i, key in enumerate(keys):
        single = run(init(key), 1)
        close(jax.tree.map(lambda a, i=i: a[i], together), (single[0], jax.tree.map(lambda a: a[0], single[1])))
    assert bits(jax.tree.map(lambda a: a[0], states.params)) != bits(jax.tree.map(lambda a: a[1], states.params))


def test_validation_is_pure_finite_and_has_the_score(made):
    experiment, _, init = made
    assert experiment.validate is not None and experiment.score is not None
    params = init(jax.random.key(4)).params
    traced, again = (jax.jit(lambda params: experiment.validate(params)).lower(params) for _ in range(2))
    assert traced.as_text() == again.as_text()
    validate = traced.compile()
    one, other = (validate(params) for _ in range(2))
    assert experiment.score.name in one and experiment.score.sign in (1.0, -1.0)
    assert all(values.ndim == 1 and np.isfinite(values).all() for values in one.values())
    assert bits(one) == bits(other)


def test_what_the_record_says_is_json_and_what_is_counted_is_above_0(made):
    experiment, _, _ = made
    assert json.loads(json.dumps(dict(experiment.facts))) == dict(experiment.facts)
    assert experiment.counts and all(number > 0 for number in experiment.counts.values())
    assert experiment.steps >= 1 and experiment.tasks >= 1 and "--" in experiment.smaller
