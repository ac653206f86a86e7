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
EPISODE = jax.tree.map(np.asarray, random_episode(0))


# Every algorithm is run with the statistics of its batch, which takes the same weights through the same places as those
# of the support set do. With those, one that adapts all, one that adapts a head, one that compares: the rest is long.
WITH_SUPPORT_NORM = ("maml", "anil", "prototypical")
# Another's program with another rule, solver, distance or network inside: their pairings with what all share are long.
OTHER_PARTS = (
    *("fomaml", "imaml_neumann", "maml_plus_plus_multi_step", "reptile_batches"),
    *("matching_cosine", "matching_context", "relation_maps", "baseline_plus_plus"),
)


# OML on a gated encoder, prototypical networks that keep more, and a ridge that equals that of the whole stream: what
# differs is tested in tests/continual. Learners that predict by samples are MAML several times: see tests/bayes.
WHOLLY_LONG = ("anml", "class_means", "running_ridge", "bayesian_maml", "abml", "platipus", "meta_qda")


def row(name, *others, long=False):
    """One test of an algorithm."""
    marks = [pytest.mark.long] * (long or name in WHOLLY_LONG)
    if name == "relation_maps":  # whose gradient is wrong where XLA optimizes nothing
        marks.append(pytest.mark.optimized)
    return pytest.param(name, *others, marks=marks)


def only(kind, long=()):
    """Each algorithm that is of a kind."""
    names = [name for name in ALGORITHMS if getattr(ALGORITHMS[name], kind)]
    return pytest.mark.parametrize("name", [row(name, long=name in long) for name in names])


# One of each kind in what JAX promises of any pure function: through all, through a context, by products, by distances,
# by a system that is solved, by a network that reads examples, in order. The rest is long.
OF_EACH_KIND = ("maml", "cavia", "prototypical", "relation", "ridge", "neural_process", "oml")


def normed(*norms, noisy=True, batch=None):
    """Each algorithm with each norm; without those whose classes have noise of their own if it is told so.

    Those of `batch` are run with its statistics always; None is for all but those of other parts.
    """
    others = OTHER_PARTS if batch is None else set(ALGORITHMS) - set(batch)
    long = {"none": (), "batch": others, "support": set(ALGORITHMS) - set(WITH_SUPPORT_NORM)}
    names = [name for name in ALGORITHMS if noisy or not ALGORITHMS[name].noisy]
    pairs = [row(name, norm, long=name in long[norm]) for name in names for norm in norms]
    return pytest.mark.parametrize(("name", "norm"), pairs)


each = pytest.mark.parametrize("name", [row(name) for name in ALGORITHMS])
each_kind = pytest.mark.parametrize("name", [row(name, long=name not in OF_EACH_KIND) for name in ALGORITHMS])


@functools.cache
def learner(name, norm="none", wide=False):
    return ALGORITHMS[name].make((WIDE if wide else NETS)[norm], losses.cross_entropy, 0.3, 2)


@functools.cache
def init(name, norm="none", wide=False):
    return jax.jit(learner(name, norm, wide).init)


def moved(tree):
    """Off the symmetric start, where every bias is zero."""
    rng = np.random.default_rng(2)
    return jax.tree.map(lambda p: np.asarray(p + 0.05 * rng.normal(size=p.shape), p.dtype), jax.device_get(tree))


@functools.cache
def wide_params(name, norm):
    return moved(init(name, norm, True)(jax.random.key(1), random_episode(0, way=5).support.x))


@functools.cache
def params(name, norm="none"):
    if norm in WIDE:
        return first_classes(wide_params(name, norm))[0]
    return moved(init(name)(jax.random.key(1), EPISODE.support.x))


def learns(name):
    """Whether it has parameters at all."""
    return bool(jax.tree.leaves(params(name)))


def measures(learner, wide=False):
    """All that the properties are about, as one function."""

    def run(params, episode):
        (value, metrics), grads = jax.value_and_grad(learner.loss, has_aux=True)(params, episode)
        adapted, query = learner.adapt(params, episode.support), episode.query
        out = learner.predict(adapted, query.x, query.weight) if wide else learner.predict(adapted, query.x)
        return value, metrics, grads, out

    return run


@functools.cache
def compiled(name, norm, wide):
    return jax.jit(measures(learner(name, norm, wide), wide))


def measure(name, params, episode, norm="none", wide=False):
    """Loss, metrics, gradient and predictions; in float64 with a normalization, for padding to be exact."""
    run = compiled(name, norm, wide)
    if norm == "none":
        return jax.device_get(run(params, episode))
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):  # Flax's LayerNorm asks for float32 or more
        return jax.device_get(run(*jax.tree.map(lambda a: np.asarray(a, np.float64), (params, episode))))


def logits(name, params, support, norm="none"):
    return measure(name, params, EPISODE._replace(support=support), norm)[-1]


@normed("none", "batch", batch=WITH_SUPPORT_NORM)
def test_gradient_has_the_structure_of_the_parameters_and_is_finite(name, norm):
    value, metrics, grads, _ = measure(name, params(name, norm), EPISODE, norm)
    assert value.shape == () and np.isfinite(value)
    assert metrics.loss.shape == () and metrics.accuracy.shape == () and 0 <= metrics.accuracy <= 1
    assert jax.tree.structure(grads) == jax.tree.structure(params(name, norm))
    for grad, param in zip(jax.tree.leaves(grads), jax.tree.leaves(params(name, norm)), strict=True):
        assert grad.shape == param.shape
        assert np.all(np.isfinite(grad))
    assert largest(grads) > 1e-4 or not learns(name)


@normed("none", "batch", batch=WITH_SUPPORT_NORM)
def test_float32_stays_float32(name, norm):
    made = params(name, norm)
    adapted = jax.eval_shape(learner(name, norm).adapt, made, EPISODE.support)
    measured = jax.eval_shape(measures(learner(name, norm)), made, EPISODE)
    dtypes = {leaf.dtype for leaf in jax.tree.leaves((made, adapted, measured))}
    assert dtypes == {jnp.dtype("float32")}
    assert measured[-1].shape == EPISODE.query.y.shape


@only("own_loss")
def test_loss_is_the_loss_of_its_own_predictions(name):
    value, metrics, _, out = measure(name, params(name), EPISODE)
    out, y = np.asarray(out, np.float64), EPISODE.query.y
    expected = np.mean(np.log(np.exp(out).sum(-1)) - (out * y).sum(-1))
    np.testing.assert_allclose([value, metrics.loss], expected, rtol=1e-5)
    np.testing.assert_allclose(metrics.accuracy, np.mean(out.argmax(-1) == y.argmax(-1)), rtol=1e-6)


@each_kind
def test_jit_equals_eager(name):
    made, episode = jax.tree.map(jnp.asarray, (params(name), EPISODE))
    (value, metrics), grads = jax.value_and_grad(learner(name).loss, has_aux=True)(made, episode)
    assert_close((value, metrics, grads), measure(name, made, episode)[:3], rtol=1e-4, atol=2e-6)


@each_kind
def test_vmap_equals_loop(name):
    episodes = [random_episode(seed) for seed in range(3)]
    together = jax.jit(jax.vmap(jax.value_and_grad(learner(name).loss, has_aux=True), in_axes=(None, 0)))
    (value, metrics), grads = together(params(name), stacked(episodes))
    one_by_one = stacked([measure(name, params(name), episode)[:3] for episode in episodes])
    assert_close((value, metrics, grads), one_by_one, rtol=1e-4, atol=2e-6)


def counted_step(name):
    """An outer step, its start, and a list that grows each time that the loss is traced."""
    traces = []

    def counted(params, episode):
        traces.append(1)
        return learner(name).loss(params, episode)

    optimizer = relaxed(optax.adam(1e-3))
    step = jmeta.make_step(learner(name)._replace(loss=counted), optimizer)
    state = jmeta.init_state(learner(name)._replace(init=init(name)), optimizer, jax.random.key(0), EPISODE.support.x)
    return step, state, traces


def kinds(tree):
    """What JAX tells programs apart by."""
    return [(leaf.shape, leaf.dtype, leaf.weak_type) for leaf in map(jax.typeof, jax.tree.leaves(tree))]


@each
def test_a_second_call_does_not_retrace(name):
    """A step gives a state of the kind that it takes, so that its program is there for the next one."""
    step, state, traces = counted_step(name)
    episodes = stacked([EPISODE, random_episode(1)])
    after, _ = step.eval_shape(state, episodes)
    first = len(traces)
    assert kinds(state) == [(leaf.shape, leaf.dtype, leaf.weak_type) for leaf in jax.tree.leaves(after)]
    step.eval_shape(after, stacked([random_episode(1), random_episode(2)]))
    assert len(traces) == first >= 1


@pytest.mark.parametrize("name", ["maml", "prototypical"])
def test_several_steps_trace_once(name):
    step, state, traces = counted_step(name)
    state, _ = step(state, stacked([EPISODE, random_episode(1)]))
    first = len(traces)
    for seed in range(3):
        state, _ = step(state, stacked([random_episode(seed), random_episode(seed + 1)]))
    assert len(traces) == first >= 1
    assert int(state.step) == 4


@normed("none", "batch", "support")
def test_order_of_the_support_does_not_matter(name, norm):
    order = np.random.default_rng(0).permutation(len(EPISODE.support.x))
    shuffled = jax.tree.map(lambda a: a[order], EPISODE.support)
    straight = logits(name, params(name, norm), EPISODE.support, norm)
    crossed = logits(name, params(name, norm), shuffled, norm)
    if ALGORITHMS[name].ordered:
        assert difference(straight, crossed) > 1e-3
    else:
        np.testing.assert_allclose(straight, crossed, rtol=1e-4, atol=1e-5)


@normed("none", "batch", noisy=False)
def test_permuting_labels_permutes_logits(name, norm):
    order = np.array([2, 0, 1])

    def permuted(path, leaf):
        # What has an entry for each class, and not a rate for each inner step.
        return leaf[..., order] if "head" in jax.tree_util.keystr(path) and leaf.shape[-1] == 3 else leaf

    support = EPISODE.support._replace(y=EPISODE.support.y[:, order])
    turned = jax.tree_util.tree_map_with_path(permuted, params(name, norm))
    straight = logits(name, params(name, norm), EPISODE.support, norm)
    np.testing.assert_allclose(logits(name, turned, support, norm), straight[:, order], rtol=1e-4, atol=1e-5)
    assert difference(straight, straight[:, order]) > 1e-2


def stacked(trees):
    """One tree of NumPy arrays with a leading axis, without a program for each shape."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


def padded(episode, junk, way, shot):
    """A 3-way episode with two examples a class in the shape of a larger one, whose other places hold junk."""

    def batch(real, junk):
        n = len(real.x) // 3
        rows = [i * way + k for i in range(n) for k in range(3)]
        x, y, weight = 10 * np.asarray(junk.x), np.array(junk.y), np.zeros(len(junk.x), np.float32)
        x[rows], y[rows], weight[rows] = real.x, np.pad(real.y, ((0, 0), (0, way - 3))), 1
        return jmeta.Batch(x, y, weight, (np.arange(way) < 3).astype(np.float32))

    assert junk.support.y.shape == (way * shot, way)
    return jmeta.Episode(batch(episode.support, junk.support), batch(episode.query, junk.query))


def first_classes(tree):
    """Parameters of a learner of more classes, cut to three, and what was cut off."""

    def cut(path, leaf):
        return leaf[..., :3] if "head" in jax.tree_util.keystr(path) else leaf

    def rest(path, leaf):
        return leaf[..., 3:] if "head" in jax.tree_util.keystr(path) else np.zeros(0)

    return jax.tree_util.tree_map_with_path(cut, tree), jax.tree_util.tree_map_with_path(rest, tree)


def padded_episodes():
    """The same episode in the shape of a larger one, whose padding holds numbers in one, and none in the other."""
    junk = jax.tree.map(np.asarray, random_episode(8, way=5, shot=3, query_shot=3))
    none = jax.tree.map(lambda a: np.where(np.arange(a.size).reshape(a.shape) % 3, np.nan, np.inf), junk)
    return [padded(EPISODE, j, 5, 3) for j in (junk, none)]


@normed("batch", "support", noisy=False)
def test_padding_of_examples_and_classes_changes_nothing(name, norm):
    """Wrong code: 0 times NaN is NaN, in a weighted sum and in the derivative of a `where`."""
    start = wide_params(name, norm)
    one, other = padded_episodes()
    assert not np.isfinite(other.support.x).all() and not np.isfinite(other.query.y).all()
    real = one.query.weight > 0
    *measured, out = measure(name, start, one, norm, wide=True)
    *with_other_junk, other_out = measure(name, start, other, norm, wide=True)
    value, metrics, grads = measured
    kept, rest = first_classes(grads)
    *expected, straight = measure(name, params(name, norm), EPISODE, norm)
    close = functools.partial(assert_close, rtol=1e-6, atol=1e-9)
    close(with_other_junk, measured)
    close([value, metrics, kept], expected)
    assert all(np.all(leaf == 0) for leaf in jax.tree.leaves(rest))
    close(out[real][:, :3], straight)
    close(other_out[real][:, :3], straight)


def test_a_prediction_of_a_padded_class_is_not_a_hit():
    prediction = jnp.zeros((15, 5)).at[:, 4].set(1.0)
    assert jmeta.evaluation.accuracy(prediction, padded_episodes()[0].query) == pytest.approx(1 / 3)


@each
def test_the_labels_of_the_support_are_used_and_those_of_the_query_are_not(name):
    other = EPISODE.support._replace(y=EPISODE.support.y[:, ::-1])
    straight = logits(name, params(name), EPISODE.support)
    assert difference(straight, logits(name, params(name), other)) > 1e-3
    # The loss does see the labels of the query, and it sees them after the prediction alone: it is linear in them.
    y, turned = EPISODE.query.y, EPISODE.query.y[:, ::-1]

    def loss(y):
        value, metrics, *_ = measure(name, params(name), EPISODE._replace(query=EPISODE.query._replace(y=y)))
        return value if ALGORITHMS[name].own_loss else metrics.loss

    np.testing.assert_allclose(loss(0.5 * y + 0.5 * turned), 0.5 * loss(y) + 0.5 * loss(turned), rtol=1e-5)
    assert abs(float(loss(y) - loss(turned))) > 1e-4


@each
def test_init_depends_on_the_key_and_on_nothing_else(name):
    x = EPISODE.support.x
    one, same, other = (init(name)(jax.random.key(seed), inputs) for seed, inputs in ((1, x), (1, x + 1), (2, x)))
    assert_close(one, same, rtol=0, atol=0)
    assert difference(one, other) > 1e-2 or not learns(name)


@pytest.mark.parametrize(("name", "call"), [(name, call) for name in ALGORITHMS for call in ALGORITHMS[name].refuses])
def test_hyper_parameters_out_of_range_are_refused(name, call):
    with pytest.raises(ValueError, match=r"must be .*, got "):
        call(mlp_net(3))


@pytest.mark.parametrize("name", [name for name in ALGORITHMS if not ALGORITHMS[name].any_way])
def test_outputs_that_do_not_match_the_labels_are_refused(name):
    wrong = ALGORITHMS[name].make(mlp_net(4), losses.cross_entropy, 0.1, 1)
    made = jax.eval_shape(wrong.init, jax.random.key(0), EPISODE.support.x)
    with pytest.raises(ValueError, match=r"predicts \(\d, 4\) where the labels are \(\d, 3\)"):
        jax.eval_shape(wrong.loss, made, EPISODE)


@only("any_way", long=(*OTHER_PARTS, "attention", "proto_maml", "siamese"))  # like others, and padding has more classes
def test_the_same_parameters_serve_any_number_of_classes(name):
    episode = random_episode(4, way=5)
    value, metrics, grads, out = measure(name, params(name), episode)
    assert out.shape == episode.query.y.shape
    assert np.isfinite(out).all()
    assert np.isfinite(value) and 0 <= metrics.accuracy <= 1
    assert 1e-4 < largest(grads) < np.inf or not learns(name)
    support, query = random_episode(4, way=2).support, random_episode(4).query
    with pytest.raises(ValueError, match=r"predicts \(\d, 2\) where the labels are \(\d, 3\)"):
        jax.eval_shape(learner(name).loss, params(name), jmeta.Episode(support, query))


@functools.cache
def varied_episodes():
    """A thousand episodes of varied way and shot, with a leading axis."""
    images = np.random.default_rng(0).normal(size=(12, 14, 2, 2, 1)).astype(np.float32)
    sample = jmeta.varied_sampler(images, max_way=6, max_support=30, max_query_shot=3, min_way=2)
    return jax.device_get(jax.jit(jax.vmap(sample))(jax.random.split(jax.random.key(0), 1000)))


def test_the_thousand_episodes_vary_in_way_shot_and_size():
    support, query = varied_episodes()
    ways, sizes = support.classes.sum(-1), support.weight.sum(-1)
    shots = (support.weight[:, :, None] * support.y).sum(1)
    assert set(ways) == {2, 3, 4, 5, 6}
    assert len(set(sizes)) >= 15 and sizes.min() <= 4 and sizes.max() >= 25
    assert len({tuple(sorted(shot)) for shot in shots}) > 100
    assert len(set(query.weight.sum(-1))) >= 4


VARIED = ("maml",)  # that a padding changes nothing, all have shown
VARIED_TOO = (
    "neural_process",
    *("anil", "imaml", "meta_sgd", "cavia", "reptile", "matching", "proto_maml", "prototypical"),
    *("relation", "siamese", "ridge", "baseline", "attention"),
)


@pytest.mark.parametrize("name", [*VARIED, *(pytest.param(name, marks=pytest.mark.long) for name in VARIED_TOO)])
def test_a_thousand_varied_episodes_go_through_one_program(name):
    traces = []
    varied = ALGORITHMS[name].make(mlp_net(6, (8,)), losses.cross_entropy, 0.1, 2)

    def counted(params, episode):
        traces.append(1)
        return measures(varied, wide=True)(params, episode)

    run = jax.jit(counted)
    episodes = varied_episodes()
    first, *others = [jax.tree.map(lambda a, i=i: a[i], episodes) for i in range(1000)]
    made = jax.device_put(moved(jax.jit(varied.init)(jax.random.key(1), first.support.x)))
    results = [run(made, episode) for episode in (first, *others)]
    assert len(traces) == 1
    value, metrics, grads, out = stacked(jax.device_get(results))
    assert np.isfinite(value).all() and np.isfinite(metrics.loss).all() and np.isfinite(largest(grads))
    assert metrics.accuracy.min() >= 0 and metrics.accuracy.max() <= 1
    real = (episodes.query.weight[:, :, None] * episodes.query.classes[:, None]) > 0
    assert out.shape == real.shape and np.isfinite(out[real]).all()
    assert len(set(value.tolist())) > 900
