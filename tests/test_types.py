"""The learner that most algorithms are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmeta
from jmeta import losses


def nearest():
    """Scores by the distance to class means, with a learned scale and the number of queries as a term of the loss."""

    def adapt(scale, support):
        weight = support.weight[:, None] * support.y
        return scale, weight.T @ support.x / jnp.sum(weight, axis=0)[:, None]

    def predict(adapted, x, weight=None):
        scale, means = adapted
        real = jnp.ones(len(x)) if weight is None else weight
        return -scale * jnp.sum(jnp.square(x[:, None] - means[None]), axis=-1) + jnp.sum(real)

    def judge(prediction, query):
        value, metrics = losses.query_loss(prediction, query, losses.squared_error)
        return 3 * value, metrics

    return jmeta.episodic(lambda key, x: jnp.float32(x.shape[-1]), adapt, predict, judge)


def episode():
    rng = np.random.default_rng(0)

    def batch(weight):
        x = jnp.asarray(rng.normal(size=(4, 3)), jnp.float32)
        return jmeta.Batch(x, jnp.eye(2, dtype=jnp.float32)[jnp.array([0, 1, 0, 1])], jnp.array(weight, jnp.float32))

    return jmeta.Episode(batch([1, 1, 1, 0]), batch([1, 1, 0, 1]))


def test_it_is_trained_by_what_it_is_used_for():
    learner, (support, query) = nearest(), episode()
    params = learner.init(jax.random.key(0), support.x)
    assert params == 3
    prediction = learner.predict(learner.adapt(params, support), query.x, query.weight)
    expected = np.average(np.mean((prediction - query.y) ** 2, axis=1), weights=query.weight)
    value, metrics = learner.loss(params, episode())
    np.testing.assert_allclose([value, 3 * metrics.loss], 3 * expected, rtol=1e-6)


def test_the_queries_weights_reach_the_prediction():
    learner, (support, query) = nearest(), episode()
    fewer = query._replace(weight=query.weight.at[0].set(0))
    value, _ = learner.loss(jnp.float32(0), jmeta.Episode(support, fewer))
    assert value == pytest.approx(3 * ((2 - 1) ** 2 + 2**2) / 2)  # two real queries: the prediction of all is 2


def test_its_gradient_passes_through_adaptation():
    learner = nearest()
    through = jax.grad(lambda s: learner.loss(s, episode())[0])(jnp.float32(3))
    step = 1e-2
    ahead, behind = (learner.loss(jnp.float32(3 + s), episode())[0] for s in (step, -step))
    np.testing.assert_allclose(through, (ahead - behind) / (2 * step), rtol=1e-3)


def prototypical():
    return jmeta.prototypical(jmeta.nets.MLPEncoder((4,)))


def test_bytes_in_the_other_order_are_the_same_numbers():
    """Of a compiled program that takes the bytes of an array as they are, once it was called with others."""
    learner, native = prototypical(), jax.tree.map(np.asarray, episode())
    params = learner.init(jax.random.key(0), native.support.x)
    expected = learner.loss(params, native)[0]
    swapped = jax.tree.map(lambda a: a.astype(a.dtype.newbyteorder(">")), native)
    assert expected > 0.01
    np.testing.assert_array_equal(learner.loss(params, swapped)[0], expected)
    prediction = np.asarray(native.query.y).astype(">f4")
    assert jmeta.evaluation.accuracy(prediction, swapped.query) == 1


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, bool, int])
def test_weights_of_any_type_weigh_alike(dtype):
    """Of sums of weights in the weights' own type, which are infinite or rounded."""
    n = 10_000
    y = jnp.tile(jnp.eye(2), (n // 2, 1))
    prediction = jnp.where(jnp.arange(n)[:, None] % 10 == 0, 1 - y, y)
    weight = jnp.full(n, 1 if dtype is bool else 10).astype(dtype)
    for function in (losses.mean_loss, losses.accuracy):
        more = (losses.cross_entropy,) if function is losses.mean_loss else ()
        expected = function(prediction, jmeta.Batch(None, y), *more)
        got = function(prediction, jmeta.Batch(None, y, weight), *more)
        np.testing.assert_allclose(got, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"weight": jnp.ones(1)}, r"weight must have the shape \[4\] beside labels \[4, 2\], got \[1\]"),
        ({"weight": jnp.ones((4, 1))}, r"weight must have the shape \[4\]"),
        ({"classes": jnp.ones(1)}, r"classes must have the shape \[2\] beside labels \[4, 2\], got \[1\]"),
        ({"y": jnp.eye(2)[:1], "weight": None}, r"labels \[1, 2\] need 1 inputs \[N, ...\], got \[\[4, 3\]\]"),
        ({"y": jnp.ones((4, 2), complex)}, "labels must be one-hot"),
    ],
)
def test_parts_of_a_batch_that_do_not_fit_are_refused(change, says):
    """Of what is broadcast without a word: a loss that is summed, a label for all."""
    learner, given = prototypical(), episode()
    params = learner.init(jax.random.key(0), given.support.x)
    with pytest.raises(ValueError, match=says):
        learner.loss(params, given._replace(support=given.support._replace(**change)))
    if "classes" not in change:
        with pytest.raises(ValueError, match=says):
            learner.loss(params, given._replace(query=given.query._replace(**change)))


def test_no_examples_at_all_are_refused():
    """They were a division by zero somewhere inside, or a mean of nothing."""
    learner, (support, query) = nearest(), episode()
    none = jax.tree.map(lambda a: a[:0], support)
    adapted = learner.adapt(jnp.float32(1), support)
    for call in (
        lambda: learner.adapt(jnp.float32(1), none),
        lambda: learner.predict(adapted, none.x),
        lambda: learner.loss(jnp.float32(1), jmeta.Episode(none, query)),
        lambda: learner.loss(jnp.float32(1), jmeta.Episode(support, none)),
    ):
        with pytest.raises(ValueError, match="a set of examples has no rows: give one or more"):
            call()


def test_bytes_are_pictures():
    """As samplers have it: 0 to 1, in `init`, `adapt`, `predict` and `loss` alike."""
    learner, (support, _) = prototypical(), episode()
    x = np.random.default_rng(0).integers(0, 255, (4, 3)).astype(np.uint8)
    params = learner.init(jax.random.key(0), x)
    whole, parts = support._replace(x=x), support._replace(x=jnp.asarray(x / np.float32(255)))
    jax.tree.map(np.testing.assert_array_equal, params, learner.init(jax.random.key(0), parts.x))
    one, other = (learner.predict(learner.adapt(params, given), given.x) for given in (whole, parts))
    np.testing.assert_allclose(one, other, rtol=1e-6)
    values = [learner.loss(params, jmeta.Episode(given, given))[0] for given in (whole, parts)]
    np.testing.assert_allclose(*values, rtol=1e-6)
