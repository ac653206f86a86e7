"""Waves about a line: what is drawn, few tasks that are all there are, and the best that can be known of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from jmeta.bayes.exact_waves import wave_optimum, wave_posterior
from jmeta.tasks import SINUSOID_E, SINUSOID_H, Waves, fixed_sampler, wave_sampler
from jmeta.types import Batch

KNOWN = Waves(amplitude=(0.9, 0.9001), shift=(0.3, 1e-4), frequency=(1.2, 1.2), slope=(0.5, 0.4), level=(2.0, 0.7))


def test_a_wave_that_is_known_is_a_normal_about_it():
    """Catches a line whose posterior is another, and evidence of the support set in place of the queries': with nothing
    open but slope and level, targets are normal, by NumPy."""
    episode = wave_sampler(waves=KNOWN, shot=4, query_shot=3)(jax.random.key(5))
    x, y = (np.concatenate([np.asarray(b[i], np.float64)[:, 0] for b in episode]) for i in (0, 1))
    mean = 2.0 + 0.5 * x + 0.9 * np.sin(1.2 * (x - 0.3))
    k = 0.16 * np.outer(x, x) + 0.49 + 0.01 * np.eye(7)
    whole, seen = (multivariate_normal(mean[:n], k[:n, :n]).logpdf(y[:n]) for n in (7, 4))
    found = jax.jit(lambda one: wave_posterior(KNOWN, one, amplitudes=1, shifts=3))(episode)
    assert float(found["joint"]) == pytest.approx((whole - seen) / 3, abs=2e-3)
    ahead = mean[4:] + (k[4:, :4] @ np.linalg.solve(k[:4, :4], y[:4] - mean[:4]))
    assert float(found["rmse"]) == pytest.approx(np.sqrt(np.mean((ahead - y[4:]) ** 2)), abs=2e-3)


@pytest.mark.parametrize(
    ("waves", "rmse", "joint", "tasks"),
    [(SINUSOID_E, 0.122, 0.828, 100), pytest.param(SINUSOID_H, 0.258, 0.126, 100, marks=pytest.mark.long)],
)
def test_the_best_that_can_be_known_of_waves(waves, rmse, joint, tasks):
    """Catches a prior or a noise that is another: the figures are of a computation of its own."""
    sample = wave_sampler(waves=waves, shot=10, query_shot=100)
    episodes = jax.vmap(sample)(jax.random.split(jax.random.key(3), tasks))
    found = wave_optimum(waves, episodes, amplitudes=16, shifts=24, frequencies=64)
    for name, expected in (("rmse", rmse), ("joint", joint)):
        values = np.asarray(found[name], np.float64)
        assert values.mean() == pytest.approx(expected, abs=4 * values.std() / tasks**0.5)


def test_waves_are_drawn_as_they_are_said_to_be():
    """Catches a standard deviation for a variance, queries without noise, and a place outside the interval."""
    waves = Waves(noise=0.5, slope=(0.5, 0.2), interval=(-2.0, 4.0))
    draw = jax.jit(jax.vmap(wave_sampler(waves=waves, shot=1, query_shot=1)))
    for part in draw(jax.random.split(jax.random.key(0), 40_000)):
        x, y = (np.asarray(a)[:, 0, 0] for a in part[:2])
        assert -2 <= x.min() < -1.9 and 3.9 < x.max() <= 4
        line = y - 5 - 0.5 * x - np.sin(1.5 * x)
        wave = (0.6**2 / 12) * np.sin(1.5 * x) ** 2 + (1.5 * 0.1 * np.cos(1.5 * x)) ** 2
        assert np.mean(line**2) == pytest.approx(np.mean(0.25 + 0.01 + 0.04 * x**2 + wave), rel=0.04)
    with pytest.raises(ValueError, match="noise"):
        wave_sampler(waves=Waves(noise=0.0), shot=1, query_shot=1)
    with pytest.raises(ValueError, match="slope"):
        wave_sampler(waves=Waves(slope=(0.5, -1.0)), shot=1, query_shot=1)


def test_few_tasks_are_all_there_are():
    """Catches a point in both parts or none, points of two tasks in one, and a support set that is never empty."""
    x = jnp.arange(12.0).reshape(3, 4, 1)
    episodes = jax.jit(jax.vmap(fixed_sampler(Batch(x, 10 * x))))(jax.random.split(jax.random.key(0), 300))
    support, query = jax.device_get(episodes)
    np.testing.assert_array_equal(support.weight + query.weight, 1)
    np.testing.assert_array_equal(support.x, query.x)
    np.testing.assert_array_equal(support.y, 10 * support.x)
    assert {tuple(one[:, 0]) for one in support.x} == {tuple(one[:, 0]) for one in np.asarray(x)}
    assert {*support.weight.sum(1)} == {0.0, 1.0, 2.0, 3.0}
    assert {tuple(w) for w in support.weight if w.sum() == 1} == {tuple(row) for row in np.eye(4)}
    with pytest.raises(ValueError, match="two points or more each"):
        fixed_sampler(Batch(x[:, :1], x[:, :1]))
