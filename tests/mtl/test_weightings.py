"""Each weighting against its formula, and against what it must come to."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jmeta.mtl import weightings
from jmeta.mtl.types import View

SGD = optax.sgd(0.1)


def view(losses, *, step=0, gram=None, losses_at=None, validation_at=None, params=None, seed=0):
    """What a weighting is shown; what it must not ask for raises."""

    def never(*_):
        raise AssertionError("this weighting has no use for it")

    return View(
        jax.random.key(seed),
        jnp.int32(step),
        params,
        jnp.asarray(losses, jnp.float32),
        never if gram is None else lambda: jnp.asarray(gram, jnp.float32),
        losses_at or never,
        validation_at or never,
    )


def weights_of(weighting, losses, **options):
    return weighting.weigh(weighting.init(len(losses)), view(losses, **options))


def test_fixed_and_uniform_stay_as_they_are():
    np.testing.assert_allclose(weights_of(weightings.fixed([0.2, 1.5]), [3.0, 4.0]), [0.2, 1.5])
    np.testing.assert_allclose(weights_of(weightings.uniform(), [3.0, 4.0, 5.0, 6.0]), [0.25] * 4)


def test_scale_invariant_descends_on_the_logarithms():
    losses = np.array([2.0, 0.5], np.float32)
    wanted = jax.grad(lambda losses: jnp.sum(jnp.log(losses)))(losses)
    np.testing.assert_allclose(weights_of(weightings.scale_invariant(), losses), wanted, rtol=1e-6)
    assert np.isfinite(weights_of(weightings.scale_invariant(least=1e-3), [0.0, 1.0])).all()


def test_random_weights_are_of_their_key_and_sum_to_one():
    first, again, other = (weights_of(weightings.random_weights(), [1.0, 2.0], seed=s) for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert abs(first[0] - other[0]) > 1e-3
    assert first.sum() == pytest.approx(1)


def test_uncertainty_comes_to_the_losses_as_variances():
    weighting = weightings.uncertainty(optax.sgd(0.5))
    losses = jnp.array([4.0, 0.25])
    state = jax.lax.fori_loop(
        0, 500, lambda _, s: weighting.update(s, jnp.zeros(2), view(losses), None), weighting.init(2)
    )
    np.testing.assert_allclose(jnp.exp(state[0]), losses, rtol=1e-4)
    np.testing.assert_allclose(weighting.weigh(state, view(losses)), 1 / (2 * losses), rtol=1e-4)


def test_uncertainty_takes_the_gradient_of_its_formula():
    weighting = weightings.uncertainty(SGD)
    s, _ = weighting.update(weighting.init(2), jnp.zeros(2), view([4.0, 0.25]), None)
    np.testing.assert_allclose(s, -0.1 * (1 - np.array([4.0, 0.25])) / 2, rtol=1e-6)


def test_dynamic_weight_average_compares_two_periods():
    weighting = weightings.dynamic_weight_average(period=2, temperature=2.0)
    state = weighting.init(2)
    seen = [[4.0, 1.0], [2.0, 1.0], [2.0, 1.0], [1.0, 0.6], [9.0, 9.0]]
    for losses in seen[:3]:
        np.testing.assert_allclose(weighting.weigh(state, view(losses)), [0.5, 0.5])
        state = weighting.update(state, jnp.zeros(2), view(losses), None)
    state = weighting.update(state, jnp.zeros(2), view(seen[3]), None)
    ratio = np.array([1.5 / 3.0, 0.8 / 1.0])
    wanted = np.exp(ratio / 2) / np.exp(ratio / 2).sum()
    np.testing.assert_allclose(weighting.weigh(state, view(seen[4])), wanted, rtol=1e-6)
    state = weighting.update(state, jnp.zeros(2), view(seen[4]), None)  # within a period nothing changes
    np.testing.assert_allclose(weighting.weigh(state, view(seen[4])), wanted, rtol=1e-6)


def test_gradnorm_balances_the_norms():
    weighting = weightings.gradnorm(optimizer=optax.sgd(0.02))
    seen = view([2.0, 7.0], gram=np.diag([1.0, 16.0]))

    def body(i, state):
        return weighting.update(state, jnp.zeros(2), seen._replace(step=i), None)

    state = jax.lax.fori_loop(0, 400, body, weighting.init(2))
    np.testing.assert_allclose(state.weights, [8 / 5, 2 / 5], atol=0.1)  # subgradients end in a small cycle
    assert state.weights.sum() == pytest.approx(2)


def test_gradnorm_wants_more_of_a_task_that_lags():
    weighting = weightings.gradnorm(asymmetry=1.5, optimizer=SGD)
    state = weighting.update(weighting.init(2), jnp.zeros(2), view([1.0, 1.0], gram=np.eye(2)), None)
    np.testing.assert_allclose(state.weights, [1.0, 1.0])
    lagging = view([0.2, 0.8], step=1, gram=np.eye(2))
    assert np.diff(weighting.update(state, jnp.zeros(2), lagging, None).weights)[0] > 0.1
    alike = weightings.gradnorm(asymmetry=0.0, optimizer=SGD)
    np.testing.assert_allclose(alike.update(state, jnp.zeros(2), lagging, None).weights, [1.0, 1.0])


def test_famo_follows_its_formula():
    weighting = weightings.famo(least=-1.0, decay=0.1, optimizer=SGD)
    state = weighting.init(2)._replace(logits=jnp.array([0.3, -0.2]))
    seen = view([1.0, 3.0], losses_at=lambda _: jnp.array([0.5, 2.9]))
    z = np.exp([0.3, -0.2]) / np.exp([0.3, -0.2]).sum()
    ratio = z / np.array([2.0, 4.0])
    np.testing.assert_allclose(weighting.weigh(state, seen), ratio / ratio.sum(), rtol=1e-6)
    fell = np.log([2.0, 4.0]) - np.log([1.5, 3.9])
    grads = z * (fell - z @ fell) + 0.1 * np.array([0.3, -0.2])
    new = weighting.update(state, jnp.zeros(2), seen, None)
    np.testing.assert_allclose(new.logits, np.array([0.3, -0.2]) - 0.1 * grads, rtol=1e-5)
    assert new.logits[1] > -0.2  # the second fell by less and gains


def test_lookahead_has_the_derivative_of_the_look_ahead():
    """With centers c: theta' = theta - a sum_i w_i (theta - c_i), so that d/dw_i L' = -a (theta - c_i)(theta' - v)."""
    centers, target, start, rate = np.array([1.0, -2.0]), 3.0, 0.5, 0.1
    weighting = weightings.lookahead(inner_lr=rate, optimizer=optax.sgd(1.0))
    seen = view(
        [0.0, 0.0],
        params=jnp.float32(start),
        losses_at=lambda p: jnp.square(p - jnp.asarray(centers, jnp.float32)) / 2,
        validation_at=lambda p: jnp.square(p - jnp.full(2, target, jnp.float32)) / 2,
    )
    new = weighting.update(weighting.init(2), jnp.zeros(2), seen, None)
    ahead = start - rate * np.mean(start - centers)
    by_weight = -rate * (start - centers) * (ahead - target)
    np.testing.assert_allclose(new.logits, -(0.5 * (by_weight - by_weight.mean())), rtol=1e-5)
    assert new.logits[0] > new.logits[1]  # the task whose center lies the validation's way


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: weightings.fixed([1.0, -1.0]), "0 or more for each task"),
        (lambda: weightings.fixed([1.0, 1.0]).init(3), "each of the 3 tasks, got 2"),
        (lambda: weightings.scale_invariant(least=0.0), "least must be above 0"),
        (lambda: weightings.dynamic_weight_average(period=0), "period must be 1"),
        (lambda: weightings.dynamic_weight_average(temperature=0.0), "temperature must be above 0"),
        (lambda: weightings.gradnorm(asymmetry=-1.0), "asymmetry must be 0"),
        (lambda: weightings.famo(decay=-1.0), "decay must be 0"),
        (lambda: weightings.lookahead(inner_lr=0.0), "inner_lr must be above 0"),
        (lambda: weightings.lookahead(inner_lr=0.1, inner_steps=0), "inner_steps must be 1"),
    ],
)
def test_bad_settings_are_refused(make, says):
    with pytest.raises(ValueError, match=says):
        make()
