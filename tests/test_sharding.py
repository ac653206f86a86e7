"""Tasks on four emulated devices: the results of one device, and nothing sent about but gradients."""

import functools
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from algorithms_table import ALGORITHMS, assert_close, conv_net, difference, mlp_net
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import jmeta
from jmeta import losses, nets, sharding

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 8, 1)).astype(np.uint8)
FEW_SHOT = jmeta.few_shot_sampler(IMAGES, way=3, shot=2, query_shot=2, rotations=True)
SINE = jmeta.sinusoid_sampler(shot=5, query_shot=5)
TASKS = 8


@functools.cache
def mesh(devices=4):
    assert jax.device_count() == 4
    return jmeta.sharding.task_mesh(jax.devices()[:devices])


@functools.cache
def problem(name):
    """A learner and its episodes: second-order MAML, Reptile, and a convolution with batch statistics."""
    if name == "conv":
        return ALGORITHMS["maml"].make(conv_net(3, nets.BatchNorm, (4,)), losses.cross_entropy, 0.3, 1), FEW_SHOT
    return ALGORITHMS[name].make(mlp_net(1, (8,)), losses.squared_error, 0.01, 2), SINE


def start(name, rule):
    learner, sample = problem(name)
    x = jax.jit(sample)(jax.random.key(1)).support.x
    return jax.jit(lambda key: jmeta.init_state(learner, rule, key, x))(jax.random.key(0))


def episodes_of(sample, tasks=TASKS):
    return jax.jit(jax.vmap(sample))(jax.random.split(jax.random.key(2), tasks))


def collectives(text):
    """The kinds of collective operations in a compiled program."""
    kinds = "all-gather|all-reduce|all-to-all|collective-permute|collective-broadcast|reduce-scatter"
    return re.findall(rf" ({kinds})(?:-start)?\(", text)


CASES = [("maml", None), ("maml", 1), ("reptile", None), ("conv", 1), ("conv", None)]


@pytest.mark.parametrize(
    ("name", "chunk_size"),
    [pytest.param(*case, marks=[] if case in (("maml", None), ("conv", 1)) else [pytest.mark.long]) for case in CASES],
)
def test_a_step_on_four_devices_is_that_of_one(name, chunk_size):
    """And they exchange one sum of gradients, and no episodes."""
    (learner, sample), rule = problem(name), optax.sgd(0.01)
    state, episodes = start(name, rule), episodes_of(sample)
    one, metrics = jmeta.make_step(learner, rule, chunk_size=chunk_size)(state, episodes)
    state, episodes = sharding.replicate(state, mesh()), sharding.spread(episodes, mesh())
    step = jax.jit(jmeta.make_step(learner, rule, chunk_size=chunk_size, mesh=mesh())).lower(state, episodes).compile()
    many, many_metrics = step(state, episodes)
    assert collectives(step.as_text()) == ["all-reduce"]
    assert_close((many.params, many_metrics), (one.params, metrics), rtol=1e-6, atol=1e-6)
    assert difference(one.params, state.params) > 1e-4
    for leaf in jax.tree.leaves((many.params, many.opt_state)):
        assert leaf.sharding.is_fully_replicated and len(leaf.sharding.device_set) == 4


@pytest.mark.parametrize(
    ("name", "chunk_size"),
    [("maml", 1), *(pytest.param(*case, marks=pytest.mark.long) for case in CASES[:-1] if case != ("maml", 1))],
)
def test_a_run_on_four_devices_is_that_of_one(name, chunk_size):
    """And they exchange one sum of gradients a step: each draws its own episodes."""
    (learner, sample), rule = problem(name), optax.sgd(0.001)
    options = {"meta_batch_size": TASKS, "chunk_size": chunk_size}
    state = start(name, rule)
    one, metrics = jmeta.make_run(learner, rule, sample, **options)(state, 5)
    run = jmeta.make_run(learner, rule, sample, **options, mesh=mesh())
    compiled = jax.jit(lambda state: run(state, 5)).lower(state).compile()
    many, many_metrics = compiled(state)
    assert collectives(compiled.as_text()) == ["all-reduce"]
    assert_close((many.params, many_metrics), (one.params, metrics), rtol=3e-6, atol=1e-6)
    assert difference(one.params, state.params) > 1e-4


def test_a_step_places_what_it_is_given():
    (learner, sample), rule = problem("reptile"), optax.sgd(0.01)
    state, episodes = start("reptile", rule), episodes_of(sample)
    one, _ = jmeta.make_step(learner, rule)(state, episodes)
    many, _ = jmeta.make_step(learner, rule, mesh=mesh(2))(state, jax.tree.map(np.asarray, episodes))
    assert_close(many.params, one.params)
    assert len(jax.tree.leaves(many.params)[0].sharding.device_set) == 2


@pytest.mark.parametrize("sample", [FEW_SHOT, SINE], ids=["few_shot", "sinusoid"])
def test_devices_draw_the_episodes_that_one_draws(sample):
    keys = jax.random.split(jax.random.key(5), TASKS)
    drawn = jax.jit(lambda sample, keys: sharding.draw(sample, keys, mesh()))(sample, keys)
    alone = jax.jit(jax.vmap(lambda key: sample(key)))(keys)
    for a, b in zip(jax.tree.leaves(drawn), jax.tree.leaves(alone), strict=True):
        assert len({shard.index[0].start for shard in a.addressable_shards}) == 4
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)
    assert len(np.unique(np.asarray(drawn.support.x).reshape(TASKS, -1), axis=0)) == TASKS


def test_sam_climbs_on_all_devices():
    """Its second gradient, of the same tasks at other parameters."""
    learner, sample = problem("maml")
    climb = optax.stateless(lambda grads, _: jax.tree.map(lambda g: -0.01 * g, grads))
    rule = optax.contrib.sam(optax.sgd(0.01), climb, opaque_mode=True)
    state, episodes = start("maml", rule), episodes_of(sample)
    with jax.numpy_dtype_promotion("standard"):
        one, _ = jmeta.make_step(learner, rule)(state, episodes)
        many, _ = jmeta.make_step(learner, rule, mesh=mesh())(state, episodes)
    assert_close(many.params, one.params, rtol=1e-6, atol=1e-6)


def test_sizes_that_do_not_divide_are_refused_before_anything_compiles():
    def untraceable(*_):
        raise AssertionError("traced")

    learner, rule = problem("maml")[0]._replace(loss=untraceable), optax.sgd(0.1)
    options = {"meta_batch_size": 10, "mesh": mesh()}
    for call in (
        lambda: jmeta.make_run(learner, rule, SINE, **options),
        lambda: jmeta.make_step(learner, rule, mesh=mesh())(start("maml", rule), episodes_of(SINE, 10)),
    ):
        with pytest.raises(ValueError, match="4 devices must divide the tasks of a meta-batch, got 10 tasks"):
            call()
    for chunk_size in (0, 3, 4, 8):
        message = f"chunk_size must divide the 2 tasks of each device, got {chunk_size}"
        with pytest.raises(ValueError, match=message):
            jmeta.make_run(learner, rule, SINE, meta_batch_size=8, chunk_size=chunk_size, mesh=mesh())
        with pytest.raises(ValueError, match=message):
            jmeta.make_step(learner, rule, chunk_size=chunk_size, mesh=mesh())(start("maml", rule), episodes_of(SINE))


def test_meshes_of_another_form_are_refused():
    learner, rule = problem("maml")[0], optax.sgd(0.1)
    explicit = jax.make_mesh((4,), ("task",), axis_types=(AxisType.Explicit,))
    two = jax.make_mesh((2, 2), ("task", "model"), axis_types=(AxisType.Auto,) * 2)
    for other in (explicit, two):
        with pytest.raises(ValueError, match=r"mesh must have one axis, of type Auto, got \(task "):
            jmeta.make_step(learner, rule, mesh=other)
        with pytest.raises(ValueError, match=r"make it by jmeta.sharding.task_mesh\(\)"):
            jmeta.make_run(learner, rule, SINE, meta_batch_size=4, mesh=other)
    with pytest.raises(ValueError, match="needs a device or more, got none"):
        jmeta.sharding.task_mesh([])


def test_arrays_are_placed_once():
    placed = sharding.replicate({"a": jnp.ones(3), "key": jax.random.key(0)}, mesh())
    assert all(leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(placed))
    assert sharding.replicate(placed, mesh())["a"] is placed["a"]
    own = sharding.local(placed)
    assert all(len(leaf.sharding.device_set) == 1 for leaf in jax.tree.leaves(own))
    apart = sharding.spread(jnp.arange(8), mesh())
    assert apart.sharding.is_equivalent_to(NamedSharding(mesh(), PartitionSpec("task")), 1)
    np.testing.assert_array_equal(sharding.by_device(apart, mesh()), np.arange(8).reshape(4, 2))


def test_one_program_runs_any_number_of_steps_on_a_mesh():
    """So a run that is cut into pieces has the bits of the whole."""
    learner, rule = problem("maml")[0], optax.sgd(0.001)
    traces = []

    def counted(key):
        traces.append(1)
        return SINE(key)

    run = jmeta.make_run(learner, rule, counted, meta_batch_size=4, mesh=mesh())
    whole, _ = run(start("maml", rule), 5)
    first, state = len(traces), start("maml", rule)
    for steps in (1, 4):
        state, _ = run(state, steps)
    assert len(traces) == first and int(state.step) == 5
    chex.assert_trees_all_equal(state.params, whole.params)
