"""Losses, against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmeta
from jmeta import losses

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(5, 3)).astype(np.float32)
LABELS = np.eye(3, dtype=np.float32)[[0, 2, 1, 1, 0]]
WEIGHT = np.array([1, 0, 2, 0.5, 0], np.float32)


def test_cross_entropy():
    p = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
    np.testing.assert_allclose(losses.cross_entropy(LOGITS, LABELS), -np.log((p * LABELS).sum(-1)), rtol=1e-5)


def test_cross_entropy_of_soft_labels():
    soft = np.full((5, 3), 1 / 3, np.float32)
    p = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
    np.testing.assert_allclose(losses.cross_entropy(LOGITS, soft), -np.log(p).mean(-1), rtol=1e-5)


def test_smoothed_cross_entropy():
    """Catches a share over the other classes alone: of three, theirs would be a half of it."""
    p = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
    expected = -(0.7 * np.log((p * LABELS).sum(-1)) + 0.1 * np.log(p).sum(-1))
    np.testing.assert_allclose(losses.smoothed_cross_entropy(0.3)(jnp.asarray(LOGITS), LABELS), expected, rtol=1e-5)
    plain = losses.smoothed_cross_entropy(0.0)(jnp.asarray(LOGITS), LABELS)
    np.testing.assert_allclose(plain, losses.cross_entropy(LOGITS, LABELS), rtol=1e-6)
    for smoothing in (-0.1, 1.0):
        with pytest.raises(ValueError, match="smoothing must be 0 or more and below 1"):
            losses.smoothed_cross_entropy(smoothing)


def test_cross_entropy_of_huge_logits_is_finite():
    huge = jnp.array([[1e4, -1e4]])
    loss = lambda logits: jnp.sum(losses.cross_entropy(logits, jnp.array([[0.0, 1.0]])))
    value, grad = jax.value_and_grad(loss)(huge)
    np.testing.assert_allclose(value, 2e4)
    np.testing.assert_allclose(grad, [[1.0, -1.0]])


def test_squared_error_has_no_half_and_averages_over_targets():
    got = losses.squared_error(jnp.array([[1.0, 2.0], [0.0, 0.0]]), jnp.array([[3.0, 2.0], [1.0, -3.0]]))
    np.testing.assert_allclose(got, [2.0, 5.0])


def test_weighted_mean():
    values = np.arange(5, dtype=np.float32)
    np.testing.assert_allclose(losses.weighted_mean(values, None), 2.0)
    np.testing.assert_allclose(losses.weighted_mean(values, WEIGHT), np.average(values, weights=WEIGHT), rtol=1e-6)


def test_weighted_mean_of_padding_alone_is_zero_with_a_zero_gradient():
    mean = lambda values: losses.weighted_mean(values, jnp.zeros(3))
    value, grad = jax.value_and_grad(mean)(jnp.ones(3))
    assert float(value) == 0.0
    np.testing.assert_array_equal(grad, np.zeros(3))


def test_mean_loss_refuses_other_shapes():
    batch = jmeta.Batch(jnp.zeros((5, 2)), LABELS)
    with pytest.raises(ValueError, match=r"predicts \(5, 4\) where the labels are \(5, 3\)"):
        losses.mean_loss(jnp.zeros((5, 4)), batch, losses.cross_entropy)
    with pytest.raises(ValueError, match=r"predicts \(5,\) where the labels are \(5, 1\)"):
        losses.mean_loss(jnp.zeros(5), jmeta.Batch(jnp.zeros((5, 2)), jnp.zeros((5, 1))), losses.squared_error)


def test_hits():
    expected = LOGITS.argmax(-1) == LABELS.argmax(-1)
    assert 0 < expected.sum() < 5
    np.testing.assert_array_equal(losses.hits(LOGITS, LABELS), expected.astype(np.float32))


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_query_loss(weight):
    value, metrics = losses.query_loss(jnp.asarray(LOGITS), jmeta.Batch(None, LABELS, weight), losses.cross_entropy)
    each = np.asarray(losses.cross_entropy(LOGITS, LABELS))
    np.testing.assert_allclose([value, metrics.loss], np.average(each, weights=weight), rtol=1e-6)
    hit = LOGITS.argmax(-1) == LABELS.argmax(-1)
    np.testing.assert_allclose(metrics.accuracy, np.average(hit, weights=weight), rtol=1e-6)


def test_query_loss_of_a_single_target_has_no_accuracy():
    query = jmeta.Batch(None, jnp.array([[1.0], [2.0]]))
    value, metrics = losses.query_loss(jnp.zeros((2, 1)), query, losses.squared_error)
    assert float(value) == float(metrics.loss) == 2.5
    assert metrics.accuracy is None


def test_judge_is_the_query_loss_by_a_loss():
    batch = jmeta.Batch(None, LABELS, WEIGHT)
    value, metrics = losses.judge(losses.squared_error)(jnp.asarray(LOGITS), batch)
    assert (value, metrics) == losses.query_loss(jnp.asarray(LOGITS), batch, losses.squared_error)
    assert value != losses.judge(losses.cross_entropy)(jnp.asarray(LOGITS), batch)[0]


def test_the_loss_on_a_batch_is_a_function_of_what_is_moved():
    """Of a model that sees the inputs and their weights."""
    batch = jmeta.Batch(jnp.asarray(LOGITS), jnp.asarray(LABELS), jnp.asarray(WEIGHT))
    model = lambda params, x, weight: params * x + jnp.sum(weight)
    each = np.mean((2 * LOGITS + WEIGHT.sum() - LABELS) ** 2, axis=1)
    got = losses.loss_on(batch, model, losses.squared_error)(jnp.float32(2))
    np.testing.assert_allclose(got, np.average(each, weights=WEIGHT), rtol=1e-5)


LOSSES = {
    "cross_entropy": losses.cross_entropy,
    "smoothed_cross_entropy": losses.smoothed_cross_entropy(0.3),
    "squared_error": losses.squared_error,
    "squared_score_error": losses.squared_score_error,
    "gaussian": lambda prediction, y: losses.gaussian(prediction, y, jnp.full_like(prediction, 0.3)),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=list(LOSSES))
def test_classes_that_are_padding_have_no_part_in_a_loss_or_its_gradient(loss):
    def value_and_grad(logits, batch):
        mean = lambda logits: losses.mean_loss(logits, batch, loss)
        return jax.value_and_grad(mean)(jnp.asarray(logits))

    straight, grad = value_and_grad(LOGITS, jmeta.Batch(None, jnp.asarray(LABELS), jnp.asarray(WEIGHT)))
    at = np.array([0, 3, 4])
    wide, labels = np.full((5, 6), 77.0, np.float32), np.zeros((5, 6), np.float32)
    wide[:, at], labels[:, at] = LOGITS, LABELS
    classes = jnp.zeros(6).at[at].set(1.0)
    padded, wide_grad = value_and_grad(wide, jmeta.Batch(None, jnp.asarray(labels), jnp.asarray(WEIGHT), classes))
    np.testing.assert_allclose(padded, straight, rtol=1e-6)
    np.testing.assert_allclose(wide_grad[:, at], grad, rtol=1e-6, atol=1e-8)
    np.testing.assert_array_equal(np.delete(wide_grad, at, axis=1), 0)


def test_padding_alone_has_no_squared_error():
    grads = jax.grad(lambda p: losses.mean_loss(p, jmeta.Batch(None, p, None, jnp.zeros(3)), losses.squared_error))
    np.testing.assert_array_equal(grads(jnp.asarray(LOGITS)), 0)


@pytest.mark.parametrize("far", [-np.inf, -1e38, -1e30])
def test_what_has_diverged_has_no_small_loss(far):
    """Of a reader that takes all that is small for a class that can't be, which adds nothing."""
    batch = jmeta.Batch(None, jnp.array([[1.0], [1.0]]))
    assert losses.mean_loss(jnp.array([[far], [1.0]]), batch, losses.squared_error) > 1e30
    logits = jnp.array([[far, 0.0], [0.0, 0.0]])
    assert losses.mean_loss(logits, jmeta.Batch(None, jnp.eye(2)[jnp.zeros(2, int)]), losses.cross_entropy) > 1e29
