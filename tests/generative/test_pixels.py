"""Pictures as functions of the place, and coordinate networks beside their closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jmeta import losses, maml, nets
from jmeta.tasks import fourier_features, pixels_sampler, places

PICTURES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4, 1)


def test_a_pixel_is_at_its_place_and_all_are_asked_for():
    """Catches rows for columns, pixels that are seen twice, and bytes that are not read as 0 to 1."""
    episode = pixels_sampler(PICTURES, shot=5)(jax.random.key(0))
    picture = np.asarray(episode.query.y).reshape(3, 4)
    np.testing.assert_allclose(picture[1, 2] - picture[0, 0], 6 / 255, rtol=1e-5)
    np.testing.assert_allclose(episode.query.x[6], [0, 0.25], atol=1e-6)
    x = np.asarray(episode.query.x)
    rows = [int(np.flatnonzero((x == one).all(axis=1))[0]) for one in np.asarray(episode.support.x)]
    assert len({*rows}) == 5 and episode.support.weight is None
    np.testing.assert_array_equal(episode.support.y, episode.query.y[jnp.array(rows)])
    numbers = {
        int(pixels_sampler(PICTURES, shot=4, least=0)(jax.random.key(k)).support.weight.sum()) for k in range(40)
    }
    assert numbers == {0, 1, 2, 3, 4}


def test_some_pixels_are_asked_for():
    """Catches one that is asked for twice, those that are seen alone, and a support set that depends on how many."""
    whole = pixels_sampler(PICTURES, shot=5)(jax.random.key(0))
    some = pixels_sampler(PICTURES, shot=5, asked=7)(jax.random.key(0))
    np.testing.assert_array_equal(some.support.x, whole.support.x)
    x = np.asarray(whole.query.x)
    rows = [int(np.flatnonzero((x == one).all(axis=1))[0]) for one in np.asarray(some.query.x)]
    assert len({*rows}) == 7
    np.testing.assert_array_equal(some.query.y, whole.query.y[jnp.array(rows)])
    with pytest.raises(ValueError, match="asked for must be 1 to 12, got 13"):
        pixels_sampler(PICTURES, shot=5, asked=13)


def test_waves_have_length_one_together_and_their_scale():
    """sin^2 + cos^2 of each wave. Catches a frequency that is drawn anew at each call."""
    features, x = fourier_features(50, scale=3.0), places(5, 7)
    values = features(x)
    np.testing.assert_allclose(jnp.sum(values**2, axis=1), jnp.full(35, 50.0), rtol=1e-4)
    np.testing.assert_array_equal(values, features(x))
    slope = jax.jacobian(lambda x: features(x[None])[0])(jnp.zeros(2))[:50] / np.pi
    assert slope.std() == pytest.approx(3.0, rel=0.15)


@pytest.mark.standard_promotion
def test_a_linear_coordinate_network_is_maml_in_closed_form():
    """Fixed features and a linear output: w_k = w* + (I - 2 a A)^k (w_0 - w*), A = phi' phi / n. Catches features that
    are learned, and a step on a sum."""
    features, steps, rate = fourier_features(3), 4, 0.2
    episode = pixels_sampler(PICTURES, shot=12, features=features)(jax.random.key(1))
    learner = maml(nets.Linear(1), inner_optimizer=optax.sgd(rate), inner_steps=steps, loss_fn=losses.squared_error)
    params = learner.init(jax.random.key(2), episode.support.x)
    found = learner.predict(learner.adapt(params, episode.support), episode.query.x)
    phi = np.concatenate([np.asarray(episode.support.x, np.float64), np.ones((12, 1))], axis=1)
    head = params["params"]["head"]
    w = np.concatenate([head["kernel"][:, 0], head["bias"]]).astype(np.float64)
    y, a = np.asarray(episode.support.y, np.float64)[:, 0], phi.T @ phi / 12
    best = np.linalg.lstsq(phi, y, rcond=None)[0]
    w = best + np.linalg.matrix_power(np.eye(7) - 2 * rate * a, steps) @ (w - best)
    asked = np.concatenate([np.asarray(episode.query.x, np.float64), np.ones((12, 1))], axis=1)
    np.testing.assert_allclose(found[:, 0], asked @ w, atol=1e-5)


@pytest.mark.parametrize("told", [{"shot": 13}, {"shot": 0}, {"shot": 3, "least": 4}, {"shot": 3, "least": -1}])
def test_pixels_that_there_are_not_are_refused(told):
    with pytest.raises(ValueError, match="the pixels to see must be 1 to 12"):
        pixels_sampler(PICTURES, **told)
    with pytest.raises(ValueError, match="pictures must be"):
        pixels_sampler(PICTURES[0], shot=2)
    with pytest.raises(ValueError, match="scale"):
        fourier_features(scale=0.0)
