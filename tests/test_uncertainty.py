"""Likelihood, calibration with its floor, and foreign queries, against loops and simulation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

import jmeta
from jmeta import evaluation, losses, nets, uncertainty
from jmeta.distributions import Normal


def test_calibration_error_is_that_of_loops():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(6, 40, 4)).astype(np.float32) * 2, rng.integers(0, 4, (6, 40))
    weight = (rng.uniform(size=(6, 40)) > 0.3).astype(np.float32)
    counts = jnp.stack(
        [
            uncertainty.calibration(
                jnp.asarray(logits[i]), jmeta.Batch(None, jnp.eye(4)[labels[i]], jnp.asarray(weight[i]))
            )
            for i in range(6)
        ]
    )
    bins = [[] for _ in range(uncertainty.CALIBRATION_BINS)]
    for i in range(6):
        for n in range(40):
            if weight[i, n]:
                p = np.exp(logits[i, n]) / np.exp(logits[i, n]).sum()
                place = min(int(p.max() * len(bins)), len(bins) - 1)
                bins[place].append((p.max(), p.argmax() == labels[i, n]))
    total = weight.sum()
    expected = sum(abs(np.mean([r for _, r in b]) - np.mean([c for c, _ in b])) * len(b) / total for b in bins if b)
    assert uncertainty.calibration_error(np.asarray(counts)) == pytest.approx(expected, rel=1e-5)


def test_calibration_error_of_those_who_know_how_much_they_know_is_none():
    """Half right at probability one half."""
    logits = jnp.zeros((2, 2))
    y = jnp.eye(2)
    assert uncertainty.calibration_error(np.asarray(uncertainty.calibration(logits, jmeta.Batch(None, y)))) == 0
    sure = uncertainty.calibration(jnp.array([[50.0, 0.0], [50.0, 0.0]]), jmeta.Batch(None, y))
    assert uncertainty.calibration_error(np.asarray(sure)) == pytest.approx(0.5)


def test_confidence_is_among_the_classes_of_the_episode():
    logits, classes = jnp.array([[0.0, 0.0, 9.0]]), jnp.array([1.0, 1.0, 0.0])
    counts = uncertainty.calibration(logits, jmeta.Batch(None, jnp.eye(3)[:1], classes=classes))
    assert float(counts[:, 1].sum()) == pytest.approx(0.5)
    assert losses.accuracy(logits, jmeta.Batch(None, jnp.eye(3)[:1], classes=classes)) == 1
    assert losses.accuracy(logits, jmeta.Batch(None, jnp.eye(3)[:1])) == 0


@pytest.mark.parametrize("number, expected", [(75, 0.131), (750, 0.0428), (7_500, 0.0135), (45_000, 0.0055)])
def test_a_calibrated_classifier_has_this_error_by_chance(number, expected):
    """Catches a floor of 0, and one by all predictions where each interval has its own. Confidences are U(.2, 1) and a
    prediction is right as often as it says; the simulated error and the floor are means over as many test sets."""
    rng = np.random.default_rng(0)
    errors, floors = [], []
    for _ in range(200 if number < 45_000 else 40):
        p = rng.uniform(0.2, 1, number)
        place = np.minimum(p * uncertainty.CALIBRATION_BINS, uncertainty.CALIBRATION_BINS - 1).astype(int)
        right = rng.random(number) < p
        counts = np.stack([np.bincount(place, w, uncertainty.CALIBRATION_BINS) for w in (None, p, right)], axis=-1)
        errors.append(uncertainty.calibration_error(counts))
        floors.append(uncertainty.calibration_floor(counts))
    error = np.std(errors) / len(errors) ** 0.5
    assert np.mean(errors) == pytest.approx(expected, abs=4 * error + 0.0005)
    assert np.mean(floors) == pytest.approx(np.mean(errors), abs=4 * error + 0.0005)


def test_the_floor_of_those_who_are_sure_is_none():
    counts = np.zeros((uncertainty.CALIBRATION_BINS, 3))
    counts[-1] = (10, 10, 10)
    assert uncertainty.calibration_floor(counts) == 0
    counts[0] = (2, 0, 0)
    assert uncertainty.calibration_floor(counts) == 0


def test_knowing_nothing_has_the_likelihood_of_a_guess():
    query = jmeta.Batch(None, jnp.eye(4))
    np.testing.assert_allclose(uncertainty.log_likelihood(jnp.zeros((4, 4)), query), -np.log(4), rtol=1e-6)
    np.testing.assert_allclose(uncertainty.log_likelihood(2 * jnp.eye(4), query), -np.log1p(3 * np.exp(-2)), rtol=1e-5)


@pytest.mark.standard_promotion
def test_foreign_queries_are_farther_from_all_prototypes():
    """Catches classes that are mixed up, foreign ones that are in the support set, and ties that count whole."""
    learner = jmeta.prototypical(nets.MLPEncoder(()))
    rng = np.random.default_rng(0)
    y = np.eye(4)[[2, 0, 3, 1] * 3]
    x = y @ np.array([[0.0, 0], [4, 0], [0, 40], [40, 40]]) + 0.1 * rng.normal(size=(12, 2))
    batch = jmeta.Batch(jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32))
    own, foreign = uncertainty.split_classes(jmeta.Episode(batch, batch))
    assert own.support.y.shape == (6, 2) and (own.query.x < 10).all() and foreign.shape == (6, 2)
    np.testing.assert_array_equal(jnp.argmax(own.query.y, axis=1), (own.query.x[:, 0] > 2).astype(int))
    assert uncertainty.foreign_auroc(learner, {}, jmeta.Episode(batch, batch)) == 1
    same = jmeta.Batch(jnp.zeros((12, 2)), batch.y)
    assert uncertainty.foreign_auroc(learner, {}, jmeta.Episode(same, same)) == 0.5
    with pytest.raises(ValueError, match="there are 3: give an even number"):
        uncertainty.split_classes(jax.tree.map(lambda a: a[:, :3], jmeta.Episode(batch, batch)))


def test_intervals_that_hold_what_they_are_to_hold():
    """Catches one-sided intervals, a variance for a spread, and padding that is counted; twice too wide is seen."""
    rng = np.random.default_rng(0)
    mean, spread = rng.normal(size=(50, 40, 1)), rng.uniform(0.5, 2, (50, 40, 1))
    y = mean + spread * rng.normal(size=mean.shape)
    weight = (rng.uniform(size=(50, 40)) > 0.5).astype(np.float32)
    y[weight == 0] = np.nan
    f32 = lambda a: jnp.asarray(a, jnp.float32)

    def counts(factor):
        variance = f32((factor * spread) ** 2)
        each = jax.vmap(lambda m, v, y, w: uncertainty.coverage(Normal(m, v), jmeta.Batch(m, y, w)))
        return np.asarray(each(f32(mean), variance, f32(y), f32(weight)))

    right = counts(1.0)
    assert right[:, -1].sum() == weight.sum()
    floor = uncertainty.coverage_floor(right)
    assert uncertainty.coverage_error(right) < 3 * floor
    held = right[:, :-1].sum(0) / right[:, -1].sum()
    inside = np.abs(y - mean)[weight > 0] <= 1.2815516 * spread[weight > 0]
    assert held[7] == pytest.approx(inside.mean())  # of 80 %
    wide = 2 * special.ndtr(2 * special.ndtri((1 + np.array(uncertainty.LEVELS)) / 2)) - 1
    expected = np.mean(wide - uncertainty.LEVELS)
    assert uncertainty.coverage_error(counts(2.0)) == pytest.approx(expected, abs=4 * floor)


def test_the_floor_of_intervals_is_what_chance_gives():
    rng = np.random.default_rng(0)
    errors = []
    for _ in range(400):
        u = rng.uniform(size=80)
        held = [(u <= level).sum() for level in uncertainty.LEVELS]
        errors.append(uncertainty.coverage_error(np.array([*held, 80.0])))
    assert uncertainty.coverage_floor(np.array([*[0.0] * 9, 80.0])) == pytest.approx(np.mean(errors), rel=0.1)


def test_error_and_density_of_distributions():
    """Catches a sum over queries, a square in place of its root, and the sign of nats."""
    prediction = Normal(jnp.array([[1.0], [2.0]]), jnp.array([[1.0], [4.0]]))
    query = jmeta.Batch(jnp.zeros((2, 1)), jnp.array([[1.0], [6.0]]))
    assert float(uncertainty.root_mean_squared_error(prediction, query)) == pytest.approx(8**0.5)
    assert float(evaluation.mean_squared_error(prediction, query)) == pytest.approx(8.0)
    expected = np.mean([-0.9189385, -0.9189385 - np.log(2) - 2])
    assert float(uncertainty.log_density(prediction, query)) == pytest.approx(expected, rel=1e-5)
