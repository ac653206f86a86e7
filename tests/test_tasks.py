"""Families of tasks whose best answer is known, and what is a fact of every source of tasks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jmeta.errors import RunError
from jmeta.tasks import catalog, linear_regression_sampler, quadratic_posterior, quadratic_sampler
from jmeta.types import Batch


@pytest.mark.parametrize("name", catalog.TASKS)
def test_a_family_draws_what_its_row_says(name):
    """Catches a row whose shape, way or kind of targets is not that of its episodes."""
    row = catalog.row(name)
    assert row.sampler is not None and row.light
    episode = jax.eval_shape(row.sampler(3, 4), jax.random.key(0))
    each = 1 if row.numbers else row.way
    for batch, size in ((episode.support, 3), (episode.query, 4)):
        assert batch.x.shape == (size * each, *row.input_shape) and batch.y.shape == (size * each, row.way)


def test_the_best_answer_to_parabolas_is_that_of_normal_numbers():
    """Catches a posterior of another prior or noise: against the conditional of the joint normal of all points."""
    rng, noise = np.random.default_rng(0), 0.3
    seen, asked = rng.uniform(-2, 2, (4, 1)), rng.uniform(-2, 2, (5, 1))
    y = rng.normal(size=(4, 1))
    known, new = (np.concatenate([np.ones_like(x), x, x**2], axis=1) for x in (seen, asked))
    both, cross = known @ known.T + noise**2 * np.eye(4), new @ known.T
    mean = cross @ np.linalg.solve(both, y)
    variance = np.diag(new @ new.T - cross @ np.linalg.solve(both, cross.T))[:, None]
    support = Batch(*(jnp.asarray(a, jnp.float32) for a in (seen, y)))
    found = quadratic_posterior(support, jnp.asarray(asked, jnp.float32), noise)
    np.testing.assert_allclose(found[0], mean, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found[1], variance, rtol=1e-3, atol=1e-4)


def test_parabolas_are_drawn_as_the_best_answer_takes_them():
    """Catches noise on the queries, none on the support, and coefficients or places of another spread."""
    sample = quadratic_sampler(shot=3, query_shot=4, noise=0.5)

    def one(key):
        episode = sample(key)
        mean, variance = quadratic_posterior(episode.support, episode.query.x, 0.5)
        return jnp.mean(jnp.square(mean - episode.query.y)), jnp.mean(variance), episode

    error, variance, episodes = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), 100_000))
    spread = 4 * np.asarray(error).std() / 100_000**0.5
    assert abs(float(error.mean() - variance.mean())) < spread < 0.05 * float(variance.mean())
    x = np.asarray(episodes.query.x)
    assert -2 <= x.min() < -1.99 and 1.99 < x.max() <= 2 and abs(x.mean()) < 0.02
    assert np.asarray(episodes.query.y).var() == pytest.approx(1 + 4 / 3 + 16 / 5, rel=0.05)


def test_noise_is_a_standard_deviation():
    for noise in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="noise must be 0 or more and finite, got"):
            quadratic_sampler(shot=1, query_shot=1, noise=noise)


def test_what_is_a_fact_of_pictures():
    """Catches pictures of any data set that are turned as Omniglot's, or taken for a family of tasks."""
    facts = {name: catalog.row(name) for name in ("omniglot", "omniglot-small2", "glyphs", "glyphs:40", "tfds:mnist")}
    assert {name for name, row in facts.items() if row.turned and row.groups and row.published} == {
        "omniglot",
        "omniglot-small2",
    }
    assert all(row.sampler is None and row.way is None and not row.light for row in facts.values())
    assert catalog.row("some/omniglot.npz").groups and not catalog.row("some/omniglot.npz").turned
    with pytest.raises(RunError, match="in the module mnist, and there is no such module"):
        catalog.row("mnist:train")


def test_linear_functions_have_the_variances_of_their_prior():
    """Catches standard deviations that are taken for variances, and noise on queries."""
    sample = linear_regression_sampler(prior=(4.0, 0.01), noise=0.5, shot=3, query_shot=2)
    episodes = jax.vmap(sample)(jax.random.split(jax.random.key(0), 4000))
    x, y = np.asarray(episodes.query.x), np.asarray(episodes.query.y)[..., 0]
    w = np.linalg.solve(x, y[..., None])[..., 0]
    w = w[np.abs(np.linalg.det(x)) > 0.1]
    np.testing.assert_allclose(w.var(axis=0), (4.0, 0.01), rtol=0.1)
    assert np.var(np.asarray(episodes.support.y)) == pytest.approx(4.01 + 0.25, rel=0.08)
    for told in ({"prior": ()}, {"prior": (1.0, 0.0)}, {"noise": -1.0}, {"shot": 0}):
        with pytest.raises(ValueError, match="must be"):
            linear_regression_sampler(**{"prior": (1.0,), "noise": 0.1, "shot": 1, "query_shot": 1, **told})
