"""What asking is worth, against answers in closed form and by trying every design."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jmeta.active import acquisition, acquisition_loss, ask, choices, exact, fit_acquisition, rules

pytestmark = pytest.mark.standard_promotion
LINE = exact.line_kernel, 0.25, (21, -1.0, 1.0)
CURVE = exact.rbf(0.2), 0.01, (41, 0.0, 1.0)


def errors(rule, labels, thetas, points=127):
    """Mean error after each label, over thresholds."""
    run = ask(exact.threshold(), rule, labels=labels, measure=exact.distance)
    keys = jax.random.split(jax.random.key(0), len(thetas))
    one = lambda theta, key: run({}, exact.threshold_pool(theta, points), key).curve
    return np.asarray(jax.jit(jax.vmap(one))(thetas, keys)).mean(axis=0)


def middles(n):
    return (jnp.arange(n) + 0.5) / n


def test_bisection_of_a_threshold_halves_its_error():
    """Catches bounds that are taken from the wrong side, or a label that is seen before it is asked for."""
    np.testing.assert_allclose(errors(exact.bisection, 5, middles(512)), 2.0 ** -np.arange(2, 8), rtol=1e-4)


def test_random_labels_of_a_threshold_have_the_error_of_order_statistics():
    found = errors(rules.random, 5, middles(4096), points=255)
    np.testing.assert_allclose(found[1:], [exact.random_error(k) for k in range(1, 6)], rtol=0.04)


@pytest.mark.parametrize(
    ("problem", "labels", "repeated", "least", "mean"),
    [
        (LINE, 1, True, 0.566667, 0.6514), (LINE, 2, True, 0.151852, 0.3789), (LINE, 3, True, 0.116122, 0.2435),
        (CURVE, 1, False, 0.657677, 0.695), (CURVE, 2, False, 0.340590, 0.468), (CURVE, 3, False, 0.140818, 0.315),
    ],
)  # fmt: skip
def test_the_best_and_the_mean_of_all_designs(problem, labels, repeated, least, mean):
    kernel, noise, (points, low, high) = problem
    found = exact.designs(kernel, np.linspace(low, high, points), noise, labels, repeated=repeated)
    assert abs(found.least - least) < 1e-6 and abs(found.mean - mean) < 3e-3


@pytest.mark.long
@pytest.mark.parametrize(
    ("problem", "repeated", "least", "mean"), [(LINE, True, 0.080392, 0.1704), (CURVE, False, 0.052593, 0.207)]
)
def test_designs_of_four_labels(problem, repeated, least, mean):
    kernel, noise, (points, low, high) = problem
    found = exact.designs(kernel, np.linspace(low, high, points), noise, 4, repeated=repeated)
    assert abs(found.least - least) < 1e-6 and abs(found.mean - mean) < 3e-3


def test_greedy_rules_of_designs():
    """Catches a posterior that forgets a label, and a reduction without the noise. The greedy one is not the best."""
    greedy = {
        "line": [1.366667, 0.566667, 0.286207, 0.117664, 0.093821],
        "curve": [1, 0.657677, 0.397662, 0.141222, 0.083005, 0.037965, 0.019952],
    }
    widest = {"line": [0.759259, 0.151852, 0.116122, 0.080392], "curve": [0.816715, 0.6334, 0.3013, 0.1567]}
    with jax.enable_x64(True):
        for name, (kernel, noise, pool), copies in (("line", LINE, 2), ("curve", CURVE, 1)):
            episode = exact.design_pool(*pool, copies=copies)
            labels = len(greedy[name]) - 1
            learner = exact.gaussian(kernel, noise)

            def curve(rule, learner=learner, episode=episode, labels=labels):
                run = ask(learner, rule, labels=labels, measure=exact.mean_variance)
                return run({}, episode, jax.random.key(0)).curve

            np.testing.assert_allclose(curve(exact.reduction(noise)), greedy[name], atol=2e-6)
            found = curve(exact.max_variance)[1:5]
            np.testing.assert_allclose(found, widest[name], atol=6e-5)


def test_the_posterior_has_a_derivative_in_weights_that_are_zero():
    """By which straight-through learns of points that were not chosen: `-mean_m C_mn^2 / noise` for point n."""
    kernel, noise, pool = LINE
    learner, episode = exact.gaussian(kernel, noise), exact.design_pool(*pool)
    support, k = episode.support, kernel(episode.support.x, episode.support.x)

    def value(weight):
        adapted = learner.adapt({}, support._replace(weight=weight))
        return exact.mean_variance(learner.predict(adapted, support.x), support)

    np.testing.assert_allclose(jax.grad(value)(jnp.zeros(21)), -(k**2).mean(axis=0) / noise, rtol=1e-4)


def learned(problem, labels, steps, rollouts=16):
    """The mean variance that a learned rule comes to, trained for that of the end."""
    kernel, noise, pool = problem
    learner, episode = exact.gaussian(kernel, noise), exact.design_pool(*pool)
    made = acquisition(exact.design_statistics(noise), exact.DESIGN_STATISTICS)
    loss = acquisition_loss(
        learner, made.rule, choices.policy_gradient(rollouts), labels=labels, measure=exact.mean_variance,
        weights=jnp.zeros(labels).at[-1].set(labels),
    )  # fmt: skip
    own, _ = fit_acquisition(
        loss, made.init(jax.random.key(0)), lambda key: episode, optax.adam(1e-2), jax.random.key(1), steps=steps,
        episodes=1,
    )  # fmt: skip
    run = ask(learner, made.rule(own), labels=labels, measure=exact.mean_variance)
    return float(run({}, episode, jax.random.key(0)).curve[-1])


def test_a_learned_rule_looks_two_labels_ahead():
    """The greedy one comes to .286207: a gradient that sees the next label alone would stay there."""
    assert learned(LINE, 2, 100) < 0.151852 + 1e-4


@pytest.mark.long
def test_a_learned_rule_of_four_labels_is_below_the_greedy_one():
    assert learned(CURVE, 4, 300, rollouts=32) < 0.0545 < 0.083005


@pytest.mark.long
def test_a_learned_rule_bisects():
    made = acquisition(exact.threshold_statistics, 4)
    loss = acquisition_loss(
        exact.threshold(), made.rule, choices.policy_gradient(8), labels=5, measure=exact.distance,
        weights=2.0 ** jnp.arange(1, 6),
    )  # fmt: skip
    sample = lambda key: exact.threshold_pool(jax.random.uniform(key))
    adam = optax.adam(optax.cosine_decay_schedule(1e-2, 200))
    own, _ = fit_acquisition(
        loss, made.init(jax.random.key(0)), sample, adam, jax.random.key(1), steps=200, episodes=16
    )
    found = errors(made.rule(own), 5, middles(2048))
    assert (found[1:] < 1.1 * 2.0 ** -np.arange(3.0, 8.0)).all()
