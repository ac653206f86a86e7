"""What comes in by the door of every learner, loss and metric: weights of 0, labels, kinds of numbers."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from algorithms_table import ALGORITHMS, conv_net, mlp_net
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import jmeta
from jmeta import Batch, Episode, evaluation, losses, nets, uncertainty
from jmeta.checks import NEVER
from jmeta.types import examples, filled

LOSSES = {
    "cross_entropy": losses.cross_entropy, "squared_error": losses.squared_error,
    "squared_score_error": losses.squared_score_error,
    "gaussian": lambda prediction, y: losses.gaussian(prediction, y, 0.1 * prediction),
}  # fmt: skip
METRICS = {
    "accuracy": evaluation.accuracy, "precision": evaluation.precision, "recall": evaluation.recall,
    "mean_squared_error": evaluation.mean_squared_error, "calibration": uncertainty.calibration,
}  # fmt: skip
ANY = st.sampled_from([np.nan, np.inf, -np.inf, 3e38, -1.0, 0.0])
N, WAY = 6, 3
LABELS = jnp.tile(jnp.eye(WAY), (2, 1))


@st.composite
def holed(draw):
    """Numbers `[N, 3]`, labels, and the same with anything in the rows of weight 0."""
    there = draw(arrays.arrays(bool, N))
    numbers = draw(arrays.arrays(np.float32, (N, WAY), elements=st.floats(-4, 4, width=32)))
    junk = draw(arrays.arrays(np.float32, (N, 2 * WAY), elements=ANY))
    hole = lambda a, junk: jnp.asarray(np.where(there[:, None], a, junk))
    return there, numbers, hole(numbers, junk[:, :WAY]), hole(LABELS, junk[:, WAY:])


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=20, deadline=None)
@given(holed())
def test_a_row_of_weight_0_is_in_no_loss_and_in_no_gradient(name, drawn):
    """Wrong code: a `where` on the result, behind which the derivative is 0 times NaN."""
    there, numbers, prediction, y = drawn
    weight = jnp.asarray(there, jnp.float32)
    loss = lambda p, y, weight: losses.mean_loss(p, Batch(p, y, weight), LOSSES[name])
    value, grad = jax.value_and_grad(loss)(prediction, y, weight)
    rows = np.flatnonzero(there)
    alone = loss(jnp.asarray(numbers[rows]), LABELS[rows], None) if len(rows) else 0.0
    np.testing.assert_allclose(value, alone, rtol=1e-5, atol=1e-6)
    chex.assert_tree_all_finite(grad)
    assert (grad[~there] == 0).all()


@pytest.mark.parametrize("name", METRICS)
@settings(max_examples=20, deadline=None)
@given(holed())
def test_a_row_of_weight_0_is_in_no_metric(name, drawn):
    there, numbers, prediction, y = drawn
    rows = np.flatnonzero(there)
    value = METRICS[name](prediction, Batch(prediction, y, jnp.asarray(there, jnp.float32)))
    chex.assert_tree_all_finite(value)
    if len(rows):
        alone = METRICS[name](jnp.asarray(numbers[rows]), Batch(jnp.asarray(numbers[rows]), LABELS[rows]))
        np.testing.assert_allclose(value, alone, rtol=1e-5, atol=1e-6)


def test_rows_that_are_not_there_are_copies_of_one_that_is():
    x, weight = jnp.array([[np.nan], [2.0], [np.inf], [3.0]]), jnp.array([0.0, 1.0, 0.0, 0.5])
    np.testing.assert_array_equal(filled(x, weight), [[2.0], [2.0], [2.0], [3.0]])
    np.testing.assert_array_equal(filled(x, jnp.zeros(4)), jnp.zeros((4, 1)))


def test_an_empty_set_of_examples_has_a_loss_and_an_accuracy_of_0():
    none = Batch(jnp.zeros((0, 2)), jnp.zeros((0, WAY)))
    assert losses.mean_loss(none.y, none, losses.cross_entropy) == 0
    assert evaluation.accuracy(none.y, none) == 0


@pytest.mark.parametrize("labels", [jnp.arange(N) % WAY, (jnp.arange(N) % WAY)[:, None]], ids=["N", "N1"])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_labels_that_are_class_numbers_are_refused_by_name(name, labels):
    net = mlp_net(WAY, (8,))
    learner = ALGORITHMS[name].make(net, losses.cross_entropy, 0.1, 1)
    x = jnp.ones((N, *((8, 8, 1) if "maps" in name else (2,))))
    with pytest.raises(ValueError, match="one-hot"):
        jax.eval_shape(learner.adapt, None, Batch(x, labels))
    with pytest.raises(ValueError, match="one-hot"):
        jax.eval_shape(learner.loss, None, Episode(Batch(x, LABELS), Batch(x, labels)))
    for metric in METRICS.values():
        with pytest.raises(ValueError, match="one-hot"):
            metric(LABELS, Batch(x, labels))


def test_the_four_functions_take_their_arguments_by_name_too():
    """Wrong code: a wrapper that hands on positions alone."""
    learner, x = jmeta.prototypical(nets.MLPEncoder((4,))), jnp.ones((N, 2))
    params = learner.init(key=jax.random.key(0), x=x)
    adapted = learner.adapt(params=params, support=Batch(x, LABELS))
    named = learner.predict(adapted=adapted, x=x, weight=jnp.ones(N))
    np.testing.assert_array_equal(named, learner.predict(adapted, x, jnp.ones(N)))
    episode = Episode(Batch(x, LABELS), Batch(x, LABELS))
    assert learner.loss(params=params, episode=episode)[0] == learner.loss(params, episode)[0]


@pytest.mark.parametrize("dtype", ["int32", "bool", "uint8", "float16", "bfloat16"])
def test_one_hot_labels_of_any_kind_are_the_same_labels(dtype):
    taken = examples(Batch(jnp.ones((N, 2), jnp.float16), LABELS.astype(dtype)))
    assert taken.y.dtype == taken.x.dtype == jnp.float32
    np.testing.assert_array_equal(taken.y, LABELS)


def test_half_precision_is_computed_with_in_float32():
    """Wrong code: the squares of float16 end at 65504, and sums of bfloat16 have eight bits."""
    x = jnp.asarray(np.random.default_rng(0).normal(300, 1, (N, 2)), jnp.float16)
    learner = jmeta.prototypical(nets.MLPEncoder(()))
    batch = lambda dtype: Batch(x.astype(dtype), LABELS.astype(dtype))
    half, single = (learner.loss({}, Episode(batch(d), batch(d)))[0] for d in ("float16", "float32"))
    np.testing.assert_array_equal(half, single)
    np.testing.assert_allclose(
        losses.mean_loss(1e4 * LABELS.astype(jnp.float16), Batch(x, LABELS), losses.squared_error), 1e8 / 3, rtol=1e-3
    )


@pytest.mark.parametrize("make", [jmeta.prototypical, jmeta.matching, jmeta.siamese, lambda e: jmeta.nearest()])
def test_a_class_without_support_is_not_predicted_and_its_queries_count_as_wrong(make):
    """Wrong code: a prototype at the origin, which is the nearest of all to features near 0."""
    learner = make(nets.MLPEncoder(()))
    x, y = jnp.array([[5.0], [7.0]]), jnp.eye(3)[:2]
    query = Batch(jnp.array([[0.1], [5.2], [0.1]]), jnp.array([[1.0, 0, 0], [1.0, 0, 0], [0, 0, 1.0]]))
    params = learner.init(jax.random.key(0), x)
    logits = learner.predict(learner.adapt(params, Batch(x, y)), query.x)
    np.testing.assert_array_equal(jnp.argmax(logits, axis=-1)[:2], [0, 0])
    assert (jax.nn.softmax(logits)[:, 2] == 0).all()
    value, metrics = learner.loss(params, Episode(Batch(x, y), query))
    np.testing.assert_allclose(metrics.accuracy, 2 / 3, rtol=1e-6)
    assert value < 1e6


@pytest.mark.parametrize("name", ["proto_maml", "relation", "baseline"])
def test_what_starts_from_prototypes_does_not_predict_a_class_without_support(name):
    learner = ALGORITHMS[name].make(mlp_net(WAY, (8,)), losses.cross_entropy, 0.1, 2)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 2)), jnp.float32)
    params = learner.init(jax.random.key(0), x)
    adapted = learner.adapt(params, Batch(x, jnp.eye(WAY)[jnp.array([0, 1, 0, 1])]))
    assert (learner.predict(adapted, x)[:, 2] <= NEVER).all()


def test_predictions_that_are_no_numbers_are_wrong_answers():
    logits = jnp.full((N, WAY), jnp.nan)
    query = Batch(logits, jnp.eye(WAY)[jnp.zeros(N, int)])
    for metric in ("accuracy", "precision", "recall"):
        assert METRICS[metric](logits, query) == 0


@pytest.mark.parametrize("scale", [1.0, 1e6, 1e12])
def test_padded_classes_are_never_nearer_than_real_ones(scale):
    x = jnp.asarray([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]) * scale
    batch = Batch(x, jnp.eye(3, 5), jnp.ones(3), jnp.array([1.0, 1.0, 1.0, 0.0, 0.0]))
    learner = jmeta.prototypical(nets.MLPEncoder(()))
    value, metrics = learner.loss({}, Episode(batch, batch))
    assert metrics.accuracy == 1 and np.isfinite(value)


def test_a_loss_of_classes_is_refused_for_single_numbers():
    """Wrong code: the softmax of one number is 1, its loss 0, and nothing is ever learned."""
    sample = jmeta.sinusoid_sampler(shot=5, query_shot=5)
    learner = jmeta.maml(nets.MLP((8,), 1), inner_optimizer=optax.sgd(0.01), inner_steps=1)
    params = learner.init(jax.random.key(0), jnp.zeros((5, 1)))
    with pytest.raises(ValueError, match="squared_error"):
        learner.loss(params, sample(jax.random.key(1)))


def test_the_metric_follows_the_targets():
    sample = jmeta.sinusoid_sampler(shot=5, query_shot=5)
    learner = jmeta.maml(nets.MLP((), 1), inner_optimizer=optax.sgd(0.0), inner_steps=0, loss_fn=losses.squared_error)
    params = jax.tree.map(jnp.zeros_like, learner.init(jax.random.key(0), jnp.zeros((5, 1))))
    squares = [np.mean(np.square(sample(key).query.y)) for key in jax.random.split(jax.random.key(2), 10)]
    found = jmeta.evaluate(learner, params, sample, jax.random.key(2), episodes=10)
    np.testing.assert_allclose(found.mean, np.mean(squares), rtol=1e-5)
    both = Batch(jnp.zeros((N, 1)), 3 * LABELS)
    assert losses.query_loss(3 * LABELS + 100, both, losses.squared_error)[1].accuracy is None


@pytest.mark.parametrize("name", ["maml", "prototypical"])
def test_what_is_called_by_itself_compiles_once(name):
    """Wrong code: a loop body of each call's own, which is compiled at each call and never let go."""
    learner = ALGORITHMS[name].make(conv_net(WAY, nets.BatchNorm, (4,)), losses.cross_entropy, 0.1, 3)
    x = jnp.ones((N, 8, 8, 1))
    params = learner.init(jax.random.key(0), x)
    batch, compiled = Batch(x, LABELS), []
    listener = lambda name, *_, **__: compiled.append(name) if "backend_compile" in name else None
    learner.loss(params, Episode(batch, batch))
    learner.predict(learner.adapt(params, batch), x)
    jax.monitoring.register_event_duration_secs_listener(listener)
    for scale in (1.0, 2.0):
        other = batch._replace(x=scale * x)
        jax.block_until_ready(learner.loss(params, Episode(other, other)))
        jax.block_until_ready(learner.predict(learner.adapt(params, other), x))
    assert len(compiled) <= 1  # the product of x with its scale
