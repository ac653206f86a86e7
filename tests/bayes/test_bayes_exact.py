"""What the best learner can reach, against simulation, published values and what learners do."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

import jmeta
from jmeta.bayes import exact
from jmeta.losses import squared_error

PRIOR = np.geomspace(1, 0.01, 10)


@pytest.fixture(scope="module", params=[2, 5, 10, 20])
def problem(request):
    tasks = exact.LinearTasks(PRIOR, 0.5, request.param)
    return tasks, exact.designs(tasks, 4000, seed=1)


BAYES = {2: 1.592, 5: 0.837, 10: 0.378, 20: 0.159}


def test_the_ladder_of_linear_tasks(problem):
    """Catches a moment of the Wishart distribution that is wrong, and a rule that beats the posterior mean."""
    tasks, x = problem
    of = lambda rule: exact.linear_error(tasks, x, rule)
    rate, rates = exact.one_step_rate(tasks), exact.diagonal_rates(tasks)
    one = exact.descent_rule(x, rate, 1)
    assert of(one) == pytest.approx(exact.one_step_error(tasks), rel=0.02)
    diagonal = of(rates[:, None] * one / rate)
    assert diagonal == pytest.approx(exact.diagonal_error(tasks), rel=0.02)
    for worse in (0.8 * rate, 1.2 * rate):
        assert of(exact.descent_rule(x, worse, 1)) > of(one) > diagonal
    bayes = of(exact.posterior_rule(tasks, x))
    assert bayes == pytest.approx(BAYES[tasks.n], rel=0.03)
    assert bayes < min(diagonal, *(of(exact.ridge_rule(x, l2)) for l2 in (0.5, 2.0, 8.0)))


@pytest.mark.standard_promotion
def test_descent_is_that_of_a_learner():
    """Catches a rate of another loss: half the mean squared error, whose gradient is X'(Xw - y) / n."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(1, 4, 3)), rng.normal(size=(4, 1))
    model = nn.Dense(1, use_bias=False, kernel_init=nn.initializers.zeros)
    half = lambda prediction, y: squared_error(prediction, y) / 2
    learner = jmeta.maml(model, inner_optimizer=optax.sgd(0.3), inner_steps=3, loss_fn=half)
    batch = jmeta.Batch(jnp.asarray(x[0]), jnp.asarray(y))
    w = jax.tree.leaves(learner.adapt(learner.init(jax.random.key(0), batch.x), batch))[0]
    np.testing.assert_allclose(w, exact.descent_rule(x, 0.3, 3)[0] @ y, rtol=1e-4)


def test_gradient_descent_stands_for_a_prior():
    found = [exact.implied_variance(s, rate=0.2, steps=5) for s in (4.0, 1.0, 0.25)]
    np.testing.assert_allclose(found, (781.0, 2.0518, 1.1694), rtol=1e-4)
    for s, variance in zip((4.0, 1.0, 0.25), found, strict=True):  # from 0 towards 1, along one axis
        assert 1 - (1 - 0.2 * s) ** 5 == pytest.approx(s * variance / (s * variance + 1))
    with pytest.raises(ValueError, match=r"must be above 0 and below 1, got 0\.5 \* 2\.0: take a smaller rate"):
        exact.implied_variance(2.0, rate=0.5, steps=1)


@pytest.mark.parametrize(
    ("shot", "mse", "nll"), [(5, 0.0466, 0.412), pytest.param(10, 0.0192, 0.310, marks=pytest.mark.long)]
)
def test_the_best_that_can_be_known_of_sine_curves(shot, mse, nll):
    """Catches a prior or a likelihood that is another: with noise of .3, by a coarse grid, 800 tasks."""
    found = exact.sinusoid_optimum(jax.random.key(0), shot=shot, noise=0.3, tasks=800, grid=50)
    for name, expected in (("mse", mse), ("nll", nll)):
        values = np.asarray(found[name], np.float64)
        assert values.mean() == pytest.approx(expected, abs=4 * values.std() / len(values) ** 0.5)
