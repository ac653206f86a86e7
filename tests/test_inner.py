"""The verbs of inner loops."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from algorithms_table import assert_close

import jmeta
from jmeta import inner, losses

START = {"a": jnp.array([1.0, -2.0]), "b": jnp.array(3.0)}
double = lambda p: jax.tree.map(lambda v: 2 * v, p)


@pytest.mark.parametrize("steps", [0, 1, 4])
def test_descend_takes_the_steps_it_is_told(steps):
    got = inner.descend(double, START, optax.sgd(0.1), steps)
    assert_close(got, jax.tree.map(lambda v: v * 0.8**steps, START))


def test_descend_takes_a_traced_number_of_steps():
    run = jax.jit(lambda n: inner.descend(double, START, optax.sgd(0.1), n))
    for steps in (0, 3, 7):
        assert_close(run(steps), inner.descend(double, START, optax.sgd(0.1), steps))


def test_descend_carries_the_state_of_the_rule():
    got = inner.descend(lambda p: jnp.ones_like(p), jnp.array(0.0), optax.sgd(1.0, momentum=0.5), 3)
    np.testing.assert_allclose(got, -(1 + 1.5 + 1.75))


def test_descend_is_differentiable_through_every_step():
    grad = jax.grad(lambda v: inner.descend(lambda p: p**2, v, optax.sgd(0.1), 2))(1.0)
    once = 1 - 0.1
    np.testing.assert_allclose(grad, (1 - 0.2 * once) * (1 - 0.2), rtol=1e-6)


def test_descend_along_tells_the_step():
    got = inner.descend_along(lambda p, step: step.astype(jnp.float32), jnp.array(0.0), optax.sgd(1.0), 4)
    assert float(got) == -6.0


@pytest.mark.parametrize("steps", [inner.MANY, inner.MANY + 1, 110, 122, 1023])
def test_many_steps_are_each_taken_once_and_in_their_order(steps):
    """Segments that begin at a wrong step, or steps behind the last whole segment that are left out."""
    found = inner.descend_along(lambda p, step: step.astype(jnp.float32), jnp.array(0.0), optax.sgd(1.0), steps)
    assert float(found) == -steps * (steps - 1) / 2


@pytest.mark.parametrize(("steps", "through"), [(130, 130), (130, 115), (1000, 1000)])
def test_many_steps_are_differentiated_as_few_are(steps, through):
    points = [1.0]
    for _ in range(steps):
        points.append(points[-1] - 0.01 * points[-1] ** 2)
    expected = np.prod([1 - 0.02 * p for p in points[steps - through : steps]])
    descend = lambda v: inner.descend(lambda p: p**2, v, optax.sgd(0.01), steps, truncation=through)
    found, grad = jax.value_and_grad(descend)(1.0)
    np.testing.assert_allclose([found, grad], [points[-1], expected], rtol=2e-5)


@pytest.mark.parametrize("grad", [jax.grad, jmeta.gradients.mixed_grad])
def test_a_thousand_steps_take_less_than_twice_the_memory_of_a_hundred(grad):
    def temporary(steps):
        descend = lambda v: inner.descend(grad(lambda p: jnp.sum(jnp.sin(p))), v, optax.sgd(0.01), steps)
        outer = jax.jit(jax.grad(lambda v: jnp.sum(descend(v))))
        return outer.lower(jnp.zeros(10_000)).compile().memory_analysis().temp_size_in_bytes

    assert 0 < temporary(1000) < 2 * temporary(100)


def test_negative_steps_are_refused():
    with pytest.raises(ValueError, match="inner steps must be 0 or more, got -1"):
        inner.descend(double, START, optax.sgd(0.1), -1)


def test_first_order_keeps_the_gradient_and_drops_its_derivative():
    cube = lambda p: p**3
    assert float(inner.first_order(cube)(2.0)) == 8.0
    assert float(jax.grad(inner.first_order(cube))(2.0)) == 0.0
    through = jax.grad(lambda v: inner.descend(inner.first_order(cube), v, optax.sgd(0.1), 3))(0.5)
    assert float(through) == 1.0


def test_first_order_drops_the_derivative_in_what_the_gradient_closes_over():
    scaled = lambda s: inner.first_order(lambda p: s * p)(2.0)
    assert float(scaled(3.0)) == 6.0
    assert float(jax.grad(scaled)(3.0)) == 0.0


def test_attach_gradient_gives_value_and_gradient_apart():
    chosen = {"a": jnp.array([5.0, 6.0]), "b": jnp.array(7.0)}
    loss = lambda p: inner.attach_gradient(jnp.sum(p["a"]) + p["b"], p, chosen)
    value, grads = jax.value_and_grad(loss)(START)
    assert float(value) == 2.0
    assert_close(grads, chosen)
    assert_close(jax.grad(lambda p: 3 * loss(p))(START), jax.tree.map(lambda g: 3 * g, chosen))


def test_attach_gradient_under_jit_and_vmap():
    loss = lambda p, t: inner.attach_gradient(p * t, p, p - t)
    tasks = jnp.array([1.0, 2.0, 5.0])
    run = jax.jit(jax.vmap(jax.value_and_grad(loss), in_axes=(None, 0)))
    assert_close(run(jnp.array(2.0), tasks), (2 * tasks, 2 - tasks))
    mean = jax.grad(lambda p: jnp.mean(jax.vmap(loss, in_axes=(None, 0))(p, tasks)))
    np.testing.assert_allclose(mean(2.0), np.mean(2 - tasks), rtol=1e-6)


def test_attach_gradient_passes_nothing_to_value_or_gradient():
    grads = jax.grad(lambda v, g: inner.attach_gradient(v, 1.0, g), argnums=(0, 1))(2.0, 3.0)
    assert [float(g) for g in grads] == [0.0, 0.0]


def cube_step(steps, **options):
    return jax.grad(lambda v: inner.descend(lambda p: p**3, v, optax.sgd(0.1), steps, **options))(0.5)


@pytest.mark.parametrize("integer", [np.int64, np.int32, jnp.int32, np.array, jnp.array])
def test_integers_of_any_kind_are_numbers_of_steps(integer):
    """Truncation and first order are not left out for one that is not Python's."""
    exact = [float(cube_step(3, truncation=truncation)) for truncation in (None, 0, 1)]
    found = [float(cube_step(integer(3), truncation=t)) for t in (None, integer(0), integer(1))]
    assert exact == found and len(set(exact)) == 3
    inside = jax.jit(lambda v: inner.descend(double, v, optax.sgd(0.1), integer(2)))
    assert_close(inside(START), inner.descend(double, START, optax.sgd(0.1), 2))
    with pytest.raises(ValueError, match="inner steps must be 0 or more, got -1"):
        inner.check_steps(integer(-1))
    with pytest.raises(ValueError, match=r"truncation must be 0 steps or more, .* got -1"):
        inner.check_steps(1, integer(-1))


def test_steps_that_are_no_integers_are_refused():
    for steps, truncation in ((2.0, None), (2, 1.0)):
        with pytest.raises(TypeError, match="integer"):
            inner.check_steps(steps, truncation)


RATE, STEPS = 0.1, 3
SUPPORT = jmeta.Batch(jnp.array([[1.0], [2.0], [5.0]]), jnp.array([[2.0], [1.0], [9.0]]), jnp.array([1.0, 1.0, 0.0]))


def line(slope, x, weight):
    return slope * x


def loop_of(first_order=False, grad=jax.grad, truncation=None):
    return inner.inner_loop(optax.sgd(RATE), STEPS, first_order, grad, truncation, losses.squared_error)


def test_fit_takes_the_steps_on_the_support_set_without_padding():
    """The mean loss is (s - 2)^2 / 2 + (2 s - 1)^2 / 2, of gradient 5 s - 4: a step leaves half of the way to 0.8."""
    assert_close(inner.fit(loop_of(), line, jnp.float32(4.8), SUPPORT), jnp.float32(0.8 + 4 * 0.5**STEPS))


@pytest.mark.parametrize(
    ("arguments", "through"),
    [({}, 3), ({"truncation": 2}, 2), ({"first_order": True}, 0), ({"first_order": True, "truncation": 2}, 0)],
)
def test_an_inner_loop_is_differentiated_through_as_many_steps_as_it_says(arguments, through):
    calls = []

    def counted(fun):
        calls.append(1)
        return jax.grad(fun)

    loop = loop_of(grad=counted, **arguments)
    got = jax.grad(lambda start: inner.fit(loop, line, start, SUPPORT))(jnp.float32(4.8))
    np.testing.assert_allclose(got, 0.5**through, rtol=1e-6)
    assert calls == [1]


def test_a_loop_takes_other_steps_and_another_rule():
    other = loop_of()._replace(steps=1, optimizer=optax.sgd(2 * RATE))
    assert_close(inner.fit(other, line, jnp.float32(4.8), SUPPORT), jnp.float32(0.8))


@pytest.mark.parametrize(("steps", "truncation", "name"), [(-1, None, "inner steps"), (1, -2, "truncation")])
def test_an_inner_loop_of_less_than_no_step_is_refused(steps, truncation, name):
    with pytest.raises(ValueError, match=name):
        inner.inner_loop(optax.sgd(0.1), steps, False, jax.grad, truncation, losses.squared_error)
