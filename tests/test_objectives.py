"""Functions whose maximum is known, and episodes of their values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jmeta.tasks.objectives import gaussian_objectives, ripple_objectives, values_sampler

KEYS = jax.random.split(jax.random.key(0), 4000)


def test_draws_of_a_process_have_its_covariance():
    """Catches a length that is squared, and a root of the covariance that is not one."""
    found = jax.jit(jax.vmap(gaussian_objectives(points=9, length=0.3)))(KEYS)
    x = np.linspace(0, 1, 9)
    expected = np.exp(-((x[:, None] - x[None]) ** 2) / (2 * 0.3**2))
    np.testing.assert_allclose(np.cov(found.y[..., 0].T), expected, atol=0.09)
    np.testing.assert_allclose(found.x[0, :, 0], x, atol=1e-6)
    np.testing.assert_array_equal(found.best, found.y.max(axis=(1, 2)))


def test_ripples_have_their_one_maximum_where_they_say():
    """Catches ripples that are off the middle, by which another place would be higher; and there are local maxima."""
    found = jax.jit(jax.vmap(ripple_objectives(points=41)))(KEYS[:500])
    y = np.asarray(found.y[..., 0])
    np.testing.assert_allclose(y.max(axis=1), found.best, atol=1e-6)
    assert ((y >= y.max(axis=1, keepdims=True) - 1e-6).sum(axis=1) == 1).all()
    inner = (y[:, 1:-1] > y[:, :-2]) & (y[:, 1:-1] > y[:, 2:])
    assert inner.sum(axis=1).min() >= 2 and np.median(inner.sum(axis=1)) >= 4 and len(set(y.argmax(axis=1))) > 35
    assert found.best.min() > -1 and found.best.max() < 1 and found.best.std() > 0.5


def test_episodes_have_up_to_so_many_values_and_queries_that_are_others():
    """Catches a query that is in the support set, whose value would be known."""
    sample = values_sampler(ripple_objectives(points=12), most=5, queries=7)
    support, query = jax.device_get(jax.jit(jax.vmap(sample))(KEYS[:600]))
    counts = support.weight.sum(axis=1)
    assert set(counts) == {0, 1, 2, 3, 4, 5} and support.x.shape == (600, 5, 1) and query.x.shape == (600, 7, 1)
    for x, weight, asked in zip(support.x[..., 0], support.weight, query.x[..., 0], strict=True):
        assert len(set(asked)) == 7 and not set(asked) & set(x[weight > 0])
    whole = counts == 5
    width = np.ptp(support.x[whole, :, 0], axis=1)
    assert width.min() < 0.4 and width.max() > 0.85  # close together, and all over


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: gaussian_objectives(points=1), "points must be 2 or more"),
        (lambda: gaussian_objectives(length=0.0), "length must be a finite number above 0"),
        (lambda: ripple_objectives(curvature=(0.0, 1.0)), "curvature must be a finite number above 0 for one maximum"),
        (lambda: ripple_objectives(depth=(-1.0, 1.0)), "depth must be 0 or more"),
        (lambda: ripple_objectives(ripples=(6.0, 4.0)), "ripples must be two finite numbers, the smaller first"),
        (lambda: values_sampler(ripple_objectives(), most=30, queries=16), "must be 41 together"),
        (lambda: values_sampler(ripple_objectives(), most=0, queries=16), "most must be 1 or more"),
    ],
)
def test_what_can_not_be_is_told_in_a_sentence(make, says):
    with pytest.raises(ValueError, match=says):
        make()
    assert jnp.isfinite(ripple_objectives()(jax.random.key(0)).y).all()
