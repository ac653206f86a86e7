"""The outer loop."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from algorithms_table import ALGORITHMS, assert_close, difference, mlp_net, random_episode, relaxed, stack
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import jmeta
from jmeta import loop, losses, training

NET = mlp_net(1, (8,))
SAMPLE = jmeta.sinusoid_sampler(shot=5, query_shot=5)
X = jnp.zeros((5, 1))
EPISODES = jax.vmap(SAMPLE)(jax.random.split(jax.random.key(9), 8))


@functools.cache
def learner(name="fomaml"):
    return ALGORITHMS[name].make(NET, losses.squared_error, 0.05, 1)


def optimizer():
    return relaxed(optax.adam(0.01))


def start(seed=0, name="fomaml"):
    return jmeta.init_state(learner(name), optimizer(), jax.random.key(seed), X)


def same(tree, other):
    """Bit for bit."""
    assert jax.tree.structure(tree) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(tree), jax.tree.leaves(other), strict=True):
        if jax.dtypes.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_meta_loss_is_the_mean_of_the_losses():
    params = start().params
    value, metrics = jmeta.meta_loss(learner(), params, EPISODES)
    one = jax.jit(learner().loss)
    each = [one(params, jax.tree.map(lambda a, t=t: a[t], EPISODES)) for t in range(8)]
    np.testing.assert_allclose(value, np.mean([v for v, _ in each]), rtol=1e-5)
    np.testing.assert_allclose(metrics.loss, np.mean([m.loss for _, m in each]), rtol=1e-5)
    assert metrics.accuracy is None
    assert value.shape == metrics.loss.shape == ()


def test_meta_loss_averages_the_accuracy():
    classifier = ALGORITHMS["fomaml"].make(mlp_net(3, (8,)), losses.cross_entropy, 0.3, 1)
    episodes = [random_episode(seed) for seed in range(3)]
    params = classifier.init(jax.random.key(0), episodes[0].support.x)
    one = jax.jit(classifier.loss)
    expected = np.mean([one(params, episode)[1].accuracy for episode in episodes])
    got = jmeta.meta_loss(classifier, params, stack(episodes))[1].accuracy
    assert 0 < expected < 1
    np.testing.assert_allclose(got, expected, rtol=1e-6)


@pytest.fixture(scope="module")
def value_and_mean():
    return jax.jit(jax.value_and_grad(lambda p: jmeta.meta_loss(learner(), p, EPISODES)[0]))(start().params)


@pytest.mark.parametrize("chunk_size", [1, 2, 4, 8])
def test_any_chunk_size_gives_the_same_gradient(chunk_size, value_and_mean):
    params = start().params
    value, mean = value_and_mean
    run = jax.jit(lambda p, e: jmeta.training.meta_gradient(learner(), p, e, chunk_size=chunk_size))
    grads, metrics = run(params, EPISODES)
    assert_close(grads, mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(metrics.loss, value, rtol=1e-6)


@pytest.mark.parametrize("chunk_size", [0, -1, 3, 16])
def test_chunks_that_do_not_divide_the_tasks_are_refused(chunk_size):
    message = f"chunk_size must divide the 8 tasks of a meta-batch, got {chunk_size}"
    with pytest.raises(ValueError, match=message):
        jmeta.training.meta_gradient(learner(), start().params, EPISODES, chunk_size=chunk_size)
    with pytest.raises(ValueError, match=message):
        jmeta.make_run(learner(), optimizer(), SAMPLE, meta_batch_size=8, chunk_size=chunk_size)


def test_images_run_one_task_at_a_time_on_a_cpu_and_vectors_together():
    """The default is the program of that chunk size, to the letter."""
    classifier = ALGORITHMS["fomaml"].make(mlp_net(3, (8,)), losses.cross_entropy, 0.3, 1)
    images = stack([random_episode(seed) for seed in range(4)])
    vectors = jax.tree.map(lambda a: a[:4], EPISODES)
    for made, episodes, expected in ((classifier, images, 1), (learner(), vectors, 4)):
        params = made.init(jax.random.key(0), episodes.support.x[0])
        program = lambda size, made=made, params=params, episodes=episodes: str(
            jax.make_jaxpr(lambda p: jmeta.training.meta_gradient(made, p, episodes, chunk_size=size)[0])(params)
        )
        assert training.good_chunk_size(episodes) == expected
        assert program(None) == program(expected) != program(2)


@pytest.mark.parametrize("size", [0, -4])
def test_meta_batches_without_tasks_are_refused(size):
    with pytest.raises(ValueError, match=f"meta_batch_size must be 1 or more, got {size}"):
        jmeta.make_run(learner(), optimizer(), SAMPLE, meta_batch_size=size)


def test_a_step_moves_against_the_meta_gradient_and_counts():
    rule = optax.sgd(0.1)
    state = jmeta.init_state(learner(), rule, jax.random.key(0), X)
    after, metrics = jmeta.make_step(learner(), rule)(state, EPISODES)
    grads, expected = jmeta.training.meta_gradient(learner(), state.params, EPISODES)
    assert_close(after.params, jax.tree.map(lambda p, g: p - 0.1 * g, state.params, grads))
    assert_close(metrics, expected)
    assert (int(state.step), int(after.step)) == (0, 1)
    same(after.key, state.key)


def test_the_state_is_one_pytree_of_arrays():
    state = start()
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(state))
    same(state, start())
    assert difference(state.params, start(1).params) > 1e-2
    assert not np.array_equal(jax.random.key_data(state.key), jax.random.key_data(start(1).key))


@functools.cache
def run(chunk_size=None):
    return jmeta.make_run(learner(), optimizer(), SAMPLE, meta_batch_size=4, chunk_size=chunk_size)


def test_a_run_is_its_steps():
    """With the episodes of step n drawn from `fold_in(key, n)`."""
    whole, metrics = run()(start(), 5)
    step, state, values = jmeta.make_step(learner(), optimizer()), start(), []
    for n in range(5):
        keys = jax.random.split(jax.random.fold_in(state.key, n), 4)
        state, one = step(state, jax.vmap(SAMPLE)(keys))
        values.append(one.loss)
    assert_close((whole.params, whole.opt_state), (state.params, state.opt_state), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(metrics.loss, values, rtol=1e-5)
    assert int(whole.step) == int(state.step) == 5
    assert len(set(np.asarray(metrics.loss).tolist())) == 5


@pytest.mark.parametrize("pieces", [(2, 3), (1, 1, 3), (4, 0, 1)])
@pytest.mark.parametrize("longest", [2, 1024])
def test_a_run_cut_into_pieces_is_the_whole_run_bit_for_bit(pieces, longest, monkeypatch):
    whole, metrics = run()(start(), 5)
    monkeypatch.setattr(loop, "PIECE", longest)
    state, parts = start(), []
    for n in pieces:
        state, part = run()(state, n)
        parts.append(part.loss)
    same(state, whole)
    np.testing.assert_array_equal(np.concatenate(parts), metrics.loss)


def test_a_run_in_chunks_is_the_whole_run():
    whole, chunks = run()(start(), 5), run(2)(start(), 5)
    assert_close((whole[0].params, whole[1]), (chunks[0].params, chunks[1]), rtol=1e-4, atol=1e-5)


def test_a_run_takes_samplers_that_are_plain_functions():
    plain = jmeta.make_run(learner(), optimizer(), lambda key: SAMPLE(key), meta_batch_size=4)
    same(plain(start(), 2)[0], run()(start(), 2)[0])


def test_a_whole_run_vmaps_over_seeds():
    keys = jax.random.split(jax.random.key(3), 3)

    def train(key):
        return run()(jmeta.init_state(learner(), optimizer(), key, X), 4)

    together, metrics = jax.jit(jax.vmap(train))(keys)
    for i, key in enumerate(keys):
        state, one = train(key)
        assert_close(jax.tree.map(lambda a, i=i: a[i], together.params), state.params, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(metrics.loss[i], one.loss, rtol=1e-4)
    assert len(set(np.asarray(metrics.loss[:, -1]).tolist())) == 3


def test_a_whole_run_vmaps_over_inner_rates():
    def train(rate):
        swept = jmeta.meta_sgd(NET.model, inner_lr=rate, inner_steps=1, loss_fn=losses.squared_error)
        rule = optax.sgd(0.001)
        state = jmeta.init_state(swept, rule, jax.random.key(0), X)
        return jmeta.make_run(swept, rule, SAMPLE, meta_batch_size=2)(state, 3)[1].loss

    rates, alone = jnp.array([0.001, 0.01]), jax.jit(train)
    together = jax.jit(jax.vmap(train))(rates)
    np.testing.assert_allclose(together, jnp.stack([alone(rate) for rate in rates]), rtol=1e-5)
    assert abs(float(together[0, -1] - together[1, -1])) > 1e-3


@pytest.mark.parametrize(
    "name", ["maml", "reptile", *(pytest.param(name, marks=pytest.mark.long) for name in ("anil", "meta_sgd"))]
)
def test_four_devices_equal_one(name):
    assert jax.device_count() == 4
    mesh = jax.make_mesh((4,), ("task",), axis_types=(AxisType.Auto,))
    rule = optax.sgd(0.1)
    state = jmeta.init_state(learner(name), rule, jax.random.key(0), X)
    step = jmeta.make_step(learner(name), rule)
    single, metrics = step(state, EPISODES)
    spread = jax.device_put(EPISODES, NamedSharding(mesh, PartitionSpec("task")))
    everywhere = jax.device_put(state, NamedSharding(mesh, PartitionSpec()))
    many, many_metrics = step(everywhere, spread)
    assert len(spread.support.x.sharding.device_set) == 4
    assert spread.support.x.addressable_shards[0].data.shape == (2, 5, 1)
    assert all(len(leaf.sharding.device_set) == 4 for leaf in jax.tree.leaves(many.params))
    assert_close((many.params, many_metrics), (single.params, metrics), rtol=1e-5, atol=1e-6)
    assert difference(single.params, state.params) > 1e-3


def test_as_partial_keeps_a_partial():
    assert training.as_partial(SAMPLE) is SAMPLE
    wrapped = training.as_partial(lambda key: key)
    assert jax.tree.leaves(wrapped) == []
    assert wrapped(3) == 3


def test_the_images_of_a_sampler_are_not_compiled_in():
    """As arguments of the program they may be large, and another array of the same shape needs no new program."""
    images = jnp.arange(5 * 4 * 4, dtype=jnp.float32).reshape(5, 4, 2, 2, 1)
    sample = jmeta.few_shot_sampler(images, way=2, shot=1, query_shot=1)
    draw = jax.jit(chex.assert_max_traces(lambda sample, key: sample(key), n=1))
    draw(sample, jax.random.key(0))
    moved = jax.tree.map(lambda a: a + 1 if a.dtype == jnp.float32 else a, sample)  # not where a class begins
    assert difference(draw(moved, jax.random.key(0)).support.x, draw(sample, jax.random.key(0)).support.x) == 1.0


def rate_of_step(step):
    """FOMAML whose inner rate falls from step to step."""
    rate = 0.05 / (1 + step).astype(jnp.float32)
    return jmeta.maml(
        NET.model, inner_optimizer=optax.sgd(rate), inner_steps=1, first_order=True, loss_fn=losses.squared_error
    )


def test_a_learner_that_changes_with_the_step():
    state = jmeta.init_state(rate_of_step, optimizer(), jax.random.key(0), EPISODES.support.x[0])
    same(state, start())
    run = jmeta.make_run(rate_of_step, optimizer(), SAMPLE, meta_batch_size=4)
    got, _ = run(state, 3)
    for number in range(3):
        keys = jax.random.split(jax.random.fold_in(state.key, number), 4)
        now = rate_of_step(jnp.int32(number))
        state, _ = jmeta.make_step(now, optimizer())(state, jax.jit(jax.vmap(SAMPLE))(keys))
    assert difference(got.params, state.params) < 1e-6
    constant = jmeta.make_run(learner(), optimizer(), SAMPLE, meta_batch_size=4)
    assert difference(constant(start(), 3)[0].params, state.params) > 1e-4


def test_a_learner_that_changes_is_cut_into_pieces_like_any_other():
    run = jmeta.make_run(rate_of_step, optimizer(), SAMPLE, meta_batch_size=4)
    whole, _ = run(start(), 5)
    half, _ = run(start(), 2)
    same(run(half, 3)[0], whole)


def test_a_loss_without_metrics_is_told_what_it_lacks():
    """The most usual slip in a learner of one's own; unpacking would say that there are not enough values."""
    bare = jmeta.Learner(lambda key, x: jnp.zeros(2), lambda p, s: p, lambda p, x: x, lambda p, e: jnp.sum(p))
    episodes = jax.vmap(jmeta.sinusoid_sampler(shot=2, query_shot=2))(jax.random.split(jax.random.key(0), 3))
    with pytest.raises(TypeError, match=r"must return a number and Metrics, as jmeta\.losses\.query_loss does"):
        jmeta.meta_loss(bare, jnp.zeros(2), episodes)
