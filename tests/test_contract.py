"""The contract: every algorithm x every property."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from algorithms_table import (
    ALGORITHMS,
    assert_close,
    conv_net,
    difference,
    largest,
    mlp_net,
    random_episode,
    relaxed,
    stack,
)

import jmeta
from jmeta import losses, nets

NETS = {
    "none": mlp_net(3, (8,)),
    "batch": conv_net(3, nets.BatchNorm, (4,)),
    "support": conv_net(3, nets.SupportNorm, (4,)),
}
WIDE = {
    "batch": conv_net(5, nets.BatchNorm, (4,)),
    "support": conv_net(5, nets.SupportNorm, (4,)),
}
EPISODE = random_episode(0)


each = pytest.mark.parametrize("name", ALGORITHMS)


@functools.cache
def learner(name, norm="none"):
    return ALGORITHMS[name].make(NETS[norm], losses.cross_entropy, 0.3, 2)


@functools.cache
def params(name, norm="none"):
    drawn = jax.jit(learner(name, norm).init)(jax.random.key(1), EPISODE.support.x)
    # Off the symmetric start, where every bias is zero.
    leaves, treedef = jax.tree.flatten(drawn)
    keys = jax.random.split(jax.random.key(2), len(leaves))
    moved = [p + 0.05 * jax.random.normal(k, p.shape) for k, p in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(treedef, moved)


@functools.cache
def gradient(name, norm="none"):
    return jax.jit(jax.value_and_grad(learner(name, norm).loss, has_aux=True))


@functools.cache
def logits(name, norm="none"):
    return jax.jit(
        lambda params, support, x: learner(name, norm).predict(learner(name, norm).adapt(params, support), x)
    )


@pytest.mark.parametrize(("name", "norm"), [(name, norm) for name in ALGORITHMS for norm in ("none", "batch")])
def test_gradient_has_the_structure_of_the_parameters_and_is_finite(name, norm):
    (value, metrics), grads = gradient(name, norm)(params(name, norm), EPISODE)
    assert value.shape == () and np.isfinite(value)
    assert metrics.loss.shape == () and metrics.accuracy.shape == () and 0 <= metrics.accuracy <= 1
    assert jax.tree.structure(grads) == jax.tree.structure(params(name, norm))
    for grad, param in zip(jax.tree.leaves(grads), jax.tree.leaves(params(name, norm)), strict=True):
        assert (grad.shape, grad.dtype) == (param.shape, param.dtype)
        assert jnp.all(jnp.isfinite(grad))
    assert largest(grads) > 1e-4


@each
def test_float32_stays_float32(name):
    value, metrics = jax.eval_shape(learner(name).loss, params(name), EPISODE)
    adapted = jax.eval_shape(learner(name).adapt, params(name), EPISODE.support)
    out = jax.eval_shape(logits(name), params(name), EPISODE.support, EPISODE.query.x)
    dtypes = {leaf.dtype for leaf in jax.tree.leaves((params(name), value, metrics, adapted, out))}
    assert dtypes == {jnp.dtype("float32")}
    assert out.shape == EPISODE.query.y.shape


@pytest.mark.parametrize("name", [name for name, row in ALGORITHMS.items() if row.own_loss])
def test_loss_is_the_loss_of_its_own_predictions(name):
    value, metrics = gradient(name)(params(name), EPISODE)[0]
    out = np.asarray(logits(name)(params(name), EPISODE.support, EPISODE.query.x), np.float64)
    y = np.asarray(EPISODE.query.y)
    expected = np.mean(np.log(np.exp(out).sum(-1)) - (out * y).sum(-1))
    np.testing.assert_allclose([value, metrics.loss], expected, rtol=1e-5)
    np.testing.assert_allclose(metrics.accuracy, np.mean(out.argmax(-1) == y.argmax(-1)), rtol=1e-6)


@each
def test_jit_equals_eager(name):
    (value, metrics), grads = jax.value_and_grad(learner(name).loss, has_aux=True)(params(name), EPISODE)
    (compiled, compiled_metrics), compiled_grads = gradient(name)(params(name), EPISODE)
    assert_close((value, metrics, grads), (compiled, compiled_metrics, compiled_grads), rtol=1e-4, atol=2e-6)


@each
def test_vmap_equals_loop(name):
    episodes = [random_episode(seed) for seed in range(3)]
    together = jax.jit(jax.vmap(jax.value_and_grad(learner(name).loss, has_aux=True), in_axes=(None, 0)))
    one_by_one = stack([gradient(name)(params(name), episode) for episode in episodes])
    assert_close(together(params(name), stack(episodes)), one_by_one, rtol=1e-4, atol=2e-6)


@each
def test_a_second_call_does_not_retrace(name):
    traces = []

    def counted(params, episode):
        traces.append(1)
        return learner(name).loss(params, episode)

    optimizer = relaxed(optax.adam(1e-3))
    step = jmeta.make_step(learner(name)._replace(loss=counted), optimizer)
    state = jmeta.init_state(learner(name), optimizer, jax.random.key(0), EPISODE.support.x)
    state, _ = step(state, stack([EPISODE, random_episode(1)]))
    first = len(traces)
    for seed in range(3):
        state, _ = step(state, stack([random_episode(seed), random_episode(seed + 1)]))
    assert first >= 1
    assert len(traces) == first
    assert int(state.step) == 4


@each
@pytest.mark.parametrize("norm", ["none", "batch", "support"])
def test_order_of_the_support_does_not_matter(name, norm):
    order = np.random.default_rng(0).permutation(len(EPISODE.support.x))
    shuffled = jax.tree.map(lambda a: a[order], EPISODE.support)
    straight = logits(name, norm)(params(name, norm), EPISODE.support, EPISODE.query.x)
    crossed = logits(name, norm)(params(name, norm), shuffled, EPISODE.query.x)
    if ALGORITHMS[name].ordered:
        assert difference(straight, crossed) > 1e-3
    else:
        np.testing.assert_allclose(straight, crossed, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [name for name, row in ALGORITHMS.items() if row.equivariant])
@pytest.mark.parametrize("norm", ["none", "batch"])
def test_permuting_labels_permutes_logits(name, norm):
    order = jnp.array([2, 0, 1])

    def permuted(path, leaf):
        # What has an entry for each class, and not a rate for each inner step.
        return leaf[..., order] if "head" in jax.tree_util.keystr(path) and leaf.shape[-1] == 3 else leaf

    support = EPISODE.support._replace(y=EPISODE.support.y[:, order])
    turned = jax.tree_util.tree_map_with_path(permuted, params(name, norm))
    straight = logits(name, norm)(params(name, norm), EPISODE.support, EPISODE.query.x)
    np.testing.assert_allclose(
        logits(name, norm)(turned, support, EPISODE.query.x), straight[:, order], rtol=1e-4, atol=1e-5
    )
    assert difference(straight, straight[:, order]) > 1e-2


def padded(episode, junk, way, shot):
    """A 3-way episode with two examples a class in the shape of a larger one, whose other places hold junk."""

    def batch(real, junk):
        n = len(real.x) // 3
        rows = jnp.array([i * way + k for i in range(n) for k in range(3)])
        x = (10 * junk.x).at[rows].set(real.x)
        y = junk.y.at[rows].set(jnp.pad(real.y, ((0, 0), (0, way - 3))))
        weight = jnp.zeros(len(x)).at[rows].set(1.0)
        return jmeta.Batch(x, y, weight, (jnp.arange(way) < 3).astype(jnp.float32))

    assert junk.support.y.shape == (way * shot, way)
    return jmeta.Episode(batch(episode.support, junk.support), batch(episode.query, junk.query))


def first_classes(tree):
    """Parameters of a learner of more classes, cut to three, and what was cut off."""

    def cut(path, leaf):
        return leaf[..., :3] if "head" in jax.tree_util.keystr(path) else leaf

    def rest(path, leaf):
        return leaf[..., 3:] if "head" in jax.tree_util.keystr(path) else jnp.zeros(0)

    return jax.tree_util.tree_map_with_path(cut, tree), jax.tree_util.tree_map_with_path(rest, tree)


@pytest.mark.parametrize("norm", ["batch", "support"])
@each
def test_padding_of_examples_and_classes_changes_nothing(name, norm):
    way, shot = 5, 3
    wide = ALGORITHMS[name].make(WIDE[norm], losses.cross_entropy, 0.3, 2)
    start = jax.jit(wide.init)(jax.random.key(1), random_episode(0, way=way).support.x)
    junk = [random_episode(seed, way=way, shot=shot, query_shot=3) for seed in (8, 9)]
    one, other = (padded(EPISODE, j, way, shot) for j in junk)
    assert difference(one, other) > 1
    compiled = jax.jit(jax.value_and_grad(wide.loss, has_aux=True))
    (value, metrics), grads = compiled(start, one)
    assert_close(compiled(start, other), ((value, metrics), grads), rtol=1e-5, atol=1e-6)
    kept, rest = first_classes(grads)
    (expected, expected_metrics), expected_grads = gradient(name, norm)(first_classes(start)[0], EPISODE)
    assert_close((value, metrics, kept), (expected, expected_metrics, expected_grads), rtol=1e-5, atol=2e-6)
    assert all(jnp.all(leaf == 0) for leaf in jax.tree.leaves(rest))
    predict = jax.jit(lambda params, support, query: wide.predict(wide.adapt(params, support), query.x, query.weight))
    seen = predict(start, one.support, one.query)[one.query.weight > 0][:, :3]
    straight = logits(name, norm)(first_classes(start)[0], EPISODE.support, EPISODE.query.x)
    assert_close(seen, straight, rtol=1e-4, atol=1e-5)
    assert jmeta.evaluation.accuracy(jnp.zeros((15, way)).at[:, 4].set(1.0), one.query) == pytest.approx(1 / 3)


@each
def test_the_labels_of_the_support_are_used_and_those_of_the_query_are_not(name):
    other = EPISODE.support._replace(y=EPISODE.support.y[:, ::-1])
    straight = logits(name)(params(name), EPISODE.support, EPISODE.query.x)
    assert difference(straight, logits(name)(params(name), other, EPISODE.query.x)) > 1e-3
    # The loss does see the labels of the query, and it sees them after the prediction alone: it is linear in them.
    y, turned = EPISODE.query.y, EPISODE.query.y[:, ::-1]

    def loss(y):
        value, metrics = gradient(name)(params(name), EPISODE._replace(query=EPISODE.query._replace(y=y)))[0]
        return value if ALGORITHMS[name].own_loss else metrics.loss

    np.testing.assert_allclose(loss(0.5 * y + 0.5 * turned), 0.5 * loss(y) + 0.5 * loss(turned), rtol=1e-5)
    assert abs(float(loss(y) - loss(turned))) > 1e-4


@each
def test_init_depends_on_the_key_and_on_nothing_else(name):
    x = EPISODE.support.x
    init = learner(name).init
    assert_close(init(jax.random.key(1), x), init(jax.random.key(1), x + 1), rtol=0, atol=0)
    assert difference(init(jax.random.key(1), x), init(jax.random.key(2), x)) > 1e-2


@pytest.mark.parametrize(("name", "call"), [(name, call) for name, row in ALGORITHMS.items() for call in row.refuses])
def test_hyper_parameters_out_of_range_are_refused(name, call):
    with pytest.raises(ValueError, match=r"must be .*, got "):
        call(mlp_net(3))


@pytest.mark.parametrize("name", [name for name, row in ALGORITHMS.items() if not row.any_way])
def test_outputs_that_do_not_match_the_labels_are_refused(name):
    wrong = ALGORITHMS[name].make(mlp_net(4), losses.cross_entropy, 0.1, 1)
    made = wrong.init(jax.random.key(0), EPISODE.support.x)
    with pytest.raises(ValueError, match=r"predicts \(\d, 4\) where the labels are \(\d, 3\)"):
        wrong.loss(made, EPISODE)


@pytest.mark.parametrize("name", [name for name, row in ALGORITHMS.items() if row.any_way])
def test_the_same_parameters_serve_any_number_of_classes(name):
    for way in (2, 5):
        episode = random_episode(4, way=way)
        out = logits(name)(params(name), episode.support, episode.query.x)
        assert out.shape == episode.query.y.shape
        assert jnp.isfinite(out).all()
        (value, metrics), grads = gradient(name)(params(name), episode)
        assert np.isfinite(value) and 0 <= metrics.accuracy <= 1
        assert 1e-4 < largest(grads) < np.inf
    support, query = random_episode(4, way=2).support, random_episode(4).query
    with pytest.raises(ValueError, match=r"predicts \(\d, 2\) where the labels are \(\d, 3\)"):
        learner(name).loss(params(name), jmeta.Episode(support, query))
