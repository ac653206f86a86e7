"""Stein variational gradient descent: where particles come to rest, and its reduction to gradient ascent."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jmeta.bayes import svgd

normal = lambda x: -jnp.sum(x**2) / 2


def rest(start, bandwidth, steps=4000):
    step = lambda x, _: (x + 0.05 * svgd.direction(x, svgd.scores(normal, x), bandwidth), None)
    return jax.lax.scan(step, jnp.asarray(start), None, length=steps)[0]


@pytest.mark.standard_promotion
def test_two_particles_in_the_standard_normal_come_to_rest_where_they_must():
    """Catches the factor 2 of the kernel's derivative, without which they rest at .52407."""
    with jax.enable_x64(True):
        found = rest(np.array([[0.1], [-0.4]]), svgd.fixed_bandwidth(1.0))
    np.testing.assert_allclose(np.sort(found[:, 0]), [-0.63432, 0.63432], atol=1e-5)


@pytest.mark.standard_promotion
def test_one_particle_goes_up_the_gradient():
    """Catches a bandwidth of log(1), which is a division by 0."""
    x = jnp.array([[0.3, -2.0]])
    np.testing.assert_allclose(svgd.direction(x, svgd.scores(normal, x)), -x, rtol=1e-6)
    assert jnp.isfinite(jax.grad(lambda x: svgd.direction(x, svgd.scores(normal, x)).sum())(jnp.zeros((3, 2)))).all()


@pytest.mark.standard_promotion
def test_many_particles_have_the_spread_of_the_density():
    start = np.random.default_rng(0).normal(size=(60, 1)) * 0.2 + 3
    found = np.asarray(rest(start.astype(np.float32), svgd.median_bandwidth, 2000))
    assert abs(found.mean()) < 0.05 and 0.85 < found.std() < 1.1
