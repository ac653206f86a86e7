"""Many runs in one program: each is its own single run."""

import functools
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from algorithms_table import assert_close, difference, mlp_net

import jmeta
from jmeta import loop, losses, sharding, training

NET = mlp_net(1, (8,))
SAMPLE = jmeta.sinusoid_sampler(shot=5, query_shot=5)
X = jnp.zeros((5, 1))
RATES = jnp.array([0.01, 0.03, 0.03])
SEEDS = (0, 0, 7)


def build(rate):
    learner = jmeta.maml(NET.model, inner_optimizer=optax.sgd(rate), inner_steps=1, loss_fn=losses.squared_error)
    return learner, optax.sgd(0.005)


@functools.cache
def single(rate):
    return jmeta.make_run(*build(rate), SAMPLE, meta_batch_size=4, chunk_size=2)


def starts():
    return [jmeta.init_state(*build(0.05), jax.random.key(seed), X) for seed in SEEDS]


def stacked(states):
    return jax.tree.map(lambda *a: jnp.stack(a), *states)


def bits(tree):
    is_key = lambda a: jnp.issubdtype(a.dtype, jax.dtypes.prng_key)
    return [np.asarray(jax.random.key_data(a) if is_key(a) else a) for a in jax.tree.leaves(tree)]


@pytest.mark.parametrize("over", [jax.vmap, jmeta.training.one_by_one])
def test_each_is_its_single_run(over):
    together = jmeta.make_runs(build, SAMPLE, meta_batch_size=4, chunk_size=2, over=over)
    states, metrics = together(stacked(starts()), RATES, 5)
    for r, (start, rate) in enumerate(zip(starts(), RATES.tolist(), strict=True)):
        state, expected = single(rate)(start, 5)
        assert_close(jax.tree.map(lambda a, r=r: a[r], states.params), state.params, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(metrics.loss[r], expected.loss, rtol=1e-4)
        assert int(states.step[r]) == 5
    assert metrics.loss.shape == (3, 5)
    assert difference(metrics.loss[0], metrics.loss[1]) > 1e-3 and difference(metrics.loss[1], metrics.loss[2]) > 1e-3


FUSION = "--xla_cpu_use_fusion_emitters"  # which newer versions of XLA don't know
OPTIMIZED = "--xla_backend_optimization_level=3" + (f" {FUSION}=true" if FUSION in os.environ["XLA_FLAGS"] else "")


def test_one_by_one_seeds_are_their_single_runs_bit_for_bit():
    """As users' programs are compiled: with fewer optimizations than that, the last bit differs."""
    if OPTIMIZED not in os.environ["XLA_FLAGS"]:
        test = f"{__file__}::test_one_by_one_seeds_are_their_single_runs_bit_for_bit"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test]
        done = subprocess.run(command, env={**os.environ, "XLA_FLAGS": OPTIMIZED}, capture_output=True, text=True)
        assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout
        return
    rate = RATES.tolist()[1]
    together = jmeta.make_runs(
        lambda _: build(rate), SAMPLE, meta_batch_size=4, chunk_size=2, over=jmeta.training.one_by_one
    )
    states, metrics = together(stacked(starts()), {}, 5)
    for r, start in enumerate(starts()):
        state, expected = single(rate)(start, 5)
        for ours, theirs in zip(bits((states, metrics)), bits((state, expected)), strict=True):
            np.testing.assert_array_equal(ours[r], theirs)


@pytest.mark.parametrize("over", [jax.vmap, jmeta.training.one_by_one])
def test_runs_cut_into_pieces_are_the_same_bits(over, monkeypatch):
    together = jmeta.make_runs(build, SAMPLE, meta_batch_size=4, over=over)
    whole, metrics = together(stacked(starts()), RATES, 5)
    monkeypatch.setattr(loop, "PIECE", 2)
    states, first = together(stacked(starts()), RATES, 2)
    states, rest = together(states, RATES, 3)
    for ours, theirs in zip(bits(states), bits(whole), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(np.concatenate([first.loss, rest.loss], 1), metrics.loss)


@pytest.mark.parametrize("over", [jax.vmap, jmeta.training.one_by_one])
def test_devices_share_the_tasks_of_each_run(over, monkeypatch):
    make_step, meshes = training.make_step, []

    def watched(*args, **options):
        meshes.append(options["mesh"])
        return make_step(*args, **options)

    monkeypatch.setattr(training, "make_step", watched)
    mesh = sharding.task_mesh(jax.devices()[:2])
    one = jmeta.make_runs(build, SAMPLE, meta_batch_size=4, over=over)(stacked(starts()), RATES, 3)
    two = jmeta.make_runs(build, SAMPLE, meta_batch_size=4, over=over, mesh=mesh)(stacked(starts()), RATES, 3)
    assert meshes[0] is None and meshes[-1] is mesh
    assert all(len(leaf.sharding.device_set) == 2 for leaf in jax.tree.leaves(two[0].params))
    assert_close((one[0].params, one[1]), (two[0].params, two[1]), rtol=1e-5, atol=1e-6)


def test_all_runs_are_one_program():
    traces = []

    def counted(rate):
        traces.append(1)
        return build(rate)

    together = jmeta.make_runs(counted, SAMPLE, meta_batch_size=4)
    states, _ = together(stacked(starts()), RATES, 2)
    first = len(traces)
    together(states, RATES + 0.01, 3)
    assert len(traces) == first


def test_sizes_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="meta_batch_size must be 1 or more, got 0"):
        jmeta.make_runs(build, SAMPLE, meta_batch_size=0)
    with pytest.raises(ValueError, match="chunk_size must divide the 4 tasks"):
        jmeta.make_runs(build, SAMPLE, meta_batch_size=4, chunk_size=3)
