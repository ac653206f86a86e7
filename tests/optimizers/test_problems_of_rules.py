"""Problems, exact answers on quadratics, evaluation beside tuned rules, and what users may bring."""

import itertools
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jmeta import nets
from jmeta.algorithms import maml
from jmeta.errors import RunError
from jmeta.optimizers import catalog, exact, learned_optimizer, rules, told
from jmeta.optimizers.evaluation import curves, tuned
from jmeta.optimizers.problems import classification, least_squares, quadratic, released_least_squares
from jmeta.optimizers.types import Problem
from jmeta.ragged import Ragged
from jmeta.types import Batch, Episode

# Optimum, best constant rate, best heavy ball: section of schedules, E e^2 = 1, curvatures U(0, 1).
TABLE = {
    1: (2.7778e-2, 2.7778e-2, 2.7778e-2),
    2: (6.9444e-3, 9.1240e-3, 6.9444e-3),
    3: (2.5000e-3, 4.3224e-3, 2.6032e-3),
    5: (5.6689e-4, 1.5794e-3, 6.5703e-4),
    10: (5.7392e-5, 3.7948e-4, 8.3226e-5),
    20: (4.6851e-6, 8.9598e-5, 8.6911e-6),
}


def test_the_best_schedules_are_those_of_jacobi():
    """Three ways to the optimum agree. Catches nodes of another weight, and a loss that is not halved."""
    spectrum = exact.uniform_spectrum()
    assert exact.uniform_rates(5).tolist() == pytest.approx([1.0358, 1.2099, 1.6390, 2.7347, 6.7139], abs=1e-4)
    for steps, (optimum, constant, heavy) in TABLE.items():
        assert exact.uniform_optimum(steps) == pytest.approx(optimum, rel=2e-5)
        assert exact.best_losses(spectrum, steps)[-1] == pytest.approx(exact.uniform_optimum(steps), rel=1e-9)
        assert exact.loss_of(spectrum, exact.uniform_rates(steps)) == pytest.approx(optimum, rel=2e-5)
        assert exact.best_constant(spectrum, steps)[1] == pytest.approx(constant, rel=2e-5)
        if steps <= 5:
            assert exact.best_heavy_ball(spectrum, steps)[2] == pytest.approx(heavy, rel=2e-5)


@pytest.mark.parametrize(
    ("kappa", "steps", "optimum", "constant"),
    [(10, 5, 2.110e-4, 1.721e-3), (100, 10, 2.745e-4, 1.973e-3), (1000, 20, 1.058e-4, 8.717e-4)],
)
def test_curvatures_of_uniform_logarithm(kappa, steps, optimum, constant):
    spectrum = exact.log_uniform_spectrum(kappa)
    assert exact.best_losses(spectrum, steps)[-1] == pytest.approx(optimum, rel=3e-4)
    assert exact.best_constant(spectrum, steps)[1] == pytest.approx(constant, rel=3e-4)


def test_the_released_least_squares_start_where_the_reference_says():
    """It says 3.332, after 100 steps .1756 by the best constant rate, and .1245 by the best polynomial after 20.
    Catches W of another distribution, and a step of |Wx - y|^2 / 2."""
    spectrum = exact.drawn_spectrum(released_least_squares(), 2000)
    best = exact.best_losses(spectrum, 20)
    assert best[0] == pytest.approx(3.332, rel=0.03) and best[20] == pytest.approx(0.1245, rel=0.06)
    rate, loss = exact.best_constant(spectrum, 100)
    assert rate == pytest.approx(0.0258, rel=0.05) and loss == pytest.approx(0.1756, rel=0.05)


@pytest.mark.long
def test_the_best_fixed_linear_method_on_least_squares_of_either_kind():
    """.0324 after 100 steps as the code draws them, .8405 and .1755 after 20 and 100 as the paper does."""
    assert exact.best_losses(exact.drawn_spectrum(released_least_squares()), 100)[-1] == pytest.approx(0.0324, rel=0.05)
    best = exact.best_losses(exact.drawn_spectrum(least_squares()), 100)
    assert best[0] == pytest.approx(109.9, rel=0.02)
    assert best[20] == pytest.approx(0.8405, rel=0.05) and best[100] == pytest.approx(0.1755, rel=0.08)


def test_a_curve_is_that_of_the_spectrum():
    """Gradient descent on many draws is on average what is computed. Catches a rate that is scaled by the dimension."""
    problem, keys = quadratic(dimension=20), jax.random.split(jax.random.key(0), 2000)
    found = curves(optax.sgd, jnp.float32(1.5), problem, keys, steps=3, chunk_size=2000)
    expected = [exact.loss_of(exact.uniform_spectrum(), [1.5] * t) for t in range(4)]
    np.testing.assert_allclose(found.losses.mean(axis=0), expected, rtol=0.05)
    assert found.losses.shape == (2000, 4) and (found.final == found.losses[:, -1]).all()
    best = tuned(optax.sgd, [0.5, 1.5085, 1e30], problem, keys[:500], steps=3, chunk_size=500)
    assert best.rate == pytest.approx(1.5085) and np.isinf(best.losses[2])
    assert best.loss == pytest.approx(4.3224e-3, rel=0.1)


def test_examples_to_learn_from_to_judge_by_and_held_out_are_apart():
    """Example n is the n-th unit vector, so that the gradient of a linear network says which were there, and as what.
    Catches places that run into the next class or part, and labels of another class."""
    counts = np.array([8, 9, 10], np.int32)
    examples = Ragged(np.eye(27, dtype=np.float32), counts)
    made = classification(examples, way=2, features=(), batch_size=300)
    params, task = jax.jit(lambda key: made.init(key))(jax.random.key(0))
    key, seen = jax.random.key(1), {}
    for name, part in (("loss", made.loss), ("judge", made.judge), ("held out", made.held_out)):
        keys = () if name == "held out" else (key,)
        grads = np.asarray(
            jax.jit(jax.grad(lambda *a, part=part: part(*a)))(params, task, *keys)["params"]["head"]["kernel"]
        )
        seen[name] = [np.flatnonzero(grads[:, label] < 0).tolist() for label in range(2)]
    for label, c in enumerate(np.asarray(task).tolist()):
        first = int(counts[:c].sum())
        ends = [first, first + 4 + c, first + 6 + c, first + 8 + c]
        parts = [list(range(a, b)) for a, b in itertools.pairwise(ends)]
        assert [seen[name][label] for name in ("loss", "judge", "held out")] == parts
    assert len({*np.asarray(jax.jit(jax.vmap(lambda k: made.init(k)[1][0]))(jax.random.split(key, 20))).tolist()}) == 3
    assert classification(examples, way=3, features=(4,), judged_by=0.0).judge is None


def test_too_few_classes_or_examples_are_refused():
    few = Ragged(np.zeros((6, 4), np.float32), np.array([3, 3], np.int32))
    with pytest.raises(ValueError, match="3 classes were asked for of 2, of which the smallest has 3 examples"):
        classification(few, way=3)
    with pytest.raises(ValueError, match="0 of them to judge by and 0 held out"):
        classification(few, way=2)
    with pytest.raises(ValueError, match=r"features\[1\] must be 1 or more"):
        classification(few, way=2, features=(4, 0))


EPISODE = Episode(
    *(Batch(jax.random.normal(jax.random.key(i), (6, 4)), jnp.tile(jnp.eye(2), (3, 1))) for i in range(2))
)


def test_a_learned_schedule_is_maml_by_the_same_rate():
    """The same loss, and the same gradient in the start; and its rate has the gradient of MAML's."""
    net = nets.MLP((5,), 2)
    own = learned_optimizer(net, rules.schedule([0.3]), inner_steps=2)
    params = own.init(jax.random.key(0), EPISODE.support.x)
    known = maml(net, inner_optimizer=optax.sgd(0.3), inner_steps=2)
    mine, grads = jax.jit(jax.value_and_grad(lambda p: own.loss(p, EPISODE)[0]))(params)
    others, expected = jax.jit(jax.value_and_grad(lambda p: known.loss(p, EPISODE)[0]))(params.model)
    assert mine == pytest.approx(float(others), rel=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), grads.model, expected)
    at = lambda rate: maml(net, inner_optimizer=optax.sgd(rate), inner_steps=2).loss(params.model, EPISODE)[0]
    assert grads.theta[0] == pytest.approx(0.3 * float(jax.jit(jax.grad(at))(0.3)), rel=1e-3)


def test_a_users_problem_and_rule_are_taken_in_each_form_or_refused():
    line = types.SimpleNamespace(init=lambda key: jnp.ones(2), loss=lambda p, key: jnp.sum(p**2))
    for found in (
        line,
        lambda: line,
        lambda: Problem(lambda key: (jnp.ones(2), ()), lambda p, task, key: jnp.sum(p**2)),
    ):
        made, facts = catalog.own_problem("mine.py:line", found).make(told.Nothing())
        params, task = made.init(jax.random.key(0))
        assert made.loss(params, task, jax.random.key(0)) == 2 and facts == {}
    with pytest.raises(RunError, match=r"mine.py:line must have init\(key\) -> params and loss\(params, key\)"):
        catalog.own_problem("mine.py:line", lambda: 3).make(told.Nothing())
    rule = catalog.own_rule("mine.py:rule", lambda: rules.schedule([0.5])).make(told.Nothing())
    assert rule.init(jax.random.key(0), None).shape == (1,)
    with pytest.raises(RunError, match=r"mine\.py:rule must return a Rule, with init and make, got a int"):
        catalog.own_rule("mine.py:rule", lambda: 3).make(told.Nothing())
    with pytest.raises(RunError, match=r"mine\.py:rule must be callable without arguments, and ZeroDivisionError"):
        catalog.own_rule("mine.py:rule", lambda: 1 / 0).make(told.Nothing())
    with pytest.raises(RunError, match="must be an EstimatorRow, got a int"):
        catalog.own_estimator("mine.py:es", 3)


def test_a_problem_that_can_not_be_is_refused():
    for bad in (1.0, 0.5, float("inf")):
        with pytest.raises(ValueError, match="kappa must be a finite number above 1"):
            quadratic(kappa=bad)
    with pytest.raises(ValueError, match="dimension must be 1 or more"):
        released_least_squares(dimension=0)
