"""Normal predictions: their density, and what of a batch is judged."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from jmeta.distributions import Normal, log_density, nats
from jmeta.types import Batch

RNG = np.random.default_rng(0)
MEAN, Y = (jnp.asarray(RNG.normal(size=(5, 2)), jnp.float32) for _ in range(2))
VARIANCE = jnp.asarray(RNG.uniform(0.1, 2, size=(5, 2)), jnp.float32)


def test_the_density_is_that_of_a_normal_distribution():
    """Catches a variance that is read as a standard deviation, and a constant that is left out."""
    np.testing.assert_allclose(
        log_density(Normal(MEAN, VARIANCE), Y), norm.logpdf(Y, MEAN, np.sqrt(VARIANCE)), rtol=1e-5, atol=1e-6
    )


def test_a_small_variance_is_no_floor_and_none_is_finite():
    """A floor of .1 on the standard deviation would cap the density at 1.38 nats."""
    zeros, sharp = jnp.zeros((1, 1)), Normal(jnp.zeros((1, 1)), jnp.full((1, 1), 1e-8))
    assert log_density(sharp, zeros).item() == pytest.approx(norm.logpdf(0, 0, 1e-4), abs=1e-3)
    assert 12 < log_density(Normal(zeros, zeros), zeros).item() < 13
    grads = jax.grad(lambda v: log_density(Normal(zeros, v), zeros + 1).sum())(zeros)
    assert jnp.isfinite(grads).all()


def test_the_loss_is_a_mean_over_rows_and_targets_that_are_there():
    """Catches padding that counts, or whose NaN reaches the mean or its derivative, and a sum over targets."""
    each = -norm.logpdf(Y, MEAN, np.sqrt(VARIANCE))
    loss, metrics = nats(Normal(MEAN, VARIANCE), Batch(MEAN, Y))
    assert loss == pytest.approx(each.mean(), rel=1e-5) and metrics.loss == loss and metrics.accuracy is None
    weight = jnp.array([1.0, 0.0, 2.0, 0.0, 1.0])
    holes = jnp.where(weight[:, None] > 0, 0.0, jnp.nan)

    def of_rows(mean):
        return nats(Normal(mean + holes, VARIANCE + holes), Batch(MEAN, Y + holes, weight))[0]

    assert of_rows(MEAN) == pytest.approx((np.asarray(weight) @ each.mean(1)) / 4, rel=1e-5)
    assert jnp.isfinite(jax.grad(of_rows)(MEAN)).all()
    one = Batch(MEAN, Y.at[:, 1].set(jnp.nan), None, jnp.array([1.0, 0.0]))
    assert nats(Normal(MEAN, VARIANCE), one)[0] == pytest.approx(each[:, 0].mean(), rel=1e-5)


def test_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"predicts a mean \[5, 1\] .* where the targets are \[5, 2\]"):
        nats(Normal(MEAN[:, :1], VARIANCE), Batch(MEAN, Y))
