"""The oracle of curves and of a mean, beside figures of the same settings that were computed apart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from jmeta.generative import exact
from jmeta.tasks import gp_curves, gp_curves_sampler


def curves(seen, *, tasks, asked, length=(0.4, 0.4), scale=(1.0, 1.0), noise=0.02, seed=0):
    """The oracle of curves that are drawn in float64."""
    rng, most = np.random.default_rng(seed), seen[1]
    x = rng.uniform(-2, 2, (tasks, most + asked))
    own = [rng.uniform(*ends, tasks) for ends in (length, scale)]
    y = np.empty_like(x)
    for n in range(tasks):
        k = own[1][n] ** 2 * np.exp(-((x[n][:, None] - x[n]) ** 2) / (2 * own[0][n] ** 2))
        y[n] = np.linalg.cholesky(k + noise**2 * np.eye(x.shape[1])) @ rng.normal(size=x.shape[1])
    there = np.arange(most) < rng.integers(seen[0], seen[1], (tasks, 1), endpoint=True)
    support, query = (x[:, :most], y[:, :most], there), (x[:, most:], y[:, most:], np.ones((tasks, asked)))
    return exact.rbf_oracle(support, query, length=own[0], scale=own[1], noise=noise)


def test_the_oracle_is_that_of_scipy():
    """Catches a joint density that is not of a target, a floor on variances, and noise that is left out."""
    rng = np.random.default_rng(1)
    x, y, asked, new = (rng.normal(size=n) for n in (3, 3, 4, 4))
    mean, covariance = exact.rbf_posterior(x, y, asked, length=0.7, scale=1.3, noise=0.05)
    k = lambda a, b: 1.3**2 * np.exp(-((a[:, None] - b) ** 2) / (2 * 0.7**2))
    inverse = np.linalg.inv(k(x, x) + 0.05**2 * np.eye(3))
    np.testing.assert_allclose(mean, k(asked, x) @ inverse @ y, rtol=1e-8)
    expected = k(asked, asked) - k(asked, x) @ inverse @ k(x, asked) + 0.05**2 * np.eye(4)
    np.testing.assert_allclose(covariance, expected, rtol=1e-8, atol=1e-10)
    pad = lambda a: np.append(a, np.nan)[None]
    weights = lambda n: np.append(np.ones(n), 0.0)[None]
    known = {"length": np.array([0.7]), "scale": np.array([1.3]), "noise": 0.05, "floor": 0.4}
    found = exact.rbf_oracle((pad(x), pad(y), weights(3)), (pad(asked), pad(new), weights(4)), **known)
    spread = np.sqrt(np.diag(covariance))
    assert found.diagonal[0] == pytest.approx(norm(mean, spread).logpdf(new).mean())
    assert found.floored[0] == pytest.approx(norm(mean, np.maximum(spread, 0.4)).logpdf(new).mean())
    assert found.joint[0] == pytest.approx(multivariate_normal(mean, covariance).logpdf(new) / 4)
    nothing = exact.rbf_posterior(x[:0], y[:0], asked, length=0.7, scale=1.3, noise=0.05)
    np.testing.assert_allclose(nothing[1], k(asked, asked) + 0.05**2 * np.eye(4))
    assert (nothing[0] == 0).all()
    with pytest.raises(ValueError, match="noise must be a finite number above 0, got 0"):
        exact.rbf_posterior(x, y, asked, length=1.0, scale=1.0, noise=0.0)


def around(found, expected, slack=0.0):
    """Within three standard errors of what was found, and the half-width of what is expected."""
    return abs(found.mean() - expected) < 3 * found.std() / len(found) ** 0.5 + slack


@pytest.mark.parametrize(
    ("seen", "length", "scale", "diagonal", "floored"),
    [((3, 10), (0.4, 0.4), (1.0, 1.0), -0.004, -0.126), ((3, 50), (0.1, 0.6), (0.1, 1.0), 1.582, 0.990)],
)
def test_the_oracle_of_the_first_papers(seen, length, scale, diagonal, floored):
    """The curves of the notebooks of conditional and attentive processes: catches another kernel, scale or floor."""
    found = curves(seen, tasks=600, asked=10, length=length, scale=scale)
    assert around(found.diagonal, diagonal, 0.03) and around(found.floored, floored, 0.02)
    assert (found.joint.mean() > found.diagonal.mean()) and (found.floored.mean() < found.diagonal.mean())


@pytest.mark.parametrize(
    ("seen", "diagonal", "floored"), [(1, -1.197, -1.205), (5, -0.295, -0.366), (20, 1.722, 1.138)]
)
def test_the_oracle_grows_with_what_is_seen(seen, diagonal, floored):
    found = curves((seen, seen), tasks=400, asked=10)
    assert around(found.diagonal, diagonal, 0.02) and around(found.floored, floored, 0.02)


def test_a_mean_is_known_better_and_better():
    expected = {0: -1.7655, 1: -1.6217, 2: -1.5628, 5: -1.4960, 10: -1.4624, 20: -1.4422}
    for seen, value in expected.items():
        assert exact.mean_log_likelihood(seen) == pytest.approx(value, abs=5e-5)
    with pytest.raises(ValueError, match="seen must be 0 or more, got -1"):
        exact.mean_log_likelihood(-1)


def test_curves_are_drawn_as_the_oracle_takes_them():
    """Catches a variance for a scale, noise that is lost in float32, and numbers of points of another range."""
    drawn = jax.jit(jax.vmap(gp_curves()))(jax.random.split(jax.random.key(0), 600))
    support, query = drawn.episode
    plain = lambda batch: tuple(np.asarray(a) for a in (batch.x[..., 0], batch.y[..., 0], batch.weight))
    known = {"length": np.asarray(drawn.length), "scale": np.asarray(drawn.scale), "noise": 0.02}
    found = exact.rbf_oracle(plain(support), plain(query), **known)
    assert around(found.diagonal, 1.541, 0.026) and around(found.joint, 1.825, 0.015)
    assert around(found.floored, 0.981, 0.02)
    seen, asked = (np.asarray(batch.weight).sum(axis=1) for batch in drawn.episode)
    assert (seen.min(), seen.max()) == (3, 46) and asked.min() == 3 and (seen + asked).max() == 49
    assert (seen + asked)[seen < 46].max() == 49
    assert asked.max() > 40 and support.x.shape == query.x.shape == (600, 46, 1)
    both = np.where(np.asarray(support.weight)[..., None] > 0, support.x, np.nan)[:, :, None]
    apart = np.abs(both - np.asarray(query.x)[:, None])[..., 0]
    assert not (np.where(np.asarray(query.weight)[:, None] > 0, apart, np.nan) == 0).any()
    assert drawn.length.dtype == jnp.float32
    one = gp_curves_sampler(gp_curves(seen=(0, 2), points=5, least=2))(jax.random.key(3))
    assert one.support.x.shape == (2, 1) and one.query.x.shape == (5, 1)


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"seen": (3, 47)}, "seen must be 0 to 46, which leaves 3 of 49 points to predict"),
        ({"length": (0.0, 1.0)}, "length must be a finite number above 0, got 0.0"),
        ({"noise": 0.0}, "noise must be a finite number above 0"),
        ({"scale": (2.0, 1.0)}, "scale must be two finite numbers, the smaller first"),
    ],
)
def test_curves_that_can_not_be_are_refused(told, says):
    with pytest.raises(ValueError, match=says):
        gp_curves(**told)
